/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection between a worker and a plugin process: handshake, calls both ways, credits.
 *
 * A call lives on its caller's stack:
 *
 *     struct link_call call;
 *     err_t err = link_call(t, link, &args, &call);   // suspends until the message is there
 *     while (err == OK && (err = link_call_body(t, &call, &chunk)) == OK && chunk.len > 0)
 *         …                                           // suspends for more of the body
 *     link_call_finish(&call);                        // always, also after an error
 *
 * link_call() fails with ERR_PLUGIN_NOT_SENT (nothing left the kernel), ERR_PLUGIN_UNKNOWN (the
 * link was lost after sending), ERR_OVERLOADED, ERR_DEADLINE or ERR_CANCELLED. What the plugin
 * itself says is in call.status, with OK returned. A reply whose message has arrived counts even if
 * the link is lost before the caller looks.
 *
 * Where the body becomes known bit by bit, or both sides stream, the same in steps:
 * link_call_open(), any number of link_call_write(), link_call_end(), link_call_reply(). One task
 * may write while another of the same worker reads; both end before link_call_finish().
 *
 * A plugin that says nothing while calls are open is pinged, and given up after
 * LIMIT_link_silent_checks_max of LIMIT_link_check_ms. An idle one is left alone.
 *
 * Credits: payload in flight is bounded a call and a link. Credit of the link is given back when
 * bytes arrive here, credit of a call when its reader took them, so that one slow reader does not
 * stop the others.
 *
 * Worker thread only, except link_ref() and link_unref().
 */
#ifndef BUS_LINK_H
#define BUS_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "async/gate.h"
#include "async/stream.h"
#include "async/task.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "bus/frame.h"
#include "bus/sp.h"

struct link;
struct host_call;
struct Remora__Plugin__V1__Hello;

struct link_events {
    /* A hello passed the checks of token, version and process. NULL: welcome; else the reason it is
     * refused (a constant), which is sent and ends the link. */
    const char *(*on_hello)(struct link *link, const struct Remora__Plugin__V1__Hello *hello);
    /* Handshake done: calls may be made. */
    void (*on_ready)(struct link *link);
    /* The first operation was answered: it works. May be NULL. */
    void (*on_answered)(struct link *link);
    /* The link is dead, whatever the reason (a constant). Open calls have been failed. The owner
     * drops its reference when it likes. Called once, also for a link that never became ready. */
    void (*on_lost)(struct link *link, const char *reason);
    /* A log line of the plugin: well-formed UTF-8 of at most LIMIT_log_entry_bytes_max, and at most
     * LIMIT_log_lines_per_s of them. `level` is one of the contract's LogEntry.Level. */
    void (*on_log)(struct link *link, int level, struct slice message);
    /* A service of the kernel is asked for; on a task of its own. Should call host_call_reply():
     * where it does not, the plugin is told of an internal error. */
    void (*on_host_call)(struct task *t, struct host_call *call);
};

struct link_config {
    const struct link_events *events;
    void *arg;
    const char *token; /* 64 hex digits, borrowed until on_ready or on_lost */
    pid_t process_group;
    uint32_t epoch;
    /* Shown in hello_ack; borrowed for the life of the link. */
    const char *kernel_version;
    const char *app_id;
    const char *namespace_;
    const char *const *host_services; /* granted */
    size_t host_service_count;
};

enum { LINK_CALL_SLOTS = 256 };

/* Payload received: what its sender may still send, and what is to be given back to it. */
struct intake {
    int64_t window_bytes;
    uint64_t owed_bytes; /* credit is returned in batches, not a frame for each read */
};

struct link {
    unsigned magic;
    atomic_uint refs;
    enum link_state { LINK_GREETING, LINK_OPEN, LINK_DEAD } state;
    struct worker *worker;
    struct link_config config;
    struct stream stream;
    struct sp_decoder decoder;
    struct buf in;
    struct timer handshake_timer;
    struct timer check_timer; /* set while calls are open */
    bool has_heard;           /* anything, since the last check */
    unsigned silent_checks;
    struct gate credit;      /* payload bytes we may send on the link */
    struct intake intake;    /* payload of all calls */
    uint64_t next_call;      /* odd */
    uint64_t last_host_call; /* even, the highest seen */
    size_t call_count;
    size_t host_call_count;
    uint64_t host_bytes;                      /* payload announced by open host calls */
    struct link_call *calls[LINK_CALL_SLOTS]; /* by number, chained */
    struct list host_calls;
    uint64_t answered_count; /* operations answered, life-cycle calls not counted: it works */
    uint64_t log_until_ms;   /* end of the second in which log lines are counted */
    unsigned log_count;
    unsigned logs_dropped;
};

/* Takes a connected descriptor (moved) whose peer was checked with link_peer_is(). One reference is
 * the caller's. */
