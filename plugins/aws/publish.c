/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on their way to topics: one by one, or as many in one question as SNS takes. What has
 * been said to be taken has its id in SNS's answer.
 */
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/xml_reader.h"
#include "broker.h"
#include "words.h"

enum {
    MESSAGE_BYTES_MAX = 1024 * 1024, /* more than SNS takes: the answer is SNS's */
    BATCH_MAX = 10,                  /* SNS's limits */
    BATCH_BYTES_MAX = 256 * 1024,
    TIMEOUT_MAX_MS = 60 * 1000, /* of a call without a deadline */
    WORDS_BYTES = 3072,
};

/* --- what can be sent --------------------------------------------------------------------------*/

/* Length of the character that starts here, 0: it is none of UTF-8, or NUL. */
static size_t
character_len(const unsigned char *at, size_t left)
{
    const size_t len = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (at[0] == 0 || len > left || (len > 1 && (at[0] < 0xc2 || at[0] > 0xf4)))
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    const bool is_long = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    const bool is_none = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return is_long || is_none ? 0 : len;
}

static bool
is_text(struct remora_slice data)
{
    for (size_t at = 0, len; at < data.len; at += len) {
        len = character_len((const unsigned char *)data.data + at, data.len - at);
        if (len == 0)
            return false;
    }
    return true;
}

/* Why it cannot be sent, or NULL. */
static const char *
fault_of(struct remora_slice data)
{
    if (data.len > MESSAGE_BYTES_MAX)
        return "InvalidParameter: Invalid parameter: Message too long";
    if (!is_text(data))
        return "InvalidParameter: Invalid parameter: Message is a text in UTF-8 without a NUL";
    return NULL;
}

static uint64_t
time_left_ms(const remora_call *call)
{
    const uint64_t left_ms = remora_call_time_left_ms(call);
    return left_ms < TIMEOUT_MAX_MS ? left_ms : TIMEOUT_MAX_MS;
}

static enum remora_effect
effect_of(const struct query_result *result)
{
    return result->is_sent ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_FAILED;
}

/* Of a topic that SNS does not know any more another one can be made. */
static void
look_at_failure(struct topic *topic, const struct query_result *result)
{
    if (strcmp(result->code, "NotFound") == 0)
        topic_forget(topic);
}

static const char *
answer_words(bool is_late)
{
    return is_late ? "context deadline exceeded" : "context canceled";
}

/* --- one ---------------------------------------------------------------------------------------*/

/* Lives in the memory of its call. */
struct sending {
    remora_call *call;
    struct broker *broker;
    const struct remora_publish *message;
    struct topic *topic;
    struct topic_wait *wait;
    struct query_ask *ask;
};

static void
fail(struct sending *sending, enum remora_effect effect, const char *words)
{
    const struct remora_slice topic = sending->message->topic;
    const char *arn = sending->topic->arn == NULL ? "" : sending->topic->arn;
    char full[WORDS_BYTES];
    (void)snprintf(full, sizeof full, "error publishing to topic: %.*s with topic ARN %s: %s",
                   (int)(topic.len < 256 ? topic.len : 256), topic.data, arn, words);
    const struct remora_failure failure = { .code = REMORA_UNKNOWN,
                                            .effect = effect,
                                            .message = full };
    remora_reply_failure(sending->call, &failure);
}

static void
on_published(const struct query_result *result, void *arg)
{
    struct sending *sending = arg;
    sending->ask = NULL;
    if (result->words != NULL) {
        struct topic *topic = sending->topic;
        fail(sending, effect_of(result), result->words);
        look_at_failure(topic, result); /* its ARN is in the words */
        return;
    }
    char *id = query_find(result, "PublishResponse/PublishResult/MessageId");
    if (id != NULL)
        remora_reply_ok(sending->call);
    else
        fail(sending, REMORA_EFFECT_UNKNOWN, "operation error SNS: Publish, the answer has no id");
    free(id);
}

static void
publish_to(struct sending *sending)
{
    const struct snssqs_settings *s = &sending->broker->settings;
    struct text form = { .bytes = NULL };
    query_put_text(&form, "TopicArn", sending->topic->arn);
    query_put(&form, "Message", sending->message->data);
    if (s->is_fifo)
        query_put_text(&form, "MessageGroupId", s->group_id);
    sending->ask = query_ask(&s->sns, &query_sns, "Publish", &form, time_left_ms(sending->call),
                             on_published, sending);
}

static void
on_topic(const char *words, void *arg)
{
    struct sending *sending = arg;
    sending->wait = NULL;
    if (words == NULL) {
        publish_to(sending);
        return;
    }
    char full[WORDS_BYTES];
    (void)snprintf(full, sizeof full, "error getting topic ARN: %s", words);
    fail(sending, REMORA_EFFECT_FAILED, full);
}

