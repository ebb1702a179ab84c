/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to be there before messages come: the topic, the queue, its policy, the queue of dead
 * letters, and the topic's subscription by the queue. It is made, or with disableEntityManagement
 * looked for. One at a time: the policy, which all topics share, is read and then written.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "broker.h"
#include "../shared/xml_reader.h"
#include "policy.h"

enum {
    PAGES_MAX = 1000, /* of a topic's subscriptions, 100 each */
    ARN_BYTES_MAX = 512,
    WORDS_BYTES = 3072,
};

struct setup {
    struct setup *next;
    struct broker *broker;
    remora_call *call;
    struct subscription *subscription;
    unsigned step;
    /* What is under way; NULL: nothing of the kind. */
    struct topic_wait *wait;
    struct queue_ask *queue_ask;
    struct query_ask *query_ask;
    struct place *place; /* the queue in question */
    unsigned pages;
    bool is_subscribed_by_others;
};

static void run(struct broker *broker);
static void advance(struct setup *setup);

/* --- ends --------------------------------------------------------------------------------------*/

static void
setup_free(struct setup *setup)
{
    struct setup **place = &setup->broker->setups;
    while (*place != setup)
        place = &(*place)->next;
    *place = setup->next;
    topic_wait_cancel(setup->wait);
    queue_ask_end(setup->queue_ask);
    query_ask_end(setup->query_ask);
    if (setup->subscription != NULL)
        subscription_free(setup->subscription);
    free(setup);
}

__attribute__((format(printf, 2, 3))) static void
give_up(struct setup *setup, const char *format, ...)
{
    struct broker *broker = setup->broker;
    char words[WORDS_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args);
    va_end(args);
    remora_reply_error(setup->call, REMORA_UNKNOWN, "%s", words);
    setup_free(setup);
    run(broker);
}

static void
on_cancel(remora_call *call, void *arg)
{
    struct setup *setup = arg;
    const bool is_late = remora_call_time_left_ms(call) == 0;
    struct broker *broker = setup->broker;
    const bool is_first = broker->setups == setup;
    remora_reply_error(call, is_late ? REMORA_DEADLINE_EXCEEDED : REMORA_CANCELLED,
                       "error subscribing to topic %s: %s", setup->subscription->name,
                       is_late ? "context deadline exceeded" : "context canceled");
    setup_free(setup);
    if (is_first)
        run(broker);
}

void
broker_give_up_setups(struct broker *broker)
{
    while (broker->setups != NULL) {
        remora_reply_error(broker->setups->call, REMORA_FAILED_PRECONDITION, "component is closed");
        setup_free(broker->setups);
    }
}

static void
finish(struct setup *setup)
{
    struct broker *broker = setup->broker;
    remora_call *call = setup->call;
    struct subscription *subscription = setup->subscription;
    setup->subscription = NULL;
    setup_free(setup);
    if (broker->queue.url == NULL)
        broker->queue.url = memory_text(broker->place.url);
    intake_add(broker, subscription);
    remora_reply_ok(call);
    run(broker);
}

/* --- the topic ---------------------------------------------------------------------------------*/

static void
on_topic(const char *words, void *arg)
{
    struct setup *setup = arg;
    setup->wait = NULL;
    if (words != NULL)
        give_up(setup, "error getting topic ARN for %s: %s", setup->subscription->name, words);
    else
        advance(setup);
}

static void
find_topic(struct setup *setup)
{
    struct topic *topic = setup->subscription->topic;
    if (topic->arn != NULL)
        advance(setup);
    else
        setup->wait = topic_want(topic, on_topic, setup);
}

/* --- queues ------------------------------------------------------------------------------------*/

static const char *
name_of(const struct setup *setup)
{
    const struct broker *broker = setup->broker;
    return setup->place == &broker->place ? broker->settings.queue_name
                                          : broker->settings.dead_name;
}

static void
ask_queue(struct setup *setup, const char *action, cJSON *fields, queue_done *done)
{
    struct broker *broker = setup->broker;
    setup->queue_ask = queue_ask_any(&broker->queue, action, fields,
                                     broker->settings.management_timeout_ms, done, setup);
}

static const char *
kind_of(const struct setup *setup)
{
    return setup->place == &setup->broker->place ? "queue" : "dead-letter queue";
}

