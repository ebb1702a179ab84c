/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process as a whole: what main() starts, in which order, and how it ends. remorad.c has the
 * start, servers.c the listening sockets, ending.c and shutdown.c the end. Main thread only.
 */
#ifndef MAIN_RUNTIME_H
#define MAIN_RUNTIME_H

#include <ev.h>

#include "admin/admin.h"
#include "api/kernel.h"
#include "api/topic_answer.h"
#include "base/version.h"
#include "component/host.h"
#include "config/cli.h"
#include "config/configuration.h"
#include "http/h1_server.h"
#include "main/app_port.h"
#include "main/ending.h"
#include "main/names.h"
#include "main/reload.h"
#include "main/security.h"
#include "main/tracing.h"
#include "supervisor/rundir.h"

enum { SERVERS_PER_WORKER_MAX = 16 };

struct runtime;

/* A worker and its listening sockets. */
struct runtime_worker {
    struct kernel_worker kernel_worker;
    struct runtime *runtime;
    struct h1_server *servers[SERVERS_PER_WORKER_MAX];
    size_t server_count;
    struct timer drain_timer;
    struct mail drain_mail;
    struct mail drained_mail; /* back to the main thread */
    struct mail attach_mail;
    struct mail started_mail;
    struct h1_server *metrics_server; /* one of the servers; NULL: not served here */
};

struct runtime {
    struct ending ending;
    struct app_port app_port;
    bool is_serving;            /* the workers run, or will in a moment and read their mail then */
    bool is_settled;            /* components have been ready once, or failed and may */
    struct slice fatal_message; /* the log's last line; empty without */
    struct arena arena;         /* options and resources, for the life of the process */
    struct options options;
    struct ev_loop *loop;
    struct mailbox control;
    ev_async wake;
    ev_signal on_interrupt, on_terminate, on_hangup;
    ev_timer ending_timer;
    struct kernel kernel;
    struct app *app;                    /* settings, places and health of the application */
    struct settings *settings;          /* counted; in force */
    struct configuration configuration; /* that they follow from; lives in their arena */
    uint32_t configuration_generation;
    char *configuration_error; /* owned; why the files are not in force; NULL: they are */
    char *policies_error;      /* owned; likewise of a Resiliency document that was */
    struct runtime_worker *workers;
    unsigned worker_count;
    struct component_watcher component_watcher; /* of worker 0, for subscriptions */
    struct worker_crew crew;                    /* of all workers */
    uint16_t internal_port;                     /* that other sidecars call */
    struct text_list server_names;              /* addresses of the API, as the log shows them */
    unsigned workers_draining;
    struct rundir rundir;
    bool has_rundir;
    struct catalogue catalogue;
    struct host *host;
    struct topic_list topics;      /* of Subscription documents */
    struct host_instance instance; /* as resolvers of names see this sidecar */
    struct reload reload;
    struct security *security; /* NULL: mTLS is off */
    struct control_plane *control_plane;
    unsigned waiting_for; /* parts that the sidecar is not ready without */
    bool serves_metrics;
    struct admin *admin; /* NULL before it is open, or if it could not be */
    int64_t started_unix_ms;
    uint64_t started_ms; /* of clock_now_ms() */
};

/* Reads all resources; NULL: a fatal line (or, for a reload, an error) was logged. The caller's. */
struct host_load *read_resources(struct runtime *runtime, bool is_reload);

/* Puts the Resiliency documents of the resources in force, if they are not already. */
void policies_take(struct runtime *runtime, const struct resources *resources,
                   const struct resource_filter *filter, bool is_reload);

/* Reads the Configuration files at the start. False: a fatal line was logged. */
bool configure(struct runtime *runtime);
/* Reads them again: what they say takes effect in place, and if they cannot be used everything
 * stays as it is. `is_asked`: also if they have not changed. */
void configure_again(struct runtime *runtime, bool is_asked);
/* The same for HTTPEndpoint documents. ERR_CONFIG with the words of the fatal log line if a name is
 * defined twice: nothing has changed. */
err_t
endpoints_take(struct runtime *runtime, struct arena *scratch, struct resources *resources,
               const struct resource_filter *filter, bool is_reload, struct diag *diag) WARN_UNUSED;
/* The secrets of a store have changed: endpoints that use them look them up anew. */
void endpoints_rotated(struct runtime *runtime, struct slice store, bool is_routine);

/* Puts the next generation of settings, which is taken, in force while the workers run. */
void settings_replace(struct runtime *runtime, struct settings *settings);
bool hot_reload_is_on(const struct configuration *configuration);
/* Warns of secret scopes for stores that are not configured. */
void warn_of_idle_settings(const struct runtime *runtime);

/* Binds the port for other sidecars: first of all, so that nobody else can have it. False: a fatal
 * line was logged, or the end has begun. */
bool servers_bind_internal(struct runtime *runtime);
/* Binds all other listening sockets. False: a fatal line was logged, or the end has begun. */
bool servers_bind(struct runtime *runtime);
/* Opens or closes the metrics port while the workers run; a port that cannot be had is logged. */
void servers_set_metrics(struct runtime *runtime, bool is_on);
/* Removes socket files. */
void servers_unlink(struct runtime *runtime);

/* Asks the sidecar on `port` until it can be called; the exit code of `remorad --wait`. */
int wait_for_sidecar(uint16_t port);

/* SIGTERM ("terminated") or SIGINT ("interrupt"). */
void shutdown_signal(struct runtime *runtime, const char *name);
/* Any thread: the API asks for the end; by force, for an end without waiting. */
void shutdown_request(struct kernel *kernel, bool force);
/* The application has become unhealthy. */
void shutdown_app_unhealthy(struct runtime *runtime);
/* There is no going on: ends with exit code 1 and this message, which is copied. */
void shutdown_fatal(struct runtime *runtime, struct slice message);

#endif
