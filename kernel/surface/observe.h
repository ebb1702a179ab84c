/* SPDX-License-Identifier: Apache-2.0 */
/* What both surfaces count and log of calls. */
#ifndef SURFACE_OBSERVE_H
#define SURFACE_OBSERVE_H

#include "api/request.h"
#include "http/http.h"

enum { OBSERVE_NUMBER_BYTES = 24 };

/* The digits, somewhere in `text`. */
struct slice observe_number(char text[OBSERVE_NUMBER_BYTES], uint64_t value);

/* Counts the error that has just been recorded. */
void observe_error(const struct request *rq);

struct observed_call {
    const char *scope;
    struct slice words;
    struct slice method; /* as the log shows it */
    uint64_t code;
    uint64_t took_ns;
    bool has_size;
    uint64_t size;
};

/* One line of the log of calls. */
void observe_log(const struct http_exchange *x, const struct observed_call *call);

#endif
