/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where one process generation of a plugin meets its worker: the listening socket it dials and the
 * one link it gets. The main thread (ward.c) commands a dock by message and hears from it by
 * message; in between a dock belongs to its worker.
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

enum { DOCK_BUILD_BYTES_MAX = 64 };

enum dock_event_kind {
    DOCK_CONNECTED,
    DOCK_READY,
    DOCK_FAILED, /* before it was ready */
    DOCK_ANSWERED,
    DOCK_LOST,
    DOCK_CLOSED, /* the last of all: nothing of the dock is left */
};

/* A message to the main thread. On the heap; the receiver frees it. */
struct dock_event {
    struct mail mail;
    void *user;     /* of the dock's configuration */
    uint32_t epoch; /* likewise: which process it tells of, since the dock may be gone by now */
    enum dock_event_kind kind;
    const char *reason;                   /* FAILED, LOST: a constant */
    struct link *link;                    /* READY: counted */
    char build[DOCK_BUILD_BYTES_MAX + 1]; /* READY: which build it says it is */
    pid_t pid;                            /* CONNECTED: of the process at the other end */
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
/* Main thread: close everything and free it. Other events may be under way; DOCK_CLOSED follows
 * them. */
void dock_close(struct dock *dock);

#endif