static void
on_cancel(remora_call *call, void *arg)
{
    struct sending *sending = arg;
    const bool is_late = remora_call_time_left_ms(call) == 0;
    const bool is_sent = sending->ask != NULL;
    topic_wait_cancel(sending->wait);
    query_ask_end(sending->ask);
    const struct remora_failure failure = {
        .code = is_late ? REMORA_DEADLINE_EXCEEDED : REMORA_CANCELLED,
        .effect = is_sent ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_FAILED,
        .message = answer_words(is_late),
    };
    remora_reply_failure(call, &failure);
}

void
broker_publish(remora_call *call, void *self, const struct remora_publish *message)
{
    struct broker *broker = self;
    struct topic *topic = topics_get(&broker->topics, message->topic);
    if (topic == NULL) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "there are more than %d topics",
                           TOPICS_MAX);
        return;
    }
    struct sending *sending = remora_call_alloc(call, sizeof *sending);
    *sending = (struct sending){
        .call = call, .broker = broker, .message = message, .topic = topic
    };
    const char *fault = fault_of(message->data);
    if (fault != NULL) {
        fail(sending, REMORA_EFFECT_FAILED, fault);
        return;
    }
    remora_call_on_cancel(call, on_cancel, sending);
    if (topic->arn != NULL)
        publish_to(sending);
    else
        sending->wait = topic_want(topic, on_topic, sending);
}

/* --- many --------------------------------------------------------------------------------------*/

/* Lives in the memory of its call. */
struct bulk {
    remora_call *call;
    struct broker *broker;
    const struct remora_publish *messages;
    const struct remora_failure **failures; /* one a message; NULL: none yet, or taken */
    size_t count;
    size_t begin, end; /* of those that are sent now */
    struct topic *topic;
    struct topic_wait *wait;
    struct query_ask *ask;
};

/* What an answer says of one message. */
struct entry {
    char id[8], code[QUERY_CODE_BYTES], message[QUERY_WORDS_BYTES];
};

struct batch_answer {
    struct bulk *bulk;
    struct entry entry;
    bool is_settled[BATCH_MAX];
};

static void send_next(struct bulk *bulk);

static void
set_failure(struct bulk *bulk, size_t i, enum remora_effect effect, const char *words)
{
    const struct remora_slice topic = bulk->messages[i].topic;
    struct remora_failure *failure = remora_call_alloc(bulk->call, sizeof *failure);
    char full[WORDS_BYTES];
    (void)snprintf(full, sizeof full, "error publishing to topic: %.*s: %s",
                   (int)(topic.len < 256 ? topic.len : 256), topic.data, words);
    char *text = remora_call_alloc(bulk->call, strlen(full) + 1);
    memcpy(text, full, strlen(full) + 1);
    *failure = (struct remora_failure){ .code = REMORA_UNKNOWN, .effect = effect, .message = text };
    bulk->failures[i] = failure;
}

static void
fail_batch(struct bulk *bulk, enum remora_effect effect, const char *words)
{
    for (size_t i = bulk->begin; i < bulk->end; i++)
        set_failure(bulk, i, effect, words);
}

static void
settle_entry(struct batch_answer *answer, bool is_taken)
{
    struct bulk *bulk = answer->bulk;
    const struct entry *entry = &answer->entry;
    int64_t number = -1;
    char words[QUERY_CODE_BYTES + QUERY_WORDS_BYTES + 64];
    if (!remora_parse_i64((struct remora_slice){ entry->id, strlen(entry->id) }, &number) ||
        number < 0 || (size_t)number >= bulk->end - bulk->begin || answer->is_settled[number])
        return;
    answer->is_settled[number] = true;
    (void)snprintf(words, sizeof words, "operation error SNS: PublishBatch, %s: %s", entry->code,
                   entry->message);
    if (!is_taken)
        set_failure(bulk, bulk->begin + (size_t)number, REMORA_EFFECT_FAILED, words);
}

/* PublishBatchResponse/PublishBatchResult/Failed/member/Code */
static void
on_entry_end(struct xml_reading *r, const char *value)
{
    struct batch_answer *answer = r->arg;
    struct entry *entry = &answer->entry;
    if (r->depth < 4 || strcmp(r->names[1], "PublishBatchResult") != 0 ||
        strcmp(r->names[3], "member") != 0)
        return;
    const char *name = r->names[r->depth - 1];
    if (r->depth == 4) {
        settle_entry(answer, strcmp(r->names[2], "Successful") == 0);
        *entry = (struct entry){ .id = "" };
    } else if (strcmp(name, "Id") == 0) {
        words_put_line(entry->id, sizeof entry->id, value);
    } else if (strcmp(name, "Code") == 0) {
        words_put_line(entry->code, sizeof entry->code, value);
    } else if (strcmp(name, "Message") == 0) {
        words_put_line(entry->message, sizeof entry->message, value);
    }
}