struct link *link_new(struct worker *worker, int fd, const struct link_config *config);
/* The peer runs as our user and in that process group. */
bool link_peer_is(int fd, pid_t process_group);
/* The process that connected, in our numbers; 0 if the system does not say. */
pid_t link_peer_pid(int fd);
struct link *link_ref(struct link *link);
void link_unref(struct link *link);
/* Ends it: open calls fail, on_lost follows with this reason. */
void link_close(struct link *link, const char *reason);

static inline bool
link_is_ready(const struct link *link)
{
    return link->state == LINK_OPEN;
}

/* --- calls to the plugin -----------------------------------------------------------------------*/

struct link_args {
    uint32_t method;
    uint32_t component;
    /* The operation changes something: once sent, a client that leaves does not cancel it. */
    bool is_write;
    uint32_t depth;
    struct arena *arena;            /* for the reply; NULL: the calling task's */
    struct slice message;           /* packed */
    const struct slice *body_parts; /* may be NULL */
    size_t body_part_count;
    bool open_ended; /* link_call_open() only: more body follows, then an end */
    struct slice request_id;
    struct slice traceparent;
    struct slice tracestate;
};

/* What one side of a call may still send. */
struct flow {
    int64_t credit_bytes;
    struct wait *waiting; /* for credit, or for a reason to stop */
    bool has_stopped;     /* the other side does not want more */
};

/* Methods of plugin.proto up to here are of a component's life: that they are answered proves
 * little. */
enum { LIFECYCLE_METHOD_MAX = 31 };

struct link_call {
    bool proves_work;  /* not a life-cycle call */
    struct link *link; /* NULL: not open */
    uint64_t id;
    struct link_call *next; /* in its slot */
    struct arena *arena;    /* of the caller: message and first body bytes go there */
    struct flow flow;
    struct intake intake;
    struct wait *waiting; /* for the reply or more of the body */
    bool is_write;
    bool has_sent;  /* the first frame has been queued */
    bool has_begun; /* the first frame of the reply arrived */
    bool has_reply; /* its message is whole */
    bool has_ended; /* its whole payload arrived */
    err_t failure;  /* link lost, or the plugin broke off its body */
    struct frame_status status;
    struct slice message; /* whole once has_reply */
    size_t message_bytes; /* announced */
    size_t message_got;
    bool open_ended;
    uint64_t payload_bytes; /* announced */
    uint64_t payload_got;
    struct slice first_body; /* body bytes of the first frame, not yet read */
    struct buf body;         /* further body bytes, not yet read */
    struct buf held;         /* those the reader has: apart, so that arrivals do not move them */
    size_t body_given;       /* length of them */
};

err_t link_call(struct task *t, struct link *link, const struct link_args *args,
                struct link_call *ret_call) WARN_UNUSED;
/* Its steps. After an error of one, only link_call_finish() is left to do. */
err_t link_call_open(struct task *t, struct link *link, const struct link_args *args,
                     struct link_call *ret_call) WARN_UNUSED;
/* More of an open-ended body. ERR_CLOSED if the plugin wants no more: its reply says why. */
err_t link_call_write(struct task *t, struct link_call *call, struct slice bytes) WARN_UNUSED;
err_t link_call_end(struct link_call *call) WARN_UNUSED;
err_t link_call_reply(struct task *t, struct link_call *call) WARN_UNUSED;
/* More of the body; empty at its end. Valid until the next call of it or link_call_finish(). */
err_t link_call_body(struct task *t, struct link_call *call, struct slice *ret_chunk) WARN_UNUSED;
/* Length of the body, or -1 if the plugin has not said. */
int64_t link_call_body_bytes(const struct link_call *call);
/* Ends the call; what has not arrived is cancelled. Harmless on a call that failed. */
void link_call_finish(struct link_call *call);

/* --- calls from the plugin ---------------------------------------------------------------------*/

struct host_call {
    struct link *link; /* held by a reference */
    struct list node;
    struct task *task; /* NULL until the payload is whole */
    uint64_t id;
    uint32_t method;
    uint32_t depth;
    struct slice traceparent; /* as the plugin has it from the call it works for; empty if none */
    struct slice tracestate;
    uint64_t timeout_ms;
    size_t message_bytes;
    uint64_t payload_bytes;
    struct buf payload;
    struct flow flow;
    struct intake intake;
    bool has_replied;
    char texts[]; /* of the trace context */
};

struct slice host_call_message(const struct host_call *call);
struct slice host_call_body(const struct host_call *call);
/* Answers, once. `status` NULL is success. Suspends while a large answer is being sent. */
void host_call_reply(struct task *t, struct host_call *call, const struct frame_status *status,
                     struct slice message, struct slice body);

#endif
