/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that take a topic's events over an open stream and answer each with a verdict. Events
 * come from tasks of any worker, a stream lives on its connection's: one is offered to the other by
 * mail, and whoever offered it waits for the verdict, for the stream's end, or until its own time
 * is over, whichever is first. Several streams of one topic share its events, each getting the next
 * while it has fewest unanswered ones; the spec of the one opened first holds for all of them.
 *
 * What a client has not answered is bounded in bytes besides the window of the subscription, so
 * that one that does not read holds no more than that.
 */
#ifndef API_TOPIC_STREAM_H
#define API_TOPIC_STREAM_H

#include "api/subscription.h"
#include "base/buf.h"

struct topic_stream;

struct topic_stream_wish {
    struct slice pubsub;
    struct slice topic;
    struct slice dead_letter_topic; /* empty: none */
    const struct pair *metadata;
    size_t metadata_count;
};

/* All functions but topic_streams_nudge(): the worker that opened it. */

/* Suspends until the topic is subscribed. What is wrong is recorded in rq->error. */
err_t topic_stream_open(struct request *rq, const struct topic_stream_wish *wish,
                        struct topic_stream **ret_stream) WARN_UNUSED;

/* The next event to send, a packed TopicEventRequest, into an empty buffer; one that its maximum
 * does not allow has failed. Without one (*ret_has is false) all streams have been nudged.
 * ERR_CLOSED: there will be none. Suspends. One task. */
err_t topic_stream_next(struct task *t, struct topic_stream *stream, struct buf *event,
                        bool *ret_has) WARN_UNUSED;
/* Any thread: who waits for an event of any stream looks whether the process ends. */
void topic_streams_nudge(void);
/* What the client says, by a packed TopicEventResponse, of the oldest unanswered event of that id.
 * False: it has none. */
bool topic_stream_answer(struct topic_stream *stream, struct slice id, struct slice response);
/* The process ends: suspends until nothing comes any more and what is out has been answered, or has
 * had the time for it. */
void topic_stream_finish(struct task *t, struct topic_stream *stream);
/* No event comes any more; what is unanswered goes back. */
void topic_stream_end(struct topic_stream *stream);
/* Ends it, lets the topic go if nobody else has it, and frees the stream. Suspends. */
void topic_stream_close(struct task *t, struct topic_stream *stream);

#endif
