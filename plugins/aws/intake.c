/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on their way from the queue to the sidecar. What has been handled is deleted; what has
 * not is left, and the queue gives it again when its visibility timeout is over.
 */
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "broker.h"

/* A message in our hands. */
struct letter {
    struct broker *broker;
    struct subscription *subscription; /* NULL: it is deleted unseen */
    char *receipt;
    bool is_last; /* this is its last time here */
};

/* What SNS has put into the queue; texts are borrowed from `json`. */
struct envelope {
    cJSON *json;
    const char *id, *message;
    const char *topic; /* its name at SNS */
};

/* --- subscriptions -----------------------------------------------------------------------------*/

void
subscription_free(struct subscription *subscription)
{
    free(subscription->name);
    free(subscription);
}

struct subscription *
intake_find(const struct broker *broker, const struct topic *topic)
{
    for (struct subscription *s = broker->subscriptions; s != NULL; s = s->next)
        if (s->topic == topic && s->ending == NULL)
            return s;
    return NULL;
}

/* The newest is the one that gets what comes. */
void
intake_add(struct broker *broker, struct subscription *subscription)
{
    subscription->topic->was_subscribed = true;
    subscription->next = broker->subscriptions;
    broker->subscriptions = subscription;
    receiver_open(&broker->receiver);
}

static void
remove_subscription(struct broker *broker, struct subscription *subscription)
{
    struct subscription **place = &broker->subscriptions;
    while (*place != subscription)
        place = &(*place)->next;
    *place = subscription->next;
    remora_reply_ok(subscription->ending);
    subscription_free(subscription);
}

static bool
is_read(const struct broker *broker)
{
    for (const struct subscription *s = broker->subscriptions; s != NULL; s = s->next)
        if (s->ending == NULL)
            return true;
    return false;
}

void
broker_unsubscribe(remora_call *call, void *self, uint64_t id)
{
    struct broker *broker = self;
    struct subscription *s = broker->subscriptions;
    while (s != NULL && s->id != id)
        s = s->next;
    if (s == NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such subscription");
        return;
    }
    if (s->ending != NULL) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "it is being ended");
        return;
    }
    s->ending = call;
    if (!is_read(broker))
        receiver_close(&broker->receiver);
    if (s->open == 0)
        remove_subscription(broker, s);
}

void
intake_close(struct broker *broker)
{
    receiver_close(&broker->receiver);
}

/* --- refusals ----------------------------------------------------------------------------------*/

static void
refuse(const struct broker *broker, const char *words)
{
    remora_log(REMORA_ERROR,
               "snssqs: queue %s: message is not valid for further processing by the "
               "handler. error is: %s",
               broker->queue.name, words);
}

static void
refuse_at_limit(const struct broker *broker)
{
    char words[128];
    (void)snprintf(
        words, sizeof words,
        "message received greater than %lld times, deleting this message without further "
        "processing",
        (long long)broker->settings.retry_limit);
    refuse(broker, words);
}

/* --- settling ----------------------------------------------------------------------------------*/

bool
broker_settle(struct broker *broker)
{
    remora_call *quiescing = broker->quiescing;
    if (broker->open > 0)
        return false;
    broker->quiescing = NULL;
    if (quiescing != NULL)
        remora_reply_ok(quiescing);
    if (!broker->is_closed)
        return false;
    broker_free(broker);
    return true;
}

static void
letter_over(struct letter *letter)
{
    struct broker *broker = letter->broker;
    struct subscription *s = letter->subscription;
    free(letter->receipt);
    free(letter);
    if (s != NULL && --s->open == 0 && s->ending != NULL)
        remove_subscription(broker, s);
    broker->open--;
    if (!broker_settle(broker))
        receiver_ask(&broker->receiver);
}

static void
on_deleted(const struct queue_result *result, void *arg)
{
    if (result->words != NULL)
        remora_log(REMORA_WARN,
                   "snssqs: a message is over and not deleted, it will come again: error deleting "
                   "message: %s",
                   result->words);
    letter_over(arg);
}

static void
on_given_back(const struct queue_result *result, void *arg)
{
    if (result->words != NULL)
        remora_log(REMORA_WARN,
                   "snssqs: error resetting message visibility timeout: error changing message "
                   "visibility timeout: %s",
                   result->words);
    letter_over(arg);
}

static void
on_delivered(const enum remora_verdict *verdicts, size_t count, void *arg)
{
    struct letter *letter = arg;
    struct broker *broker = letter->broker;
    const bool is_done = count == 1 && verdicts[0] == REMORA_DONE;
    if (!is_done && !letter->is_last) {
        letter_over(letter);
    } else if (!is_done && !broker->settings.deletes_on_limit) { /* others are to try it */
        queue_give_back(&broker->queue, letter->receipt, on_given_back, letter);
    } else {
        if (!is_done)
            refuse_at_limit(broker);
        queue_delete(&broker->queue, letter->receipt, on_deleted, letter);
    }
}

/* --- taking in ---------------------------------------------------------------------------------*/

