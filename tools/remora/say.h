/* SPDX-License-Identifier: Apache-2.0 */
/* What every part of the program says of trouble goes through here, and what it ends with. */
#ifndef REMORA_SAY_H
#define REMORA_SAY_H

#include "base/macros.h"

enum { EXIT_DONE = 0, EXIT_NOT_DONE = 1, EXIT_USAGE = 2 };

/* "remora: …" on standard error. */
void complain(const char *format, ...) PRINTF_LIKE(1, 2);
/* The same of a command line that makes no sense; returns EXIT_USAGE. */
int misused(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