static void
on_queue_arn(const struct queue_result *result, void *arg)
{
    struct setup *setup = arg;
    struct place *place = setup->place;
    const char *arn = queue_text(cJSON_GetObjectItem(result->reply, "Attributes"), "QueueArn");
    setup->queue_ask = NULL;
    if (result->words == NULL && *arn != '\0' && strlen(arn) <= ARN_BYTES_MAX) {
        place->arn = memory_text(arn);
        advance(setup);
        return;
    }
    char *url = place->url; /* perhaps it has gone, and there will be another one */
    place->url = NULL;
    give_up(setup,
            "error retrieving SQS %s: error: %s, while getting information for queue: %s, with "
            "url: %.1024s",
            kind_of(setup), result->words != NULL ? result->words : "the answer has no ARN",
            name_of(setup), url);
    free(url);
}

static void
ask_for_arn(struct setup *setup)
{
    const char *const names[] = { "QueueArn" };
    cJSON *fields = cJSON_CreateObject();
    queue_put(fields, "QueueUrl", cJSON_CreateString(setup->place->url));
    queue_put(fields, "AttributeNames", cJSON_CreateStringArray(names, 1));
    ask_queue(setup, "GetQueueAttributes", fields, on_queue_arn);
}

static void
on_queue_url(const struct queue_result *result, void *arg)
{
    struct setup *setup = arg;
    const char *url = queue_text(result->reply, "QueueUrl");
    const char *why = result->words != NULL ? result->words : "the answer has no URL";
    setup->queue_ask = NULL;
    if (result->words == NULL && *url != '\0') {
        setup->place->url = memory_text(url);
        ask_for_arn(setup);
    } else if (setup->broker->settings.manages_entities) {
        give_up(setup, "error retrieving SQS %s: error creating an SQS queue: %s", kind_of(setup),
                why);
    } else {
        give_up(setup, "error retrieving SQS %s: error: %s while getting url of queue: %s",
                kind_of(setup), why, name_of(setup));
    }
}

static void
create_queue(struct setup *setup)
{
    cJSON *fields = cJSON_CreateObject(), *tags = cJSON_CreateObject();
    queue_put(fields, "QueueName", cJSON_CreateString(name_of(setup)));
    queue_put(tags, "dapr-queue-name", cJSON_CreateString(name_of(setup)));
    queue_put(fields, "tags", tags);
    if (setup->broker->settings.is_fifo) {
        cJSON *attributes = cJSON_CreateObject();
        queue_put(attributes, "FifoQueue", cJSON_CreateString("true"));
        queue_put(attributes, "ContentBasedDeduplication", cJSON_CreateString("true"));
        queue_put(fields, "Attributes", attributes);
    }
    ask_queue(setup, "CreateQueue", fields, on_queue_url);
}

static void
look_queue_up(struct setup *setup)
{
    cJSON *fields = cJSON_CreateObject();
    queue_put(fields, "QueueName", cJSON_CreateString(name_of(setup)));
    queue_put(fields, "QueueOwnerAWSAccountId",
              cJSON_CreateString(setup->broker->settings.account));
    ask_queue(setup, "GetQueueUrl", fields, on_queue_url);
}

static void
find_place(struct setup *setup, struct place *place)
{
    setup->place = place;
    if (place->arn != NULL)
        advance(setup);
    else if (place->url != NULL)
        ask_for_arn(setup);
    else if (setup->broker->settings.manages_entities)
        create_queue(setup);
    else
        look_queue_up(setup);
}

static void
find_queue(struct setup *setup)
{
    find_place(setup, &setup->broker->place);
}

static void
find_dead_queue(struct setup *setup)
{
    if (setup->broker->settings.dead_name == NULL)
        advance(setup);
    else
        find_place(setup, &setup->broker->dead);
}

/* --- attributes of the queue -------------------------------------------------------------------*/

static void
set_attribute(struct setup *setup, const char *name, const char *value, queue_done *done)
{
    cJSON *fields = cJSON_CreateObject(), *attributes = cJSON_CreateObject();
    queue_put(fields, "QueueUrl", cJSON_CreateString(setup->broker->place.url));
    queue_put(attributes, name, cJSON_CreateString(value));
    queue_put(fields, "Attributes", attributes);
    ask_queue(setup, "SetQueueAttributes", fields, done);
}

static void
on_policy_set(const struct queue_result *result, void *arg)
{
    struct setup *setup = arg;
    setup->queue_ask = NULL;
    if (result->words != NULL)
        give_up(setup,
                "error setting sns-sqs subscription policy: error setting queue subscription "
                "policy: %s",
                result->words);
    else
        advance(setup);
}

