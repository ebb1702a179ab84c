/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Membership in the consumer group. Each change of topics makes librdkafka join anew: it takes all
 * partitions away (what is out comes back first, as long as that takes no more than a while) and
 * gives some. Where members are sticky it takes and gives only those that move. Before a partition
 * is fetched its beginning is made certain: a group that has no offset there and starts with what
 * is new commits the end of the partition as its offset, so that nothing published from now on is
 * missed if this process dies before its first commit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker.h"

enum {
    LOOK_MS = 3000,        /* for a topic to come about */
    LOOK_AGAIN_S = 10,     /* for one that did not */
    LOOK_PAUSE_MS = 100,   /* between questions */
    ASK_MS = 5000,         /* for offsets */
    OPENING_S = 20,        /* a subscription then counts as made although no partition came */
    OPENING_OTHERS_S = 2,  /* the same once others have all its partitions */
    REVOKE_S = 30,         /* for what is out to come back */
    CONSUMER_LOOKS_S = 15, /* much less than max.poll.interval.ms */
};

static void update(struct broker *broker);

struct intake *
group_intake(const struct broker *broker, const char *topic)
{
    struct intake *intake = broker->intakes;
    while (intake != NULL && (intake->closing != NULL || strcmp(intake->topic, topic) != 0))
        intake = intake->next;
    return intake;
}

static void
intake_free(struct intake *intake)
{
    ev_timer_stop(remora_loop(), &intake->opening_end);
    ev_timer_stop(remora_loop(), &intake->look);
    free(intake->topic);
    free(intake);
}

/* Whatever of it is open, and whatever is not yet. */
static void
finish_opening(struct broker *broker, const struct waiting *opening)
{
    remora_call *call = opening->call;
    for (struct intake *at = broker->intakes; at != NULL; at = at->next)
        if (at->opening == opening) {
            ev_timer_stop(remora_loop(), &at->opening_end);
            at->opening = NULL;
        }
    remora_reply_ok(call);
    if (broker->consumer.rk != NULL) /* what has been fetched goes on its way */
        ev_feed_event(remora_loop(), &broker->consumer.watcher, EV_READ);
}

static void
opened(struct intake *intake)
{
    struct waiting *opening = intake->opening;
    ev_timer_stop(remora_loop(), &intake->opening_end);
    if (opening == NULL || intake->is_open)
        return;
    intake->is_open = true;
    if (--opening->left == 0)
        finish_opening(intake->broker, opening);
}

static void
on_opening_end(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct intake *intake = watcher->data;
    remora_log(REMORA_INFO, "kafka: no partition of topic %s is ours yet", intake->topic);
    opened(intake);
}

/* --- where partitions begin --------------------------------------------------------------------*/

struct placing {
    struct chore chore;
    struct broker *broker;
    rd_kafka_t *rk;
    bool from_oldest;
    rd_kafka_topic_partition_list_t *partitions; /* owned; gets offsets */
};

