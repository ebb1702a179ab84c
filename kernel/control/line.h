/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a service of the control plane that is to be there always: one session after
 * another, each a task of its own with a pause behind it, and the stream of gRPC messages that a
 * session consists of. Over our own HTTP/2, like all that is mutual TLS here. One worker's thread.
 */
#ifndef CONTROL_LINE_H
#define CONTROL_LINE_H

#include "async/worker.h"
#include "base/slice.h"
#include "http/client.h"
#include "peer/message.h"

struct line;
struct tls_context;

/* One session, from the connection to its end. Suspends. Returns why it is over, with the words in
 * the task's diag. */
typedef err_t line_session_fn(struct task *t, struct line *line);

struct line {
    struct worker *worker;
    const char *name; /* of its tasks */
    line_session_fn *session;
    /* It is over and, unless stopped, will be tried again; in the session's task. */
    void (*on_over)(struct line *line, err_t err, struct slice words);
    /* The last session of a line that was stopped is over: it may be freed. NULL: not wanted. */
    void (*on_stopped)(struct line *line);
    uint64_t pause_ms;
    struct timer timer;
    struct task *task; /* of the session; NULL: none */
    bool is_stopping;
};

/* With the first six members filled in: begins the first session. */
void line_start(struct line *line);
/* Ends the session, begins none. on_stopped() may be called from here. */
void line_stop(struct line *line);

/* --- the stream of a session -------------------------------------------------------------------*/

struct line_dial {
    struct slice address; /* "host:port", with "dns:///" or "passthrough:///" in front or not */
    struct slice peer_id; /* SPIFFE id that the service must prove, where there is TLS */
    struct tls_context *tls;
    const char *path; /* "/package.Service/Method" */
};

struct line_stream {
    struct client *client;
    struct client_call call;
    struct peer_reader reader;
    struct task *task;
    bool has_head;
    enum grpc_code code; /* of a stream that the service has ended */
};

/* Each suspends. What was opened, well or not, is closed. */
err_t line_stream_open(struct task *t, const struct line_dial *dial,
                       struct line_stream *ret_stream) WARN_UNUSED;
err_t line_stream_send(struct line_stream *stream, struct slice message) WARN_UNUSED;
/* No further message will be sent. */
err_t line_stream_end(struct line_stream *stream) WARN_UNUSED;
/* Valid until the next call. ERR_PEER_LOST also where the service ends the stream, which is not
 * meant to end: the words say how. */
err_t line_stream_next(struct line_stream *stream, struct slice *ret_message) WARN_UNUSED;
void line_stream_close(struct line_stream *stream);

/* Whether it is of such a form. */
bool line_address_is_valid(struct slice address);

#endif