static void
on_policy(const struct queue_result *result, void *arg)
{
    struct setup *setup = arg;
    const char *now = queue_text(cJSON_GetObjectItem(result->reply, "Attributes"), "Policy");
    char *policy = NULL;
    setup->queue_ask = NULL;
    if (result->words != NULL) {
        give_up(setup,
                "error setting sns-sqs subscription policy: error getting queue attributes: %s",
                result->words);
    } else if (!policy_allow(now, setup->broker->place.arn, setup->subscription->topic->arn,
                             &policy)) {
        give_up(setup, "error setting sns-sqs subscription policy: error unmarshalling sqs policy");
    } else if (policy == NULL) {
        advance(setup);
    } else {
        set_attribute(setup, "Policy", policy, on_policy_set);
        free(policy);
    }
}

/* Only SNS may send to the queue, and for this topic. */
static void
allow_topic(struct setup *setup)
{
    const char *const names[] = { "Policy" };
    if (!setup->broker->settings.manages_entities) {
        advance(setup);
        return;
    }
    cJSON *fields = cJSON_CreateObject();
    queue_put(fields, "QueueUrl", cJSON_CreateString(setup->broker->place.url));
    queue_put(fields, "AttributeNames", cJSON_CreateStringArray(names, 1));
    ask_queue(setup, "GetQueueAttributes", fields, on_policy);
}

static void
on_redrive_set(const struct queue_result *result, void *arg)
{
    struct setup *setup = arg;
    setup->queue_ask = NULL;
    if (result->words != NULL)
        give_up(setup,
                "error creating dead-letter queue: error updating queue attributes with "
                "dead-letter queue: %s",
                result->words);
    else
        advance(setup);
}

static void
set_redrive(struct setup *setup)
{
    const struct broker *broker = setup->broker;
    if (!broker->settings.manages_entities || broker->settings.dead_name == NULL) {
        advance(setup);
        return;
    }
    char count[32];
    (void)snprintf(count, sizeof count, "%lld", (long long)broker->settings.receive_limit);
    cJSON *policy = cJSON_CreateObject();
    queue_put(policy, "deadLetterTargetArn", cJSON_CreateString(broker->dead.arn));
    queue_put(policy, "maxReceiveCount", cJSON_CreateString(count));
    char *text = cJSON_PrintUnformatted(policy);
    if (text == NULL)
        abort();
    set_attribute(setup, "RedrivePolicy", text, on_redrive_set);
    free(text);
    cJSON_Delete(policy);
}

/* --- the subscription --------------------------------------------------------------------------*/

static void
give_up_subscribing(struct setup *setup, const char *words)
{
    give_up(setup, "error subscribing topic: %s, to queue: %s, with error: %s",
            setup->subscription->topic->arn, setup->broker->place.arn, words);
}

static void
ask_sns(struct setup *setup, const char *action, struct text *form, query_done *done)
{
    const struct snssqs_settings *s = &setup->broker->settings;
    setup->query_ask = query_ask(&s->sns, &query_sns, action, form, s->management_timeout_ms, done,
                                 setup);
}

static void
on_subscribed(const struct query_result *result, void *arg)
{
    struct setup *setup = arg;
    char words[WORDS_BYTES];
    setup->query_ask = NULL;
    if (result->words == NULL) {
        advance(setup);
        return;
    }
    (void)snprintf(words, sizeof words,
                   "error subscribing to sns topic arn: %s, to queue arn: %s %s",
                   setup->subscription->topic->arn, setup->broker->place.arn, result->words);
    if (strcmp(result->code, "NotFound") == 0)
        topic_forget(setup->subscription->topic);
    give_up(setup, "%s", words);
}

static void
subscribe(struct setup *setup)
{
    struct text form = { .bytes = NULL };
    query_put_text(&form, "TopicArn", setup->subscription->topic->arn);
    query_put_text(&form, "Protocol", "sqs");
    query_put_text(&form, "Endpoint", setup->broker->place.arn);
    ask_sns(setup, "Subscribe", &form, on_subscribed);
}

static void look_for_subscription(struct setup *setup, const char *token);

/* Any subscription will do, as for the reference: a queue may get its messages by detours. */
static void
end_of_pages(struct setup *setup)
{
    if (!setup->is_subscribed_by_others) {
        give_up_subscribing(setup, "sns sqs subscription not found for topic arn");
        return;
    }
    remora_log(REMORA_WARN, "snssqs: topic %s is not subscribed by queue %s, but by others",
               setup->subscription->topic->arn, setup->broker->place.arn);
    advance(setup);
}

