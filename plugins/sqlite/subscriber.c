/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One subscription. It has at most one exchange with the writer at a time: the verdicts that have
 * gathered go there, and as many messages come back as there is room for, all in one transaction.
 * While that is on its way the next verdicts gather, so that a busy subscription needs few
 * transactions and an idle one none.
 */
#include "pubsub.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "allocate.h"
#include "timestamp.h"

enum { RETRY_MS = 500, CLOSED_TRIES_MAX = 4, DUE_MIN_MS = 5, DUE_MAX_MS = 60 * 1000 };

struct exchange {
    struct write write; /* first */
    struct subscriber *subscriber;
    struct settled *settled; /* owned */
    struct claim_wish wish;
    struct claimed claimed;
};

/* A message that the sidecar has. */
struct item {
    struct subscriber *subscriber;
    struct settled *verdict; /* owned: what becomes of it */
    size_t bytes;
};

/* --- verdicts ----------------------------------------------------------------------------------*/

static void
put_settled(struct subscriber *subscriber, struct settled *settled)
{
    settled->next = NULL;
    *subscriber->settled_tail = settled;
    subscriber->settled_tail = &settled->next;
}

static void
free_settled(struct settled *settled)
{
    for (struct settled *next; settled != NULL; settled = next) {
        next = settled->next;
        free(settled);
    }
}

static void
on_delivered(const enum remora_verdict *verdicts, size_t count, void *arg)
{
    struct item *item = arg;
    struct subscriber *subscriber = item->subscriber;
    struct pubsub *pubsub = subscriber->pubsub;
    subscriber->messages_on_their_way--;
    subscriber->bytes_on_their_way -= item->bytes;
    item->verdict->how = count > 0 && verdicts[0] == REMORA_DONE ? SETTLE_DONE : SETTLE_RETRY;
    put_settled(subscriber, item->verdict);
    free(item);
    subscriber_go_on(subscriber);
    pubsub_unhold(pubsub);
}

static struct settled *
settled_of(const struct letter *letter)
{
    struct settled *settled = allocate(sizeof(*settled));
    *settled = (struct settled){ .id = letter->id, .attempts = letter->attempts };
    return settled;
}

static void
hand_over(struct subscriber *subscriber, const struct letter *letter)
{
    char id[24];
    int len = snprintf(id, sizeof(id), "%" PRId64, letter->id);
    struct item *item = allocate(sizeof(*item));
    *item = (struct item){ .subscriber = subscriber,
                           .verdict = settled_of(letter),
                           .bytes = letter->data.len };
    subscriber->messages_on_their_way++;
    subscriber->bytes_on_their_way += item->bytes;
    subscriber->pubsub->jobs++;
    const struct remora_message message = { .id = { id, (size_t)len },
                                            .content_type = letter->content_type,
                                            .data = letter->data,
                                            .metadata = letter->metadata,
                                            .metadata_count = letter->metadata_count };
    remora_deliver(subscriber->id, &message, 1, on_delivered, item);
}

/* --- exchanges ---------------------------------------------------------------------------------*/

bool
subscriber_is_idle(const struct subscriber *subscriber)
{
    return subscriber->exchange == NULL && subscriber->settled == NULL &&
           subscriber->messages_on_their_way == 0;
}

static void
set_due(struct subscriber *subscriber, int64_t after_ms)
{
    int64_t ms = after_ms < DUE_MIN_MS ? DUE_MIN_MS : after_ms;
    ms = ms > DUE_MAX_MS ? DUE_MAX_MS : ms;
    ev_timer_stop(remora_loop(), &subscriber->due);
    ev_timer_set(&subscriber->due, (double)ms / 1000, 0);
    ev_timer_start(remora_loop(), &subscriber->due);
}

static void
on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct subscriber *subscriber = timer->data;
    subscriber->has_news = true;
    subscriber_go_on(subscriber);
}

/* On the writer's thread. */
static struct failure *
apply_exchange(struct write *write, struct connection *connection)
{
    struct exchange *exchange = (struct exchange *)write;
    return topic_exchange(connection, &exchange->wish, &exchange->claimed);
}

/* The verdicts go there again: before those that have come meanwhile. */
static void
take_back_settled(struct subscriber *subscriber, struct exchange *exchange)
{
    if (exchange->settled == NULL)
        return;
    struct settled *last = exchange->settled;
    while (last->next != NULL)
        last = last->next;
    last->next = subscriber->settled;
    if (subscriber->settled == NULL)
        subscriber->settled_tail = &last->next;
    subscriber->settled = exchange->settled;
    exchange->settled = NULL;
}

/* The file is as it was. Who is to end does not wait for it for ever: a message whose verdict is
 * not written comes again. */
