/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in memory. Publishing puts a copy into the queue of every subscription of the topic and
 * returns; a topic without any swallows. A queue hands out as many messages as its window allows,
 * in order; what was refused is gone, since whoever wanted it again has had a policy for that.
 */
#include "broker.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUE_BYTES_MAX = 64 * 1024 * 1024 }; /* of one subscription, those on their way included */

/* One published message, shared by the queues it is in. */
struct letter {
    size_t refs;
    size_t bytes;
    struct remora_slice topic;
    struct remora_message message; /* its metadata and texts follow the struct */
};

struct item {
    struct item *next;
    struct queue *queue;
    struct letter *letter;
};

/* A subscription. */
struct queue {
    struct queue *next;
    struct broker *broker;
    uint64_t id;
    char *topic;
    uint32_t window;
    uint32_t on_their_way;
    size_t bytes;
    struct item *first, **last;
    remora_call *closing; /* unsubscribe, answered when nothing is on its way */
    bool is_closed;       /* gets nothing new */
};

struct broker {
    struct queue *queues;
    remora_call *quiescing;
    bool is_closed; /* freed with the last queue that has messages on their way */
};

/* --- letters -----------------------------------------------------------------------------------*/

static size_t
texts_of(const struct remora_publish *from)
{
    size_t bytes = from->topic.len + from->content_type.len + from->data.len;
    for (size_t i = 0; i < from->metadata_count; i++)
        bytes += from->metadata[i].name.len + from->metadata[i].value.len;
    return bytes;
}

static struct remora_slice
put(char **at, struct remora_slice text)
{
    char *copy = *at;
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    *at += text.len;
    return (struct remora_slice){ copy, text.len };
}

static struct letter *
letter_new(const struct remora_publish *from)
{
    size_t bytes = sizeof(struct letter) + from->metadata_count * sizeof(struct remora_pair) +
                   texts_of(from);
    struct letter *letter = malloc(bytes);
    if (letter == NULL)
        return NULL;
    struct remora_pair *pairs = (struct remora_pair *)(letter + 1);
    char *at = (char *)(pairs + from->metadata_count);
    *letter = (struct letter){ .refs = 1, .bytes = bytes };
    letter->topic = put(&at, from->topic);
    letter->message.content_type = put(&at, from->content_type);
    letter->message.data = put(&at, from->data);
    for (size_t i = 0; i < from->metadata_count; i++)
        pairs[i] = (struct remora_pair){ put(&at, from->metadata[i].name),
                                         put(&at, from->metadata[i].value) };
    letter->message.metadata = pairs;
    letter->message.metadata_count = from->metadata_count;
    return letter;
}

static void
letter_unref(struct letter *letter)
{
    if (--letter->refs == 0)
        free(letter);
}

/* --- queues ------------------------------------------------------------------------------------*/

static void hand_out(struct queue *queue);

static void
queue_free(struct queue *queue)
{
    while (queue->first != NULL) {
        struct item *item = queue->first;
        queue->first = item->next;
        letter_unref(item->letter);
        free(item);
    }
    free(queue->topic);
    free(queue);
}

static void
forget(struct queue *queue)
{
    struct queue **at = &queue->broker->queues;
    while (*at != queue)
        at = &(*at)->next;
    *at = queue->next;
    queue_free(queue);
}

static bool
is_idle(const struct broker *broker)
{
    for (const struct queue *queue = broker->queues; queue != NULL; queue = queue->next)
        if (queue->on_their_way > 0 || queue->first != NULL)
            return false;
    return true;
}

static void
settle_quiesce(struct broker *broker)
{
    remora_call *call = broker->quiescing;
    if (call == NULL || !is_idle(broker))
        return;
    broker->quiescing = NULL;
    remora_reply_ok(call);
}

static void
on_delivered(const enum remora_verdict *verdicts, size_t count, void *arg)
{
    struct item *item = arg;
    struct queue *queue = item->queue;
    struct broker *broker = queue->broker;
    if (count > 0 && verdicts[0] == REMORA_RETRY)
        remora_log(REMORA_DEBUG, "a message of topic %s was not taken", queue->topic);
    queue->on_their_way--;
    queue->bytes -= item->letter->bytes;
    letter_unref(item->letter);
    free(item);
    hand_out(queue);
    if (queue->on_their_way == 0 && (queue->closing != NULL || broker->is_closed)) {
        if (queue->closing != NULL)
            remora_reply_ok(queue->closing);
        forget(queue);
    }
    settle_quiesce(broker);
    if (broker->is_closed && broker->queues == NULL)
        free(broker);
}

/* A star at the end of a subscription's topic stands for at least one character. */
static bool
is_pattern(const struct queue *queue)
{
    size_t len = strlen(queue->topic);
    return len > 0 && queue->topic[len - 1] == '*';
}