static const char list_result[] = "ListSubscriptionsByTopicResponse/ListSubscriptionsByTopicResult";

struct members {
    const char *queue_arn;
    bool has_ours, has_any;
};

static void
on_member_end(struct xml_reading *r, const char *value)
{
    struct members *members = r->arg;
    char path[sizeof list_result + 64];
    (void)snprintf(path, sizeof path, "%s/Subscriptions/member/Endpoint", list_result);
    if (!xml_is_at(r, path))
        return;
    members->has_any = true;
    members->has_ours |= strcmp(value, members->queue_arn) == 0;
}

static void
on_page(const struct query_result *result, void *arg)
{
    struct setup *setup = arg;
    char words[WORDS_BYTES], path[sizeof list_result + 64];
    struct members members = { .queue_arn = setup->broker->place.arn };
    struct xml_reading r = { .on_end = on_member_end, .arg = &members };
    setup->query_ask = NULL;
    if (result->words != NULL || !xml_read(&r, result->body, result->len)) {
        (void)snprintf(words, sizeof words, "error listing subscriptions for topic arn: %s: %s",
                       setup->subscription->topic->arn,
                       result->words != NULL ? result->words : "the answer is no XML");
        give_up_subscribing(setup, words);
        return;
    }
    (void)snprintf(path, sizeof path, "%s/NextToken", list_result);
    char *token = members.has_ours ? NULL : query_find(result, path);
    setup->is_subscribed_by_others |= members.has_any;
    if (members.has_ours)
        advance(setup);
    else if (token != NULL && ++setup->pages < PAGES_MAX)
        look_for_subscription(setup, token);
    else
        end_of_pages(setup);
    free(token);
}

static void
look_for_subscription(struct setup *setup, const char *token)
{
    struct text form = { .bytes = NULL };
    query_put_text(&form, "TopicArn", setup->subscription->topic->arn);
    if (token != NULL)
        query_put_text(&form, "NextToken", token);
    ask_sns(setup, "ListSubscriptionsByTopic", &form, on_page);
}

static void
join(struct setup *setup)
{
    if (setup->broker->settings.manages_entities)
        subscribe(setup);
    else
        look_for_subscription(setup, NULL);
}

/* --- one after the other -----------------------------------------------------------------------*/

static void
advance(struct setup *setup)
{
    static void (*const steps[])(struct setup *) = { find_topic,      find_queue,  allow_topic,
                                                     find_dead_queue, set_redrive, join,
                                                     finish };
    steps[setup->step++](setup);
}

static void
run(struct broker *broker)
{
    struct setup *first = broker->setups;
    if (first == NULL)
        receiver_ask(&broker->receiver);
    else if (first->step == 0)
        advance(first);
}

static bool
is_rival(const struct subscription *one, const struct subscription *other)
{
    return one->topic == other->topic && one->ending == NULL && strcmp(one->name, other->name) != 0;
}

static bool
is_taken(const struct broker *broker, const struct subscription *wanted)
{
    for (const struct subscription *s = broker->subscriptions; s != NULL; s = s->next)
        if (is_rival(s, wanted))
            return true;
    for (const struct setup *s = broker->setups; s != NULL; s = s->next)
        if (is_rival(s->subscription, wanted))
            return true;
    return false;
}

void
broker_subscribe(remora_call *call, void *self, const struct remora_subscription *in)
{
    struct broker *broker = self;
    struct topic *topic = topics_get(&broker->topics, in->topic);
    if (topic == NULL) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "there are more than %d topics",
                           TOPICS_MAX);
        return;
    }
    struct setup *setup = memory_new(sizeof *setup), **last = &broker->setups;
    struct subscription *subscription = memory_new(sizeof *subscription);
    *subscription = (struct subscription){
        .id = in->id, .name = memory_slice(in->topic), .topic = topic, .window = in->window
    };
    *setup = (struct setup){ .broker = broker, .call = call, .subscription = subscription };
    while (*last != NULL)
        last = &(*last)->next;
    *last = setup;
    remora_call_on_cancel(call, on_cancel, setup);
    if (is_taken(broker, subscription))
        give_up(setup, "topic %s is subscribed under another name: both are %s at SNS",
                subscription->name, topic->name);
    else if (broker->setups == setup)
        run(broker);
}
