/* SPDX-License-Identifier: Apache-2.0 */
/* W3C Baggage: whether a list may be handed on, and what is wrong with it in the words of the
 * reference's library, since clients are shown them. Pure. */
#ifndef TELEMETRY_BAGGAGE_H
#define TELEMETRY_BAGGAGE_H

#include <stdbool.h>

#include "base/buf.h"

enum { BAGGAGE_BYTES_MAX = 8192, BAGGAGE_MEMBERS_MAX = 180, BAGGAGE_MEMBER_BYTES_MAX = 4096 };

/* `complaints` gets a line for each member that is wrong, as many as it has room for. */
bool baggage_check(struct slice text, struct buf *complaints);

#endif
