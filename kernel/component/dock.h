/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where one process generation of a plugin meets its worker: the listening socket it dials, the one
 * link it gets, and the life-cycle calls (Init, Start, Close) made over it. The main thread
 * (host.c) commands a dock by message and hears from it by message; in between a dock belongs to
 * its worker.
 */
#ifndef COMPONENT_DOCK_H
#define COMPONENT_DOCK_H

#include <stdint.h>
#include <sys/types.h>

#include "async/listener.h"
#include "async/mailbox.h"
#include "async/worker.h"
#include "base/slice.h"
#include "bus/link.h"

struct dock;

enum dock_event_kind {
    DOCK_CONNECTED,
    DOCK_READY,
    DOCK_FAILED, /* before it was ready */
    DOCK_ANSWERED,
    DOCK_LOST,
    DOCK_INIT_DONE,
};

/* A message to the main thread. On the heap; the receiver frees it. */
struct dock_event {
    struct mail mail;
    struct dock *dock; /* may be gone when this is read: compare, do not follow */
    void *user;        /* of its configuration */
    enum dock_event_kind kind;
    const char *reason; /* FAILED, LOST: a constant */
    /* INIT_DONE */
    size_t component;      /* as given to dock_init_component() */
    uint32_t generation;   /* likewise */
    struct link *link;     /* counted; NULL if it failed */
    uint32_t capabilities; /* bits, component.h */
    uint32_t operations_max;
    char *error; /* owned; NULL if it is ready */
};

struct dock_config {
    struct worker *worker;
    struct mailbox *control; /* where events go */
    mail_fn *on_event;       /* on the main thread */
    int listen_fd;           /* moved */
    const char *token;       /* copied */
    uint32_t epoch;
    const char *plugin_name; /* borrowed, like all below, as long as the process lives */
    const char *kernel_version;
    const char *app_id;
    const char *namespace_;
    const char *const *host_services;
    size_t host_service_count;
    void (*on_host_call)(struct task *t, struct host_call *call);
    void *user;
};

/* Main thread. The socket is bound already; nothing is accepted yet. */
struct dock *dock_new(const struct dock_config *config);
/* Main thread: the process runs, accept it. */
void dock_open(struct dock *dock, pid_t process_group);
/* Main thread: close everything and free it; no event follows after the message was handled, but
 * some may be under way. */
void dock_close(struct dock *dock);

/* Main thread: Init and Start a component. `request` is a packed InitRequest (malloc'ed, moved).
 * Answered by DOCK_INIT_DONE. */
void dock_init_component(struct dock *dock, size_t component, uint32_t generation, uint32_t handle,
                         char *request, size_t request_bytes, uint64_t timeout_ms);

#endif
