/* SPDX-License-Identifier: Apache-2.0 */
/* Events offered to streams; see topic_stream.h. */
#include "api/topic_stream.h"

#include <pthread.h>
#include <stdlib.h>

#include "api/deliver_grpc.h"
#include "api/operation.h"
#include "api/subscriber.h"
#include "api/topic_answer.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"

/* Streams of one topic; exists while there is one. */
struct topic {
    struct list streams;
};

struct topic_stream {
    struct list link; /* of its topic; registry.lock */
    atomic_uint refs; /* its owner's, and one for each offer */
    atomic_uint load; /* offers that are not done */
    struct worker *worker;
    struct subscriber *subscriber;
    struct topic_spec *spec; /* counted */
    struct topic_entry *entry;
    /* Its worker only. */
    struct list unsent, sent; /* offers, in order */
    size_t sent_bytes;
    bool is_over;
    bool is_nudged;
    struct wait *wait; /* for the next event; NULL: nobody waits */
};

/* One event that a task of any worker offers and waits for. On the heap, since an order to take it
 * back may be on its way when it has been answered. */
struct offer {
    struct list link; /* of the stream; its worker only, as are the flags */
    atomic_uint refs; /* of who offers, of the stream, of an order to take it back */
    struct topic_stream *stream;
    const struct topic_event *event; /* of who offers; until it is done */
    enum verdict verdict;
    bool is_sent;
    bool is_done;
    struct wait wait;
    struct mail offered;
    struct mail taken_back;
};

