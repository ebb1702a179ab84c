/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doors for administrators: `admin.sock` answers requests (SP REP0), `events.sock` tells what
 * happens (SP PUB0). Both lie in the run directory; proto/remora/admin/v1/admin.proto is the
 * contract and `remora` its best known client. Served by the main thread's loop, where everything
 * that is asked for lives: no request waits for anything.
 *
 * Main thread only.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "component/host.h"
#include "supervisor/rundir.h"

struct admin;

/* What only main knows of the process. Texts are borrowed. */
struct admin_process {
    struct slice app_id;
    struct slice namespace_;
    const char *stage; /* "running" */
    bool is_ready;
    uint16_t http_port;
    unsigned worker_count;
    int64_t started_unix_ms;
};

struct admin_config {
    struct ev_loop *loop;
    const struct rundir *rundir;
    struct host *host; /* must live until admin_close() */
    const char *version;
    void *arg;
    void (*process)(void *arg, struct admin_process *ret_process);
};

/* NULL if a socket could not be made, which was logged: the kernel works without. */
struct admin *admin_open(const struct admin_config *config);
void admin_close(struct admin *admin);

/* Events. For the host's hooks of the same name; `admin` may be NULL. */
void admin_on_plugin(struct admin *admin, struct plugin *plugin, enum plugin_state from);
void
admin_on_swap(struct admin *admin, struct plugin *plugin, bool has_taken_over, const char *error);
/* The Configuration has changed. `error` says why it is not used; NULL if it is. */
void admin_on_configuration(struct admin *admin, struct slice name, uint32_t generation,
                            const char *error);
void
admin_on_component(struct admin *admin, const struct host_component *component, const char *was);

#endif