/* A closed queue keeps what it has for nobody. */
static void
hand_out(struct queue *queue)
{
    while (queue->first != NULL && queue->on_their_way < queue->window && !queue->is_closed) {
        struct item *item = queue->first;
        queue->first = item->next;
        if (queue->first == NULL)
            queue->last = &queue->first;
        queue->on_their_way++;
        struct remora_message message = item->letter->message;
        if (is_pattern(queue))
            message.topic = item->letter->topic;
        remora_deliver(queue->id, &message, 1, on_delivered, item);
    }
}

static bool
has_room(const struct queue *queue, const struct letter *letter)
{
    return queue->bytes + letter->bytes <= QUEUE_BYTES_MAX;
}

/* False: memory is out. */
static bool
enqueue(struct queue *queue, struct letter *letter)
{
    struct item *item = malloc(sizeof *item);
    if (item == NULL)
        return false;
    *item = (struct item){ .queue = queue, .letter = letter };
    letter->refs++;
    queue->bytes += letter->bytes;
    *queue->last = item;
    queue->last = &item->next;
    hand_out(queue);
    return true;
}

/* --- operations --------------------------------------------------------------------------------*/

static bool
wants(const struct queue *queue, struct remora_slice topic)
{
    size_t prefix = strlen(queue->topic) - 1; /* a topic is not empty */
    if (queue->is_closed)
        return false;
    return remora_slice_eq(topic, queue->topic) || (is_pattern(queue) && topic.len > prefix &&
                                                    memcmp(topic.data, queue->topic, prefix) == 0);
}

/* False: some queue has no room, or memory is out. */
static bool
publish(struct broker *broker, const struct remora_publish *message)
{
    struct letter *letter = letter_new(message);
    bool is_taken = letter != NULL;
    for (struct queue *queue = broker->queues; queue != NULL && is_taken; queue = queue->next)
        is_taken = !wants(queue, message->topic) || has_room(queue, letter);
    for (struct queue *queue = broker->queues; queue != NULL && is_taken; queue = queue->next)
        is_taken = !wants(queue, message->topic) || enqueue(queue, letter);
    if (letter != NULL)
        letter_unref(letter);
    return is_taken;
}

#define FULL "too many messages of the topic wait to be taken"

static void
broker_publish(remora_call *call, void *self, const struct remora_publish *message)
{
    if (publish(self, message))
        remora_reply_ok(call);
    else
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, FULL);
}

static void
broker_publish_many(remora_call *call, void *self, const struct remora_publish *messages,
                    size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    static const struct remora_failure full = { .code = REMORA_RESOURCE_EXHAUSTED,
                                                .message = FULL };
    (void)metadata, (void)metadata_count;
    const struct remora_failure **failures = calloc(count, sizeof(struct remora_failure *));
    if (failures == NULL) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    for (size_t i = 0; i < count; i++)
        failures[i] = publish(self, &messages[i]) ? NULL : &full;
    remora_pubsub_reply_failures(call, failures, count);
    free(failures);
}

static void
broker_subscribe(remora_call *call, void *self, const struct remora_subscription *subscription)
{
    struct broker *broker = self;
    struct queue *queue = calloc(1, sizeof *queue);
    char *topic = remora_slice_dup(subscription->topic);
    if (queue == NULL || topic == NULL) {
        free(queue);
        free(topic);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "the topic's name holds a NUL");
        return;
    }
    *queue = (struct queue){ .next = broker->queues,
                             .broker = broker,
                             .id = subscription->id,
                             .topic = topic,
                             .window = subscription->window };
    queue->last = &queue->first;
    broker->queues = queue;
    remora_reply_ok(call);
}

static void
broker_unsubscribe(remora_call *call, void *self, uint64_t id)
{
    struct broker *broker = self;
    struct queue *queue = broker->queues;
    while (queue != NULL && queue->id != id)
        queue = queue->next;
    if (queue == NULL || queue->closing != NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such subscription");
        return;
    }
    queue->is_closed = true;
    if (queue->on_their_way > 0) {
        queue->closing = call;
        return;
    }
    remora_reply_ok(call);
    forget(queue);
}

const struct remora_pubsub_ops broker_ops = { .publish = broker_publish,
                                              .publish_many = broker_publish_many,
                                              .subscribe = broker_subscribe,
                                              .unsubscribe = broker_unsubscribe };

/* --- life --------------------------------------------------------------------------------------*/

void
broker_init(remora_call *call, const struct remora_config *config)
{
    (void)config;
    struct broker *broker = calloc(1, sizeof *broker);
    if (broker == NULL)
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
    else
        remora_reply_init(call, broker, REMORA_CAP_SUBSCRIBE_WILDCARDS | REMORA_CAP_BULK_PUBLISH,
                          0);
}

/* Nothing that is here would come again: it is all delivered first. */
void
broker_quiesce(remora_call *call, void *self)
{
    struct broker *broker = self;
    broker->quiescing = call;
    settle_quiesce(broker);
}

void
broker_close(void *self)
{
    struct broker *broker = self;
    broker->is_closed = true;
    for (struct queue *queue = broker->queues, *next; queue != NULL; queue = next) {
        next = queue->next;
        queue->is_closed = true;
        if (queue->on_their_way == 0)
            forget(queue);
    }
    if (broker->queues == NULL)
        free(broker);
}