/* Of the process: events come on any worker. */
static struct registry {
    pthread_mutex_t lock;
    struct map topics; /* key_of() → struct topic */
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- who is there ------------------------------------------------------------------------------*/

static struct slice
key_of(struct arena *arena, const struct topic_spec *spec)
{
    return arena_printf(arena, SLICE_FMT "\n" SLICE_FMT, SLICE_ARG(spec->pubsub),
                        SLICE_ARG(spec->topic));
}

static void
stream_unref(struct topic_stream *stream)
{
    /* Release what was done with it, for whoever frees it. */
    if (atomic_fetch_sub_explicit(&stream->refs, 1, memory_order_acq_rel) > 1)
        return;
    topic_spec_unref(stream->spec);
    free(stream);
}

static void
enlist(struct topic_stream *stream)
{
    struct slice key = key_of(&stream->spec->arena, stream->spec);
    (void)pthread_mutex_lock(&registry.lock);
    struct topic *topic = map_get(&registry.topics, key);
    if (topic == NULL) {
        topic = malloc(sizeof *topic);
        if (topic == NULL)
            abort();
        list_init(&topic->streams);
        (void)map_put(&registry.topics, key, topic); /* there was none */
    }
    list_append(&topic->streams, &stream->link);
    (void)pthread_mutex_unlock(&registry.lock);
}

static void
delist(struct topic_stream *stream, struct arena *scratch)
{
    struct slice key = key_of(scratch, stream->spec);
    (void)pthread_mutex_lock(&registry.lock);
    struct topic *topic = map_get(&registry.topics, key);
    list_remove(&stream->link);
    if (topic != NULL && list_is_empty(&topic->streams)) {
        free(map_remove(&registry.topics, key));
        if (registry.topics.count == 0) { /* nothing is left behind at the end of the process */
            map_fini(&registry.topics);
            map_init(&registry.topics);
        }
    }
    (void)pthread_mutex_unlock(&registry.lock);
}

/* Whoever has least to do, in turn among equals; one reference. NULL: nobody is there. */
static struct topic_stream *
pick(struct arena *arena, const struct topic_spec *spec)
{
    struct slice key = key_of(arena, spec);
    struct topic_stream *best = NULL;
    unsigned least = 0;
    (void)pthread_mutex_lock(&registry.lock);
    struct topic *topic = map_get(&registry.topics, key);
    struct list *streams = topic == NULL ? NULL : &topic->streams;
    for (struct list *at = topic == NULL ? NULL : streams->next; at != streams; at = at->next) {
        struct topic_stream *stream = container_of(at, struct topic_stream, link);
        /* Only a hint: nothing is read because of it. */
        unsigned load = atomic_load_explicit(&stream->load, memory_order_relaxed);
        if (best == NULL || load < least) {
            best = stream;
            least = load;
        }
        if (least == 0)
            break;
    }
    if (best != NULL) {
        (void)atomic_fetch_add_explicit(&best->refs, 1, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&best->load, 1, memory_order_relaxed);
        list_remove(&best->link);
        list_append(streams, &best->link);
    }
    (void)pthread_mutex_unlock(&registry.lock);
    return best;
}

/* --- offers ------------------------------------------------------------------------------------*/

static void
offer_unref(struct offer *offer)
{
    /* As with streams. */
    if (atomic_fetch_sub_explicit(&offer->refs, 1, memory_order_acq_rel) == 1) {
        stream_unref(offer->stream); /* NOLINT(clang-analyzer-unix.Malloc): counted */
        free(offer);
    }
}

static void
wake(struct topic_stream *stream)
{
    if (stream->wait != NULL)
        wait_done(TAKE(stream->wait), OK);
}

/* The stream has nothing to do with it any more. Its worker. */
static void
settle(struct offer *offer, err_t result)
{
    struct topic_stream *stream = offer->stream;
    list_remove(&offer->link);
    if (offer->is_sent)
        stream->sent_bytes -= offer->event->packed.len;
    offer->is_done = true;
    (void)atomic_fetch_sub_explicit(&stream->load, 1, memory_order_relaxed);
    wake(stream); /* there may be room for another */
    wait_done(&offer->wait, result);
    offer_unref(offer);
}

static void
on_offered(struct mail *mail)
{
    struct offer *offer = container_of(mail, struct offer, offered);
    struct topic_stream *stream = offer->stream;
    if (stream->is_over) {
        settle(offer, ERR_CLOSED);
        return;
    }
    list_append(&stream->unsent, &offer->link);
    wake(stream);
}

static void
on_taken_back(struct mail *mail)
{
    struct offer *offer = container_of(mail, struct offer, taken_back);
    if (!offer->is_done)
        settle(offer, ERR_CANCELLED);
    offer_unref(offer);
}

/* Comes once at most. */
static void
take_back(struct wait *wait)
{
    struct offer *offer = container_of(wait, struct offer, wait);
    (void)atomic_fetch_add_explicit(&offer->refs, 1, memory_order_relaxed);
    worker_post(offer->stream->worker, &offer->taken_back, on_taken_back);
}

/* Takes over the reference to the stream. */
static err_t
offer_to(struct task *t, struct topic_stream *stream, const struct topic_event *event,
         enum verdict *ret_verdict)
{
    struct offer *offer = calloc(1, sizeof *offer);
    if (offer == NULL)
        abort();
    atomic_init(&offer->refs, 2);
    list_init(&offer->link);
    offer->stream = stream;
    offer->event = event;
    offer->verdict = VERDICT_RETRY;
    wait_init(&offer->wait, t, take_back);
    worker_post(stream->worker, &offer->offered, on_offered);
    err_t err = TASK_WAIT(t, &offer->wait);
    *ret_verdict = offer->verdict;
    offer_unref(offer);
    return err;
}

/* What a stream has left unanswered may be answered by another, once: an
 * event that ends every stream must not go round among them. */
static err_t
offer_event(struct request *rq, struct subscription *subscription, const struct topic_event *event,
            enum verdict *ret_verdict)
{
    unsigned lost = 0;
    struct topic_stream *stream;
    while (lost < 2 && (stream = pick(rq->arena, subscription->spec)) != NULL) {
        err_t err = offer_to(rq->task, stream, event, ret_verdict); /* suspends */
        if (err == ERR_TOO_LARGE)
            return DIAG_FAIL(task_diag(rq->task), err, "the event is larger than messages may be");
        if (err != ERR_CLOSED && err != ERR_PEER_LOST)
            return err;
        lost += err == ERR_PEER_LOST;
    }
    if (lost > 0)
        return DIAG_FAIL(task_diag(rq->task), ERR_PEER_LOST, "the stream of the subscriber ended");
    return DIAG_FAIL(task_diag(rq->task), ERR_CLOSED, "nobody has a stream open for the topic");
}

static const struct topic_taker stream_taker = { .take = offer_event };

/* --- a stream ----------------------------------------------------------------------------------*/

static struct topic_spec *
spec_of(struct request *rq, const struct topic_stream_wish *wish)
{
    struct topic_spec *spec = topic_spec_new(TOPIC_STREAMING);
    spec->pubsub = arena_dup(&spec->arena, wish->pubsub);
    spec->topic = arena_dup(&spec->arena, wish->topic);
    spec->dead_letter_topic = arena_dup(&spec->arena, wish->dead_letter_topic);
    topic_spec_set_metadata(spec, wish->metadata, wish->metadata_count);
    /* Without a rule there is nothing that could be wrong. */
    (void)!topic_rules_set(spec, NULL, 0, SLICE("/"), task_diag(rq->task));
    return spec;
}

err_t
topic_stream_open(struct request *rq, const struct topic_stream_wish *wish,
                  struct topic_stream **ret_stream)
{
    const struct component *broker = operation_component(rq, COMPONENT_PUBSUB,
                                                         wish->pubsub); /* suspends */
    if (broker == NULL)
        return fail(rq, ERR_PUBSUB_NOT_FOUND, "pubsub " SLICE_FMT " is not found",
                    SLICE_ARG(wish->pubsub));
    if (!topic_scopes_may_subscribe(&broker->facts->scopes, wish->topic))
        return fail(rq, ERR_PUBSUB_FORBIDDEN,
                    "subscription to topic '" SLICE_FMT "' on pubsub '" SLICE_FMT
                    "' is not allowed",
                    SLICE_ARG(wish->topic), SLICE_ARG(wish->pubsub));
    struct topic_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        abort();
    atomic_init(&stream->refs, 1);
    stream->worker = task_worker(rq->task);
    stream->subscriber = rq->kernel->subscriber;
    stream->spec = spec_of(rq, wish);
    list_init(&stream->link);
    list_init(&stream->unsent);
    list_init(&stream->sent);
    enlist(stream);
    err_t err = subscriber_add(rq->task, stream->subscriber, stream->spec, &stream_taker,
                               &stream->entry); /* suspends */
    if (err == OK) {
        *ret_stream = stream;
        return OK;
    }
    (void)fail(rq, err,
               "error while subscribing to topic " SLICE_FMT " in pubsub " SLICE_FMT ": " SLICE_FMT,
               SLICE_ARG(wish->topic), SLICE_ARG(wish->pubsub),
               SLICE_ARG(task_diag(rq->task)->message));
    topic_stream_close(rq->task, stream); /* suspends */
    return err;
}

/* The first that may go out now. */
static struct offer *
next_offer(const struct topic_stream *stream)
{
    if (list_is_empty(&stream->unsent))
        return NULL;
    struct offer *offer = container_of(stream->unsent.next, struct offer, link);
    /* settle() takes an offer off the list before it goes. */
    size_t bytes = stream->sent_bytes +
                   offer->event->packed.len; /* NOLINT(clang-analyzer-unix.Malloc) */
    return list_is_empty(&stream->sent) || bytes <= LIMIT_topic_stream_bytes ? offer : NULL;
}

static err_t
await(struct task *t, struct topic_stream *stream)
{
    struct wait wait;
    wait_init(&wait, t, NULL);
    stream->wait = &wait;
    err_t err = TASK_WAIT(t, &wait);
    stream->wait = NULL;
    return err;
}

err_t
topic_stream_next(struct task *t, struct topic_stream *stream, struct buf *event, bool *ret_has)
{
    *ret_has = false;
    while (!stream->is_over) {
        struct offer *offer = next_offer(stream);
        if (offer == NULL && stream->is_nudged) {
            stream->is_nudged = false;
            return OK;
        }
        if (offer == NULL) {
            err_t err = await(t, stream); /* suspends */
            if (err != OK)
                return err;
        } else if (!buf_append(event, offer->event->packed)) {
            settle(offer, ERR_TOO_LARGE);
        } else {
            offer->is_sent = *ret_has = true;
            stream->sent_bytes += offer->event->packed.len;
            list_remove(&offer->link);
            list_append(&stream->sent, &offer->link);
            return OK;
        }
    }
    return ERR_CLOSED;
}

struct nudge {
    struct mail mail;
    struct topic_stream *stream; /* counted */
};

static void
on_nudge(struct mail *mail)
{
    struct nudge *nudge = container_of(mail, struct nudge, mail);
    nudge->stream->is_nudged = true;
    wake(nudge->stream);
    stream_unref(nudge->stream);
    free(nudge);
}

static void
nudge_all(struct topic *topic)
{
    for (struct list *at = topic->streams.next; at != &topic->streams; at = at->next) {
        struct nudge *nudge = malloc(sizeof *nudge);
        if (nudge == NULL)
            abort();
        nudge->stream = container_of(at, struct topic_stream, link);
        (void)atomic_fetch_add_explicit(&nudge->stream->refs, 1, memory_order_relaxed);
        worker_post(nudge->stream->worker, &nudge->mail, on_nudge);
    }
}

void
topic_streams_nudge(void)
{
    size_t cursor = 0;
    struct slice key;
    void *topic;
    (void)pthread_mutex_lock(&registry.lock);
    while (map_next(&registry.topics, &cursor, &key, &topic))
        nudge_all(topic);
    (void)pthread_mutex_unlock(&registry.lock);
}

bool
topic_stream_answer(struct topic_stream *stream, struct slice id, struct slice response)
{
    for (struct list *at = stream->sent.next; at != &stream->sent; at = at->next) {
        struct offer *offer = container_of(at, struct offer, link);
        if (!slice_eq(offer->event->id, id))
            continue;
        offer->verdict = deliver_verdict_of_grpc(response, id);
        settle(offer, OK);
        return true;
    }
    return false;
}

void
topic_stream_finish(struct task *t, struct topic_stream *stream)
{
    err_t err = subscriber_finish(t, stream->subscriber); /* suspends */
    (void)err; /* cancelled, or no task is to be had for it: then it ends now */
}

void
topic_stream_end(struct topic_stream *stream)
{
    struct arena scratch;
    if (stream->is_over)
        return;
    arena_init(&scratch);
    delist(stream, &scratch);
    arena_fini(&scratch);
    stream->is_over = true;
    /* The analyser does not see that settle() takes offers off the lists. */
    while (!list_is_empty(&stream->sent))
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        settle(container_of(stream->sent.next, struct offer, link), ERR_PEER_LOST);
    while (!list_is_empty(&stream->unsent))
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        settle(container_of(stream->unsent.next, struct offer, link), ERR_CLOSED);
    wake(stream);
}

void
topic_stream_close(struct task *t, struct topic_stream *stream)
{
    topic_stream_end(stream);
    subscriber_remove(t, stream->subscriber, stream->entry); /* suspends */
    stream_unref(stream);
}
