/* SPDX-License-Identifier: Apache-2.0 */
/* What every part of the program says goes through here. */
#ifndef REMORA_SAY_H
#define REMORA_SAY_H

#include "base/macros.h"

/* "remora: …" on standard error. */
void complain(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
