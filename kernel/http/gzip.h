/* SPDX-License-Identifier: Apache-2.0 */
/* Gunzip of one buffer into an arena, bounded, for small messages from outside. */
#ifndef HTTP_GZIP_H
#define HTTP_GZIP_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* ERR_TOO_LARGE beyond bytes_max, ERR_MALFORMED for anything but one whole gzip member. */
err_t gzip_decode(struct arena *arena, struct slice bytes, size_t bytes_max,
                  struct slice *ret_bytes) WARN_UNUSED;

#endif