static void
on_failed(struct subscriber *subscriber, struct exchange *exchange)
{
    struct pubsub *pubsub = subscriber->pubsub;
    if (!pubsub->is_failing)
        remora_log(REMORA_WARN, "messages of topic %s wait: %s", subscriber->group.topic,
                   exchange->write.job.failure->base.message);
    pubsub->is_failing = true;
    subscriber->failures++;
    if (!subscriber->is_closed || subscriber->failures < CLOSED_TRIES_MAX)
        take_back_settled(subscriber, exchange);
    set_due(subscriber, RETRY_MS);
}

static void
take_claimed(struct subscriber *subscriber, struct exchange *exchange)
{
    const struct claimed *claimed = &exchange->claimed;
    subscriber->pubsub->is_failing = false;
    subscriber->failures = 0;
    if (exchange->wish.messages_max > 0)
        subscriber->has_news |= claimed->is_partial ||
                                claimed->count >= exchange->wish.messages_max;
    if (claimed->next_due_ms != 0)
        set_due(subscriber, claimed->next_due_ms - timestamp_now_unix_ms());
    for (const struct letter *letter = claimed->letters; letter != NULL; letter = letter->next) {
        if (subscriber->is_closed) {
            struct settled *settled = settled_of(letter);
            settled->how = SETTLE_RELEASE;
            put_settled(subscriber, settled);
        } else {
            hand_over(subscriber, letter);
        }
    }
}

static void
finish_exchange(struct job *job)
{
    struct exchange *exchange = (struct exchange *)job;
    struct subscriber *subscriber = exchange->subscriber;
    struct pubsub *pubsub = subscriber->pubsub;
    bool ok = job->failure == NULL;
    subscriber->exchange = NULL;
    if (ok)
        take_claimed(subscriber, exchange);
    else
        on_failed(subscriber, exchange);
    free_settled(exchange->settled);
    topic_claimed_fini(&exchange->claimed);
    failure_free(job->failure);
    free(exchange);
    if (ok)
        subscriber_go_on(subscriber);
    pubsub_unhold(pubsub);
}

/* What there is room for. */
static void
fill_wish(struct subscriber *subscriber, struct claim_wish *wish)
{
    bool has_room = subscriber->messages_on_their_way < subscriber->window &&
                    subscriber->bytes_on_their_way < CLAIM_BYTES_MAX;
    if (!has_room || subscriber->is_closed)
        return;
    wish->messages_max = subscriber->window - subscriber->messages_on_their_way;
    if (wish->messages_max > CLAIM_MESSAGES_MAX)
        wish->messages_max = CLAIM_MESSAGES_MAX;
    wish->bytes_max = CLAIM_BYTES_MAX - subscriber->bytes_on_their_way;
}

static void
begin_exchange(struct subscriber *subscriber, const struct claim_wish *wish)
{
    struct pubsub *pubsub = subscriber->pubsub;
    struct exchange *exchange = allocate(sizeof(*exchange));
    size_t count = wish->messages_max;
    for (const struct settled *one = subscriber->settled; one != NULL; one = one->next)
        count++;
    *exchange = (struct exchange){
        .write = { .job = { .finish = finish_exchange,
                            .deadline_ms = UINT64_MAX,
                            .bytes = sizeof(*exchange) },
                   .table = pubsub->rules.table,
                   .count = count,
                   .is_atomic = true,
                   .apply = apply_exchange },
        .subscriber = subscriber,
        .settled = subscriber->settled,
        .wish = *wish,
    };
    exchange->wish.settled = exchange->settled;
    subscriber->settled = NULL;
    subscriber->settled_tail = &subscriber->settled;
    subscriber->exchange = exchange;
    if (wish->messages_max > 0)
        subscriber->has_news = false;
    subscriber->is_clean_due = false;
    pubsub->jobs++;
    struct job *job = &exchange->write.job;
    job->failure = worker_submit(&pubsub->database->writer, job);
    if (job->failure != NULL)
        job->finish(job);
    else
        worker_flush(&pubsub->database->writer);
}

static void
answer_closing(struct subscriber *subscriber)
{
    struct pubsub *pubsub = subscriber->pubsub;
    remora_reply_ok(subscriber->closing);
    struct subscriber **link = &pubsub->subscribers;
    while (*link != subscriber)
        link = &(*link)->next;
    *link = subscriber->next;
    subscriber_free(subscriber);
}

void
subscriber_go_on(struct subscriber *subscriber)
{
    if (subscriber->exchange != NULL || subscriber->group.id == 0)
        return;
    struct pubsub *pubsub = subscriber->pubsub;
    struct claim_wish wish = { .rules = &pubsub->rules,
                               .group = &subscriber->group,
                               .owner = &pubsub->owner,
                               .clean = subscriber->is_clean_due && !subscriber->is_closed };
    fill_wish(subscriber, &wish);
    if (subscriber->settled != NULL || wish.clean ||
        (subscriber->has_news && wish.messages_max > 0))
        begin_exchange(subscriber, &wish);
    else if (subscriber->closing != NULL && subscriber_is_idle(subscriber))
        answer_closing(subscriber);
}