static void
on_batch(const struct query_result *result, void *arg)
{
    struct bulk *bulk = arg;
    struct batch_answer answer = { .bulk = bulk };
    struct xml_reading r = { .on_end = on_entry_end, .arg = &answer };
    bulk->ask = NULL;
    if (result->words != NULL) {
        fail_batch(bulk, effect_of(result), result->words);
        look_at_failure(bulk->topic, result);
        send_next(bulk);
        return;
    }
    (void)xml_read(&r, result->body, result->len); /* what it does not say has not been taken */
    for (size_t i = bulk->begin; i < bulk->end; i++)
        if (!answer.is_settled[i - bulk->begin])
            set_failure(bulk, i, REMORA_EFFECT_UNKNOWN,
                        "operation error SNS: PublishBatch, the answer does not tell of it");
    send_next(bulk);
}

static void
put_entry(struct text *form, size_t number, const char *field, struct remora_slice value)
{
    char name[96];
    (void)snprintf(name, sizeof name, "PublishBatchRequestEntries.member.%zu.%s", number + 1,
                   field);
    query_put(form, name, value);
}

static void
send_batch(struct bulk *bulk)
{
    const struct snssqs_settings *s = &bulk->broker->settings;
    struct text form = { .bytes = NULL };
    query_put_text(&form, "TopicArn", bulk->topic->arn);
    for (size_t i = bulk->begin; i < bulk->end; i++) {
        const size_t number = i - bulk->begin;
        const char id = (char)('0' + number);
        put_entry(&form, number, "Id", (struct remora_slice){ &id, 1 });
        put_entry(&form, number, "Message", bulk->messages[i].data);
        if (s->is_fifo)
            put_entry(&form, number, "MessageGroupId",
                      (struct remora_slice){ s->group_id, strlen(s->group_id) });
    }
    bulk->ask = query_ask(&s->sns, &query_sns, "PublishBatch", &form, time_left_ms(bulk->call),
                          on_batch, bulk);
}

static void
on_batch_topic(const char *words, void *arg)
{
    struct bulk *bulk = arg;
    char full[WORDS_BYTES];
    bulk->wait = NULL;
    if (words == NULL) {
        send_batch(bulk);
        return;
    }
    (void)snprintf(full, sizeof full, "error getting topic ARN: %s", words);
    fail_batch(bulk, REMORA_EFFECT_FAILED, full);
    send_next(bulk);
}

/* As many of one topic as one question takes. What cannot be sent is a batch of its own. */
static void
choose_batch(struct bulk *bulk)
{
    const struct remora_publish *first = &bulk->messages[bulk->begin];
    size_t bytes = first->data.len;
    bulk->end = bulk->begin + 1;
    if (fault_of(first->data) != NULL)
        return;
    while (bulk->end < bulk->count && bulk->end - bulk->begin < BATCH_MAX) {
        const struct remora_publish *next = &bulk->messages[bulk->end];
        bytes += next->data.len;
        if (bytes > BATCH_BYTES_MAX || fault_of(next->data) != NULL ||
            topics_get(&bulk->broker->topics, next->topic) != bulk->topic)
            return;
        bulk->end++;
    }
}

/* True: it is on its way; false: it cannot be. */
static bool
start_batch(struct bulk *bulk)
{
    const struct remora_publish *first = &bulk->messages[bulk->begin];
    const char *fault = fault_of(first->data);
    bulk->topic = topics_get(&bulk->broker->topics, first->topic);
    choose_batch(bulk);
    if (fault != NULL || bulk->topic == NULL) {
        fail_batch(bulk, REMORA_EFFECT_FAILED, fault != NULL ? fault : "there are too many topics");
        return false;
    }
    if (bulk->topic->arn != NULL)
        send_batch(bulk);
    else
        bulk->wait = topic_want(bulk->topic, on_batch_topic, bulk);
    return true;
}

/* One after the other: they stay in order. */
static void
send_next(struct bulk *bulk)
{
    for (bulk->begin = bulk->end; bulk->begin < bulk->count; bulk->begin = bulk->end)
        if (start_batch(bulk))
            return;
    remora_pubsub_reply_failures(bulk->call, bulk->failures, bulk->count);
}

static void
on_bulk_cancel(remora_call *call, void *arg)
{
    struct bulk *bulk = arg;
    const bool is_late = remora_call_time_left_ms(call) == 0;
    const bool is_sent = bulk->ask != NULL;
    topic_wait_cancel(bulk->wait);
    query_ask_end(bulk->ask);
    for (size_t i = bulk->begin; i < bulk->count; i++)
        set_failure(bulk, i,
                    is_sent && i < bulk->end ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_FAILED,
                    answer_words(is_late));
    remora_pubsub_reply_failures(call, bulk->failures, bulk->count);
}

void
broker_publish_many(remora_call *call, void *self, const struct remora_publish *messages,
                    size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata;
    (void)metadata_count;
    struct bulk *bulk = remora_call_alloc(call, sizeof *bulk);
    *bulk = (struct bulk){ .call = call, .broker = self, .messages = messages, .count = count };
    bulk->failures = remora_call_alloc(call, (count + 1) * sizeof(struct remora_failure *));
    for (size_t i = 0; i < count; i++)
        bulk->failures[i] = NULL;
    remora_call_on_cancel(call, on_bulk_cancel, bulk);
    send_next(bulk);
}
