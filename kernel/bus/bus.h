/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to a plugin from any worker: on the link's own worker directly, else through a task there.
 * Same shape and rules as link.h; results live in the caller's arena either way.
 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include "bus/link.h"

struct bus_call {
    struct link_call call; /* status and message are read from here after bus_call() */
    struct link *link;     /* counted; NULL when finished */
};

err_t bus_call(struct task *t, struct link *link, const struct link_args *args,
               struct bus_call *ret_call) WARN_UNUSED;
err_t bus_call_body(struct task *t, struct bus_call *call, struct slice *ret_chunk) WARN_UNUSED;
/* The whole body in the caller's arena; ERR_TOO_LARGE beyond bytes_max. */
err_t bus_call_body_all(struct task *t, struct bus_call *call, size_t bytes_max,
                        struct slice *ret_body) WARN_UNUSED;
void bus_call_finish(struct task *t, struct bus_call *call);

#endif