/* --- coming and going --------------------------------------------------------------------------*/

void
subscriber_free(struct subscriber *subscriber)
{
    ev_timer_stop(remora_loop(), &subscriber->due);
    free_settled(subscriber->settled);
    free(subscriber->group.topic);
    free(subscriber->group_name);
    free(subscriber);
}

/* Joining its group. */
struct joining {
    struct write write; /* first */
    struct subscriber *subscriber;
};

/* On the writer's thread. The group is the writer's alone until this has finished. */
static struct failure *
apply_joining(struct write *write, struct connection *connection)
{
    struct subscriber *subscriber = ((struct joining *)write)->subscriber;
    return topic_join(connection, &subscriber->pubsub->rules, &subscriber->group);
}

static void
finish_joining(struct job *job)
{
    struct subscriber *subscriber = ((struct joining *)job)->subscriber;
    struct pubsub *pubsub = subscriber->pubsub;
    remora_call *call = subscriber->opening;
    subscriber->opening = NULL;
    if (job->failure != NULL) {
        remora_reply_failure(call, &job->failure->base);
        subscriber_free(subscriber);
    } else {
        subscriber->next = pubsub->subscribers;
        pubsub->subscribers = subscriber;
        subscriber->is_closed = pubsub->is_closed;
        subscriber->has_news = subscriber->is_clean_due = true;
        remora_reply_ok(call);
        subscriber_go_on(subscriber);
    }
    failure_free(job->failure);
    free(job);
    pubsub_unhold(pubsub);
}

static struct subscriber *
subscriber_new(struct pubsub *pubsub, const struct remora_subscription *wanted)
{
    struct remora_slice text;
    struct subscriber *subscriber = allocate(sizeof(*subscriber));
    *subscriber = (struct subscriber){
        .pubsub = pubsub,
        .id = wanted->id,
        .window = wanted->window > 0 ? wanted->window : 1,
        .group = { .topic = remora_slice_dup(wanted->topic), .from_start = pubsub->from_start },
    };
    subscriber->settled_tail = &subscriber->settled;
    ev_timer_init(&subscriber->due, on_due, 0, 0);
    subscriber->due.data = subscriber;
    if (remora_metadata_get(wanted->metadata, wanted->metadata_count, "consumerID", &text) &&
        text.len > 0 && text.len <= GROUP_NAME_BYTES_MAX)
        subscriber->group_name = remora_slice_dup(text);
    if (remora_metadata_get(wanted->metadata, wanted->metadata_count, "consumeFromStart", &text))
        (void)remora_parse_bool(text, &subscriber->group.from_start); /* else as the component */
    subscriber->group.name = subscriber->group_name != NULL ? subscriber->group_name
                                                            : pubsub->group_name;
    return subscriber;
}

void
subscriber_open(remora_call *call, void *self, const struct remora_subscription *wanted)
{
    struct pubsub *pubsub = self;
    if (wanted->topic.len == 0 || wanted->topic.len > TOPIC_BYTES_MAX ||
        memchr(wanted->topic.data, '\0', wanted->topic.len) != NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "the topic's name is empty or too long");
        return;
    }
    struct subscriber *subscriber = subscriber_new(pubsub, wanted);
    subscriber->opening = call;
    struct joining *joining = allocate(sizeof(*joining));
    *joining = (struct joining){
        .write = { .job = { .finish = finish_joining,
                            .deadline_ms = monotonic_now_ms() + (uint64_t)pubsub->config.timeout_ms,
                            .bytes = sizeof(*joining) },
                   .table = pubsub->rules.table,
                   .count = 2,
                   .is_atomic = true,
                   .apply = apply_joining },
        .subscriber = subscriber,
    };
    pubsub->jobs++;
    struct job *job = &joining->write.job;
    job->failure = worker_submit(&pubsub->database->writer, job);
    if (job->failure != NULL)
        job->finish(job);
}

void
subscriber_stop(struct subscriber *subscriber)
{
    subscriber->is_closed = true;
    subscriber_go_on(subscriber);
}

void
subscriber_unsubscribe(remora_call *call, void *self, uint64_t id)
{
    struct pubsub *pubsub = self;
    struct subscriber *subscriber = pubsub->subscribers;
    while (subscriber != NULL && subscriber->id != id)
        subscriber = subscriber->next;
    if (subscriber == NULL || subscriber->closing != NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such subscription");
        return;
    }
    subscriber->closing = call;
    subscriber_stop(subscriber);
}