static bool
open_envelope(const cJSON *in, struct envelope *ret)
{
    const char *body = cJSON_GetStringValue(cJSON_GetObjectItem(in, "Body"));
    cJSON *json = body == NULL ? NULL : cJSON_Parse(body);
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(json, "Message"));
    const char *arn = queue_text(json, "TopicArn"), *colon = strrchr(arn, ':');
    *ret = (struct envelope){
        .json = json,
        .id = queue_text(json, "MessageId"),
        .message = message,
        .topic = colon == NULL ? arn : colon + 1,
    };
    return message != NULL && *arn != '\0';
}

static struct letter *
letter_new(struct broker *broker, struct subscription *subscription, const char *receipt)
{
    struct letter *letter = memory_new(sizeof *letter);
    *letter = (struct letter){ .broker = broker,
                               .subscription = subscription,
                               .receipt = memory_text(receipt) };
    broker->open++;
    if (subscription != NULL)
        subscription->open++;
    return letter;
}

static void
delete_unseen(struct broker *broker, const char *receipt)
{
    refuse_at_limit(broker);
    queue_delete(&broker->queue, receipt, on_deleted, letter_new(broker, NULL, receipt));
}

static void
deliver(const struct envelope *envelope, struct letter *letter)
{
    const struct remora_message message = {
        .id = { envelope->id, strlen(envelope->id) },
        .data = { envelope->message, strlen(envelope->message) },
    };
    remora_deliver(letter->subscription->id, &message, 1, on_delivered, letter);
}

/* It was received so often that it is not tried any more. */
static bool
is_over_limit(struct broker *broker, const struct topic *topic, int64_t count, const char *receipt)
{
    const struct snssqs_settings *s = &broker->settings;
    char words[256];
    const bool is_new = topic != NULL && topic->has_waited; /* perhaps nobody has tried it yet */
    if (s->dead_name == NULL && s->deletes_on_limit && count >= s->retry_limit && !is_new) {
        delete_unseen(broker, receipt);
        return true;
    }
    if (s->dead_name == NULL || count <= s->retry_limit)
        return false;
    (void)snprintf(words, sizeof words,
                   "message received greater than %lld times, this message should have been moved "
                   "without further processing to dead-letters queue: %s",
                   (long long)s->retry_limit, s->dead_name);
    refuse(broker, words);
    return true;
}

/* NULL: it does not say where it comes from. */
static void
refuse_stray(struct broker *broker, const char *topic)
{
    char words[256];
    if (topic == NULL)
        (void)snprintf(words, sizeof words, "error unmarshalling message: it is none of SNS");
    else
        (void)snprintf(words, sizeof words, "handler for (sanitized) topic: %.128s was not found",
                       topic);
    refuse(broker, words);
}

static void
take_opened(struct broker *broker, const struct envelope *envelope, bool is_open, int64_t count,
            const char *receipt)
{
    struct topic *topic = is_open ? topics_find(&broker->topics, envelope->topic) : NULL;
    struct subscription *to = topic == NULL ? NULL : intake_find(broker, topic);
    /* Its subscription has ended here and may come back: it is kept as long as the queue does. */
    if (to == NULL && topic != NULL && topic->was_subscribed) {
        topic->has_waited = true;
        return;
    }
    if (is_over_limit(broker, topic, count, receipt))
        return;
    if (to == NULL) {
        refuse_stray(broker, is_open ? envelope->topic : NULL);
        return;
    }
    struct letter *letter = letter_new(broker, to, receipt);
    letter->is_last = broker->settings.dead_name == NULL && count >= broker->settings.retry_limit;
    deliver(envelope, letter);
}

static void
take(const cJSON *in, void *arg)
{
    struct broker *broker = arg;
    struct envelope envelope;
    const char *receipt = queue_text(in, "ReceiptHandle");
    const char *text = queue_text(cJSON_GetObjectItem(in, "Attributes"), "ApproximateReceiveCount");
    int64_t count = 0;
    if (*receipt == '\0' ||
        !remora_parse_i64((struct remora_slice){ text, strlen(text) }, &count)) {
        refuse(broker, "no ApproximateReceiveCount returned with response, will not attempt "
                       "further processing");
        return;
    }
    const bool is_open = open_envelope(in, &envelope);
    take_opened(broker, &envelope, is_open, count, receipt);
    cJSON_Delete(envelope.json);
}

/* Not before all that are being subscribed are: messages of theirs would find nobody.
 * One at a time is in order: what comes after it in its group is not given out by the queue, and
 * what is not given out is not counted as tried. */
static uint32_t
room(void *arg)
{
    const struct broker *broker = arg;
    const struct snssqs_settings *s = &broker->settings;
    uint32_t most = s->is_fifo || s->is_single ? 1 : s->messages_max;
    for (const struct subscription *one = broker->subscriptions; one != NULL; one = one->next)
        if (one->window < most)
            most = one->window;
    if (broker->setups != NULL)
        return 0;
    return broker->open < most ? most - broker->open : 0;
}

void
intake_init(struct broker *broker)
{
    broker->receiver = (struct receiver){
        .queue = &broker->queue,
        .name = "snssqs",
        .wait_s = broker->settings.wait_s,
        .visibility_s = broker->settings.visibility_s,
        .room = room,
        .take = take,
        .arg = broker,
    };
    receiver_init(&broker->receiver);
}
