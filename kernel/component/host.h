/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The components of this sidecar and the plugins that serve them, as the main thread sees them:
 * which plugin hosts which component, which process generation holds it now, and what went wrong.
 * It starts plugins through the supervisor, commands docks, and publishes routes to every worker's
 * component table. It knows nothing of what a component does.
 *
 * Main thread only. Workers hear from it, and it from them, by message.
 */
#ifndef COMPONENT_HOST_H
#define COMPONENT_HOST_H

#include <ev.h>

#include "async/mailbox.h"
#include "base/buf.h"
#include "base/err.h"
#include "component/component.h"
#include "config/component.h"
#include "supervisor/catalogue.h"
#include "supervisor/supervisor.h"

struct host;

/* A configured component as it is now. Texts are borrowed until the loop turns. */
struct host_component {
    struct slice name;
    struct slice type;
    struct slice version;
    const char *state; /* "waiting" for its plugin or for Init, "ready", "failed" */
    bool is_ready;
    struct slice plugin; /* empty: none hosts it */
    struct slice error;  /* of the last failure; empty without */
    uint32_t generation; /* that serves, or served last; each Init is one */
    uint32_t capabilities;
};

/* One reading of the resources: the components and the memory they live in. Counted, main thread.
 */
struct host_load {
    unsigned refs;
    struct arena arena;
    struct component_list components;
    struct slice first_broken; /* the words for a document that could not be used; empty: none */
};

struct host_load *host_load_new(void);
struct host_load *host_load_ref(struct host_load *load);
void host_load_unref(struct host_load *load); /* NULL is nothing */

/* This sidecar, as resolvers of names tell others of it. Texts are borrowed. */
struct host_instance {
    struct slice host_address;
    struct slice host_name;
    uint16_t internal_port;
    uint16_t http_port;
    uint16_t grpc_port;
    uint16_t app_port; /* 0: there is none */
    uint32_t pid;
};

struct host_config {
    struct ev_loop *loop;    /* libev's default loop */
    struct mailbox *control; /* of the main thread */
    struct worker *const *workers;
    struct component_table *const *tables; /* each worker's */
    unsigned worker_count;
    const struct rundir *rundir;
    const struct catalogue *catalogue;
    const char *exec_path; /* of remora-exec */
    enum sandbox_mode sandbox;
    struct env environment;
    struct slice app_id;
    struct slice namespace_; /* empty if none */
    const char *version;
    struct component_context context;     /* placeholders in metadata */
    const struct host_instance *instance; /* borrowed; filled in when host_start() is called */
    void (*on_host_call)(struct task *t, struct host_call *call);

    void *arg;
    /* Every component has been initialised, or failed and may be ignored. Once. */
    void (*on_settled)(void *arg);
    /* A component failed at the start and must not be ignored: the words of the log's last line. */
    void (*on_fatal)(void *arg, struct slice message);
    /* For whoever wants to tell: something is in another state. All may be NULL. */
    void (*on_plugin)(void *arg, struct plugin *plugin, enum plugin_state from);
    void (*on_component)(void *arg, const struct host_component *component, const char *was);
    /* A secret store serves, for the first time or as another generation; or, `is_routine`, it is
     * time to look whether its secrets have changed. */
    void (*on_secrets)(void *arg, struct slice store, bool is_routine);
    /* A swap is over: `plugin` is the newcomer, which serves now or is retired. `error` says what
     * went wrong; NULL if nothing did. */
    void (*on_swap)(void *arg, struct plugin *plugin, bool has_taken_over, const char *error);
};

struct host *host_new(const struct host_config *config);
/* Starts all that the load's components need; counts it. */
void host_start(struct host *host, struct host_load *load);
/* Makes what is there what the load says: adds, changes and removes components while the others
 * serve on. A change that fails leaves its component as it was and says so. As long as a document
 * is broken nothing is removed: it may be the one that is missed. */
void host_reload(struct host *host, struct host_load *load);
/* Exchanges the process of a plugin for a new one, with its manifest (and program) read again. The
 * old one serves until the new one does. `executable` is the absolute path of a program that takes
 * the place of the manifest's, until the next exchange; NULL or "" for the manifest's own.
 * ERR_CONFIG with the words if it cannot even be tried. */
err_t host_swap(struct host *host, struct slice plugin_name, const char *executable,
                struct diag *diag) WARN_UNUSED;
/* The catalogue has changed: components of types that nobody could host are tried again. */
void host_plugins_changed(struct host *host);
/* Closes all components, then ends all plugins; calls back when they are gone. */
void host_stop(struct host *host, uint32_t deadline_ms, void (*stopped)(void *arg), void *arg);
/* After that; docks end with their workers. */
void host_free(struct host *host);

/* The components of documents; the resolver of names is none of them. */
size_t host_component_count(const struct host *host);
/* One after another, `cursor` from 0; false after the last. */
bool host_next_component(const struct host *host, size_t *cursor,
                         struct host_component *ret_component) WARN_UNUSED;
/* Index from 0; NULL beyond the last. Those that come and go in a swap are among them. */
struct plugin *host_plugin_at(struct host *host, size_t index);
bool host_is_stopping(const struct host *host);

/* Calls fn for every file that a secret store keeps its secrets in; the texts are valid during it.
 */
typedef void host_secret_file_fn(void *arg, struct slice store, const char *path);
void host_each_secret_file(struct host *host, host_secret_file_fn *fn, void *arg);
/* The secrets of a store have changed: whoever takes some from it is exchanged for another
 * generation of itself, made with what the store says now. */
void host_secrets_changed(struct host *host, struct slice store);

/* JSON: the elements of the metadata API's `components`, and the members of `remora`. False if a
 * buffer's maximum is exceeded. */
bool host_describe(struct host *host, struct buf *components, struct buf *details) WARN_UNUSED;

#endif