/* What cannot be found out librdkafka finds out itself, with less certainty. */
static void
place(struct chore *chore)
{
    struct placing *placing = (struct placing *)chore;
    rd_kafka_topic_partition_list_t *list = placing->partitions, *fresh;
    bool is_known = rd_kafka_committed(placing->rk, list, ASK_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
    fresh = rd_kafka_topic_partition_list_new(list->cnt);
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *at = &list->elems[i];
        int64_t low, high;
        if (!is_known || at->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            at->offset = RD_KAFKA_OFFSET_INVALID;
        at->err = RD_KAFKA_RESP_ERR_NO_ERROR;
        if (!is_known || at->offset >= 0 || placing->from_oldest ||
            rd_kafka_query_watermark_offsets(placing->rk, at->topic, at->partition, &low, &high,
                                             ASK_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        at->offset = high;
        rd_kafka_topic_partition_list_add(fresh, at->topic, at->partition)->offset = high;
    }
    if (fresh->cnt > 0)
        (void)rd_kafka_commit(placing->rk, fresh, 0); /* fetching begins there all the same */
    rd_kafka_topic_partition_list_destroy(fresh);
}

static void
answer_openings(struct broker *broker)
{
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next) {
        const struct partition *partition = broker->partitions;
        if (intake->opening == NULL || intake->is_open || !intake->is_known)
            continue;
        while (partition != NULL && strcmp(partition->topic, intake->topic) != 0)
            partition = partition->next;
        if (partition != NULL) {
            opened(intake);
            continue;
        }
        ev_timer_stop(remora_loop(), &intake->opening_end);
        ev_timer_set(&intake->opening_end, OPENING_OTHERS_S, 0.0);
        ev_timer_start(remora_loop(), &intake->opening_end);
    }
}

/* The consumer's events are taken again. */
static void
let_go_on(struct broker *broker)
{
    broker->group_state = GROUP_STEADY;
    broker->consumer.is_held = false;
    ev_feed_event(remora_loop(), &broker->consumer.watcher, EV_READ);
}

static bool
is_sticky(const struct broker *broker)
{
    return broker->settings.strategy == SHARE_STICKY;
}

static rd_kafka_resp_err_t
assign_all(struct broker *broker, const rd_kafka_topic_partition_list_t *list)
{
    if (!is_sticky(broker))
        return rd_kafka_assign(broker->consumer.rk, list);
    rd_kafka_error_t *error = rd_kafka_incremental_assign(broker->consumer.rk, list);
    rd_kafka_resp_err_t err = error == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR
                                            : rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    return err;
}

static void
on_placed(struct chore *chore)
{
    struct placing *placing = (struct placing *)chore;
    struct broker *broker = placing->broker;
    rd_kafka_topic_partition_list_t *list = placing->partitions;
    bool is_closed = broker->is_closed;
    if (!is_closed) {
        rd_kafka_resp_err_t err = assign_all(broker, list);
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
            client_tell(&broker->consumer, err, rd_kafka_err2str(err));
        for (int i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++)
            (void)partition_new(broker, list->elems[i].topic, list->elems[i].partition);
        let_go_on(broker);
        answer_openings(broker);
    }
    rd_kafka_topic_partition_list_destroy(list);
    free(placing);
    (void)broker_chore_is_over(broker);
}

static void
assign(struct broker *broker, rd_kafka_event_t *event)
{
    struct placing *placing = calloc(1, sizeof *placing);
    if (placing == NULL)
        abort();
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    *placing = (struct placing){ .chore = { .work = place, .done = on_placed },
                                 .broker = broker,
                                 .rk = broker->consumer.rk,
                                 .from_oldest = broker->settings.from_oldest,
                                 .partitions = rd_kafka_topic_partition_list_copy(list) };
    broker->group_state = GROUP_ASSIGNING;
    broker->consumer.is_held = true;
    broker->chores++;
    chore_start(&placing->chore);
}

/* --- partitions that go ------------------------------------------------------------------------*/

static void
forget_partitions(struct broker *broker)
{
    while (broker->partitions != NULL) {
        struct partition *partition = broker->partitions;
        broker->partitions = partition->next;
        partition_forget(partition);
    }
}

static void
forget_revoked(struct broker *broker)
{
    struct partition **at = &broker->partitions;
    while (*at != NULL) {
        struct partition *partition = *at;
        if (!partition->is_revoked) {
            at = &partition->next;
            continue;
        }
        *at = partition->next;
        partition_forget(partition);
    }
}

static void
forget_leaving(struct broker *broker)
{
    if (broker->leaving != NULL)
        rd_kafka_topic_partition_list_destroy(broker->leaving);
    broker->leaving = NULL;
}

/* Commits what is stored. It fails when the group is lost anyway. */
static void
finish_revoke(struct broker *broker)
{
    ev_timer_stop(remora_loop(), &broker->revoke_end);
    if (broker->leaving == NULL)
        (void)rd_kafka_assign(broker->consumer.rk, NULL);
    else
        rd_kafka_error_destroy(rd_kafka_incremental_unassign(broker->consumer.rk, broker->leaving));
    forget_leaving(broker);
    forget_revoked(broker);
    let_go_on(broker);
}

static void
on_revoke_end(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct broker *broker = watcher->data;
    remora_log(REMORA_WARN, "kafka: partitions go while messages are with the application: "
                            "these are delivered again");
    finish_revoke(broker);
}

/* How many records of partitions that go are with the application. */
static size_t
leaving_out(const struct broker *broker)
{
    size_t out = 0;
    for (const struct partition *at = broker->partitions; at != NULL; at = at->next)
        out += at->is_revoked ? at->out : 0;
    return out;
}

static void
take_back(struct broker *broker, const rd_kafka_topic_partition_list_t *list)
{
    bool is_lost = rd_kafka_assignment_lost(broker->consumer.rk) != 0;
    if (is_sticky(broker))
        broker->leaving = rd_kafka_topic_partition_list_copy(list);
    for (struct partition *at = broker->partitions; at != NULL; at = at->next)
        if (!is_sticky(broker) ||
            rd_kafka_topic_partition_list_find(list, at->topic, at->number) != NULL)
            partition_revoke(at);
    if (is_lost || leaving_out(broker) == 0) {
        finish_revoke(broker);
        return;
    }
    broker->group_state = GROUP_REVOKING;
    broker->consumer.is_held = true;
    ev_timer_set(&broker->revoke_end, REVOKE_S, 0.0);
    ev_timer_start(remora_loop(), &broker->revoke_end);
}

/* --- events ------------------------------------------------------------------------------------*/

static struct partition *
find_partition(const struct broker *broker, const char *topic, int32_t number)
{
    struct partition *at = broker->partitions;
    while (at != NULL && (at->number != number || strcmp(at->topic, topic) != 0))
        at = at->next;
    return at;
}

/* Of a partition whose own queue was not there yet. */
static bool
take_early(struct broker *broker, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *message = rd_kafka_event_message_next(event);
    struct partition *partition = message == NULL || message->rkt == NULL
                                      ? NULL
                                      : find_partition(broker, rd_kafka_topic_name(message->rkt),
                                                       message->partition);
    if (message != NULL && message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        client_tell(&broker->consumer, message->err, rd_kafka_message_errstr(message));
    if (partition == NULL || message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    partition_take(partition, event, message);
    partition_pump(partition);
    return true;
}

static bool
on_consumer_event(void *owner, rd_kafka_event_t *event)
{
    struct broker *broker = owner;
    int type = rd_kafka_event_type(event);
    if (type == RD_KAFKA_EVENT_FETCH)
        return take_early(broker, event);
    if (type == RD_KAFKA_EVENT_OFFSET_COMMIT &&
        rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR &&
        rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR__NO_OFFSET)
        remora_log(REMORA_DEBUG, "kafka: offsets could not be committed: %s",
                   rd_kafka_err2str(rd_kafka_event_error(event)));
    if (type != RD_KAFKA_EVENT_REBALANCE)
        return false;
    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        assign(broker, event);
    else
        take_back(broker, rd_kafka_event_topic_partition_list(event));
    return false;
}

static void
pump_all(struct broker *broker)
{
    for (struct partition *at = broker->partitions, *next; at != NULL; at = next) {
        next = at->next;
        partition_pump(at);
    }
}

static void
on_consumer_wake(void *owner)
{
    pump_all(owner);
}

static void
on_consumer_look(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct broker *broker = watcher->data;
    client_poll(&broker->consumer);
}

/* --- topics ------------------------------------------------------------------------------------*/

static bool
join(struct broker *broker, char why[CLIENT_WHY_BYTES])
{
    if (broker->consumer.rk != NULL)
        return true;
    broker->consumer = (struct client){ .owner = broker,
                                        .on_event = on_consumer_event,
                                        .on_wake = on_consumer_wake };
    if (!client_open(&broker->consumer, RD_KAFKA_CONSUMER, &broker->settings, why))
        return false;
    ev_init(&broker->revoke_end, on_revoke_end);
    ev_timer_init(&broker->look, on_consumer_look, CONSUMER_LOOKS_S, CONSUMER_LOOKS_S);
    broker->revoke_end.data = broker->look.data = broker;
    ev_timer_start(remora_loop(), &broker->look);
    return true;
}

static void
fail_openings(struct broker *broker, const char *why)
{
    struct intake **at = &broker->intakes, *intake;
    while ((intake = *at) != NULL) {
        if (intake->opening == NULL) {
            at = &intake->next;
            continue;
        }
        struct waiting *opening = intake->opening;
        *at = intake->next;
        intake_free(intake);
        const struct intake *other = broker->intakes;
        while (other != NULL && other->opening != opening)
            other = other->next;
        if (other == NULL)
            remora_reply_error(opening->call, REMORA_UNAVAILABLE, "kafka: %s", why);
    }
}

/* Tells librdkafka which topics are wanted, once it is known of all that they can be. */
static void
update(struct broker *broker)
{
    char why[CLIENT_WHY_BYTES];
    for (const struct intake *at = broker->intakes; at != NULL; at = at->next)
        if (!at->is_known && at->closing == NULL)
            return;
    if (broker->is_quiet || (broker->intakes == NULL && broker->consumer.rk == NULL))
        return;
    if (!join(broker, why)) {
        fail_openings(broker, why);
        return;
    }
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(8);
    for (const struct intake *at = broker->intakes; at != NULL; at = at->next)
        if (group_intake(broker, at->topic) == at)
            rd_kafka_topic_partition_list_add(topics, at->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = topics->cnt == 0 ? rd_kafka_unsubscribe(broker->consumer.rk)
                                               : rd_kafka_subscribe(broker->consumer.rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (broker->group_state == GROUP_OUT)
        broker->group_state = GROUP_STEADY;
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail_openings(broker, client_words(err));
}

struct looking {
    struct chore chore;
    struct broker *broker;
    rd_kafka_t *rk;
    uint64_t serial; /* of the intake, which may be gone */
    char *topic;     /* owned */
    bool is_there;
};

static bool
has_leader(const struct rd_kafka_metadata *metadata)
{
    if (metadata->topic_cnt != 1 || metadata->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
        if (metadata->topics[0].partitions[i].leader < 0)
            return false;
    return metadata->topics[0].partition_cnt > 0;
}

/* A producer's question makes a server create the topic, if it does such things: a consumer's does
 * not with this librdkafka, while the reference's does. */
static void
look(struct chore *chore)
{
    struct looking *looking = (struct looking *)chore;
    const struct timespec pause = { .tv_nsec = LOOK_PAUSE_MS * 1000000L };
    rd_kafka_topic_t *topic = rd_kafka_topic_new(looking->rk, looking->topic, NULL);
    for (int tries = 0; topic != NULL && tries < LOOK_MS / LOOK_PAUSE_MS; tries++) {
        const struct rd_kafka_metadata *metadata = NULL;
        rd_kafka_resp_err_t err = rd_kafka_metadata(looking->rk, 0, topic, &metadata, LOOK_MS);
        looking->is_there = err == RD_KAFKA_RESP_ERR_NO_ERROR && has_leader(metadata);
        if (metadata != NULL)
            rd_kafka_metadata_destroy(metadata);
        if (looking->is_there || err != RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        (void)nanosleep(&pause, NULL);
    }
    if (topic != NULL)
        rd_kafka_topic_destroy(topic);
}

static void
looked(struct broker *broker, const struct looking *looking)
{
    struct intake *intake = broker->intakes;
    while (intake != NULL && intake->serial != looking->serial)
        intake = intake->next;
    if (intake == NULL)
        return;
    bool was_known = intake->is_known;
    intake->is_looking = false;
    intake->is_known = true;
    if (!looking->is_there && !was_known)
        remora_log(REMORA_WARN, "kafka: there is no topic %s yet", intake->topic);
    if (!looking->is_there) {
        ev_timer_set(&intake->look, LOOK_AGAIN_S, 0.0);
        ev_timer_start(remora_loop(), &intake->look);
    }
    if (!was_known || looking->is_there)
        update(broker);
    group_settle(broker);
}

static void
on_looked(struct chore *chore)
{
    struct looking *looking = (struct looking *)chore;
    struct broker *broker = looking->broker;
    if (!broker->is_closed)
        looked(broker, looking);
    free(looking->topic);
    free(looking);
    (void)broker_chore_is_over(broker);
}

static void
start_look(struct intake *intake)
{
    struct looking *looking = calloc(1, sizeof *looking);
    char *topic = strdup(intake->topic);
    if (looking == NULL || topic == NULL)
        abort();
    *looking = (struct looking){ .chore = { .work = look, .done = on_looked },
                                 .broker = intake->broker,
                                 .rk = intake->broker->producer.rk,
                                 .serial = intake->serial,
                                 .topic = topic };
    intake->is_looking = true;
    intake->broker->chores++;
    chore_start(&looking->chore);
}

static void
on_look(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    start_look(watcher->data);
}

/* --- subscriptions -----------------------------------------------------------------------------*/

struct intake *
group_add(struct broker *broker, uint64_t id, char *topic, struct waiting *opening)
{
    struct intake *intake = calloc(1, sizeof *intake);
    if (intake == NULL)
        abort();
    *intake = (struct intake){ .next = broker->intakes,
                               .broker = broker,
                               .id = id,
                               .serial = ++broker->intakes_made,
                               .topic = topic,
                               .out_max = 1,
                               .batch_max = 1,
                               .opening = opening };
    broker->intakes = intake;
    opening->left++;
    ev_timer_init(&intake->opening_end, on_opening_end, OPENING_S, 0.0);
    ev_init(&intake->look, on_look);
    intake->opening_end.data = intake->look.data = intake;
    ev_timer_start(remora_loop(), &intake->opening_end);
    start_look(intake);
    return intake;
}

bool
group_end(struct broker *broker, uint64_t id, remora_call *call)
{
    struct waiting *closing = remora_call_alloc(call, sizeof *closing);
    *closing = (struct waiting){ .call = call };
    for (struct intake *intake = broker->intakes; intake != NULL; intake = intake->next) {
        if (intake->id != id || intake->closing != NULL)
            continue;
        if (intake->opening != NULL)
            finish_opening(broker, intake->opening);
        intake->closing = closing;
        closing->left++;
    }
    if (closing->left == 0)
        return false;
    group_settle(broker);
    return true;
}

/* What is wrong with the kind of values that a subscription asks for; NULL: nothing. */
static const char *
read_kind(const struct broker *broker, const struct remora_subscription *wanted, char *words,
          size_t words_bytes, bool *ret_avro)
{
    struct remora_slice kind = { "none", 4 };
    (void)remora_metadata_get(wanted->metadata, wanted->metadata_count, "valueSchemaType", &kind);
    if (!headers_read_kind(kind, ret_avro, words, words_bytes))
        return words;
    return *ret_avro && broker->registry == NULL ? "schema registry details not set" : NULL;
}

void
broker_subscribe(remora_call *call, void *self, const struct remora_subscription *wanted)
{
    struct broker *broker = self;
    char words[HEADERS_KIND_BYTES];
    bool is_avro;
    const char *fault = read_kind(broker, wanted, words, sizeof words, &is_avro);
    char *topic = remora_slice_dup(wanted->topic);
    if (topic == NULL || topic[0] == '\0')
        fault = "kafka: the topic's name is invalid";
    if (fault != NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", fault);
        free(topic);
        return;
    }
    size_t batch = wanted->batch_messages_max > 1 ? wanted->batch_messages_max : 1;
    size_t window = wanted->window > 0 ? wanted->window : 1;
    struct waiting *opening = remora_call_alloc(call, sizeof *opening);
    *opening = (struct waiting){ .call = call };
    struct intake *intake = group_add(broker, wanted->id, topic, opening);
    intake->out_max = window;
    intake->batch_max = batch > window ? window : batch;
    intake->batch_await_ms = wanted->batch_await_ms;
    intake->is_avro = is_avro;
}

void
broker_unsubscribe(remora_call *call, void *self, uint64_t id)
{
    if (!group_end(self, id, call))
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such subscription");
}

/* Ends what has come to rest. */
void
group_settle(struct broker *broker)
{
    struct intake **at = &broker->intakes, *intake;
    bool is_less = false;
    while ((intake = *at) != NULL) {
        if (intake->closing == NULL || intake->out > 0) {
            at = &intake->next;
            continue;
        }
        struct waiting *closing = intake->closing;
        *at = intake->next;
        intake_free(intake);
        if (--closing->left == 0)
            remora_reply_ok(closing->call);
        is_less = true;
    }
    if (is_less)
        update(broker);
    if (broker->group_state == GROUP_REVOKING && leaving_out(broker) == 0)
        finish_revoke(broker);
    broker_settle(broker);
}

void
group_free(struct broker *broker)
{
    ev_timer_stop(remora_loop(), &broker->revoke_end);
    ev_timer_stop(remora_loop(), &broker->look);
    forget_leaving(broker);
    forget_partitions(broker);
    while (broker->gone != NULL) {
        struct partition *partition = broker->gone;
        broker->gone = partition->next;
        partition_abandon(partition);
    }
    while (broker->intakes != NULL) {
        struct intake *intake = broker->intakes;
        broker->intakes = intake->next;
        intake_free(intake);
    }
}
