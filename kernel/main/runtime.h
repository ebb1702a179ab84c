/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process as a whole: what main() starts, in which order, and how it ends. remorad.c has the
 * start, servers.c the listening sockets, shutdown.c the end. Main thread only.
 */
#ifndef MAIN_RUNTIME_H
#define MAIN_RUNTIME_H

#include <ev.h>

#include "admin/admin.h"
#include "api/kernel.h"
#include "base/version.h"
#include "component/host.h"
#include "config/cli.h"
#include "http/h1_server.h"
#include "main/reload.h"
#include "supervisor/rundir.h"

enum { SERVERS_PER_WORKER_MAX = 16 };

struct runtime;

/* A worker and its listening sockets. */
struct runtime_worker {
    struct kernel_worker kernel_worker;
    struct runtime *runtime;
    struct h1_server *servers[SERVERS_PER_WORKER_MAX];
    size_t server_count;
    size_t servers_open;
    struct timer drain_timer;
    struct mail drain_mail;
    struct mail drained_mail; /* back to the main thread */
    struct mail attach_mail;
};

enum stage {
    STAGE_STARTING,
    STAGE_RUNNING,
    STAGE_BLOCKING, /* told to end, still working for a while */
    STAGE_DRAINING, /* requests in flight */
    STAGE_PLUGINS,  /* requests are done, plugins are ending */
    STAGE_ENDED,
};

struct runtime {
    enum stage stage;
    int exit_code;
    struct arena arena; /* options and resources, for the life of the process */
    struct options options;
    struct ev_loop *loop;
    struct mailbox control;
    ev_async wake;
    ev_signal on_interrupt, on_terminate, on_hangup;
    ev_timer block_timer, grace_timer;
    struct kernel kernel;
    struct runtime_worker *workers;
    unsigned worker_count;
    struct worker_crew crew; /* of all workers */
    unsigned workers_draining;
    struct rundir rundir;
    bool has_rundir;
    struct catalogue catalogue;
    struct host *host;
    struct reload reload;
    bool hot_reload_is_off;
    bool serves_metrics;
    struct admin *admin; /* NULL before it is open, or if it could not be */
    int64_t started_unix_ms;
};

/* Reads all resources; NULL: a fatal line (or, for a reload, an error) was logged. The caller's. */
struct host_load *read_resources(struct runtime *runtime, bool is_reload);

/* Binds all listening sockets. False: a fatal line was logged. */
bool servers_bind(struct runtime *runtime);
/* Removes socket files. */
void servers_unlink(struct runtime *runtime);

/* Asks the sidecar on `port` until it can be called; the exit code of `remorad --wait`. */
int wait_for_sidecar(uint16_t port);

/* SIGTERM, SIGINT, or the API. A second call changes nothing. */
void shutdown_begin(struct runtime *runtime);
/* Something fatal: log lines were written; ends with exit code 1. */
void shutdown_fatal(struct runtime *runtime);

#endif
