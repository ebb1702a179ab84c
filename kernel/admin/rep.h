/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What SP's request-reply pattern puts before a body: 32-bit big-endian numbers, one a device on
 * the way, each with its highest bit clear, then the requester's own number with that bit set. The
 * reply begins with exactly the same bytes. Pure.
 */
#ifndef ADMIN_REP_H
#define ADMIN_REP_H

#include <stdbool.h>

#include "base/macros.h"
#include "base/slice.h"

/* nng's NNG_OPT_MAXTTL: how many devices a request may pass. */
enum { REP_HOPS_MAX = 8 };

/* Parts of `message`. False if no number has its highest bit set, or too many stand before it. */
bool rep_split(struct slice message, struct slice *ret_stack, struct slice *ret_body) WARN_UNUSED;

#endif
