/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes out. A record's bytes stay in the call until the servers have said what became of it,
 * so that librdkafka need not copy them. What is to be Avro waits for its schema first, if that is
 * not at hand; of a bulk the request's own metadata say so, as in the reference.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"

enum {
    TOPIC_BYTES_MAX = 249,    /* of Kafka */
    RECORD_OVERHEAD_MAX = 64, /* what a record adds to its bytes, at least */
};

/* One record, answered by itself or as one of many. */
struct sending {
    remora_call *call;
    struct bulk *bulk; /* NULL: alone */
    size_t index;
    struct broker *broker;
    struct remora_publish message;
    struct header_source from;
    struct remora_slice key, value; /* of the record; no data: there is none */
    int32_t partition;
};

struct bulk {
    remora_call *call;
    size_t count, left;
    const struct remora_failure **failures;
};

/* --- trouble -----------------------------------------------------------------------------------*/

static struct remora_failure *
failure_new(remora_call *call, enum remora_code code, enum remora_effect effect, const char *words)
{
    size_t bytes = strlen(words) + 1;
    char *text = remora_call_alloc(call, bytes);
    memcpy(text, words, bytes);
    struct remora_failure *failure = remora_call_alloc(call, sizeof *failure);
    *failure = (struct remora_failure){ .code = code, .effect = effect, .message = text };
    return failure;
}

static enum remora_code
code_of(rd_kafka_resp_err_t err)
{
    static const struct {
        rd_kafka_resp_err_t err;
        enum remora_code code;
    } known[] = {
        { RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, REMORA_INVALID_ARGUMENT },
        { RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, REMORA_INVALID_ARGUMENT },
        { RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, REMORA_INVALID_ARGUMENT },
        { RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, REMORA_NOT_FOUND },
        { RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, REMORA_NOT_FOUND },
        { RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, REMORA_PERMISSION_DENIED },
        { RD_KAFKA_RESP_ERR__QUEUE_FULL, REMORA_RESOURCE_EXHAUSTED },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].err == err)
            return known[i].code;
    return REMORA_UNAVAILABLE;
}

static struct remora_failure *
failure_of(remora_call *call, rd_kafka_resp_err_t err, enum remora_effect effect)
{
    return failure_new(call, code_of(err), effect, client_words(err));
}

static void
finish(struct sending *sending, const struct remora_failure *failure)
{
    struct bulk *bulk = sending->bulk;
    if (bulk != NULL) {
        bulk->failures[sending->index] = failure;
        if (--bulk->left == 0)
            remora_pubsub_reply_failures(bulk->call, bulk->failures, bulk->count);
    } else if (failure != NULL) {
        remora_reply_failure(sending->call, failure);
    } else {
        remora_reply_ok(sending->call);
    }
}

/* --- records -----------------------------------------------------------------------------------*/

static bool
is_topic(struct remora_slice name)
{
    if (name.len == 0 || name.len > TOPIC_BYTES_MAX || (name.len == 1 && name.data[0] == '.') ||
        (name.len == 2 && memcmp(name.data, "..", 2) == 0))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static size_t
size_of(const struct sending *sending)
{
    const struct header_source *from = &sending->from;
    size_t bytes = RECORD_OVERHEAD_MAX + sending->value.len + sending->key.len;
    for (size_t i = 0; i < from->own_count; i++)
        bytes += from->own[i].name.len + from->own[i].value.len;
    for (size_t i = 0; i < from->shared_count; i++)
        bytes += from->shared[i].name.len + from->shared[i].value.len;
    return bytes;
}

/* The partition that `partitionNumber` names, if it is there. False: it is no number. */
static bool
find_partition(const struct header_source *from, int32_t *ret)
{
    struct remora_slice text;
    int64_t number;
    if (!header_source_find(from, "partitionNumber", &text))
        return true;
    if (!remora_parse_i64(text, &number) || number < 0 || number > INT32_MAX)
        return false;
    *ret = (int32_t)number;
    return true;
}

static char *
text_of(remora_call *call, struct remora_slice slice)
{
    char *text = remora_call_alloc(call, slice.len + 1);
    memcpy(text, slice.data, slice.len);
    text[slice.len] = '\0';
    return text;
}

/* The text `null` stands for a record without a value, which deletes where logs are compacted. */
static bool
is_tombstone(struct remora_slice data)
{
    return data.data != NULL && data.len == 4 && memcmp(data.data, "null", 4) == 0;
}

static void
fail(struct sending *sending, enum remora_code code, const char *words)
{
    finish(sending, failure_new(sending->call, code, REMORA_EFFECT_FAILED, words));
}

static void
produce(struct sending *sending)
{
    char words[160];
    const struct settings *settings = &sending->broker->settings;
    size_t bytes = size_of(sending);
    if (bytes > (size_t)settings->message_bytes_max) {
        snprintf(words, sizeof words,
                 "kafka: invalid configuration (Attempt to produce message larger than configured "
                 "Producer.MaxMessageBytes: %zu > %lld)",
                 bytes, (long long)settings->message_bytes_max);
        fail(sending, REMORA_INVALID_ARGUMENT, words);
        return;
    }
    rd_kafka_headers_t *headers = headers_make(settings, &sending->from);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        sending->broker->producer.rk,
        RD_KAFKA_V_TOPIC(text_of(sending->call, sending->message.topic)),
        RD_KAFKA_V_PARTITION(sending->partition), RD_KAFKA_V_MSGFLAGS(0),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)sending->value.data, sending->value.len),
        RD_KAFKA_V_KEY((void *)(uintptr_t)sending->key.data, sending->key.len),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(sending), RD_KAFKA_V_END);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (headers != NULL)
        rd_kafka_headers_destroy(headers);
    finish(sending, failure_of(sending->call, err, REMORA_EFFECT_FAILED));
}

/* What is to be Avro is, with the id of its schema in front. */
static void
on_latest(const struct registry_answer *answer, void *arg)
{
    struct sending *sending = arg;
    const struct settings *settings = &sending->broker->settings;
    struct remora_slice json = sending->message.data;
    struct avro_bytes out = { .max = (size_t)settings->message_bytes_max };
    char why[AVRO_WHY_BYTES] = "";
    if (answer->schema == NULL) {
        fail(sending, answer->code, answer->why);
        return;
    }
    const unsigned char head[] = { 0, (unsigned char)(answer->id >> 24),
                                   (unsigned char)(answer->id >> 16),
                                   (unsigned char)(answer->id >> 8), (unsigned char)answer->id };
    avro_put(&out, head, sizeof head);
    bool is_made = avro_from_json(answer->schema, json.data == NULL ? "" : json.data, json.len,
                                  settings->is_avro_json ? AVRO_JSON_TAGGED : AVRO_JSON_STANDARD,
                                  &out, why);
    if (is_made) {
        char *value = remora_call_alloc(sending->call, out.len);
        memcpy(value, out.data, out.len);
        sending->value = (struct remora_slice){ value, out.len };
    }
    avro_bytes_fini(&out);
    if (is_made)
        produce(sending);
    else
        fail(sending, REMORA_INVALID_ARGUMENT, why);
}

static void
make_value(struct sending *sending)
{
    const struct header_source *from = &sending->from;
    const struct remora_pair *pairs = sending->bulk != NULL ? from->shared : from->own;
    size_t count = sending->bulk != NULL ? from->shared_count : from->own_count;
    struct remora_slice kind = { "none", 4 };
    char words[HEADERS_KIND_BYTES];
    bool is_avro;
    (void)remora_metadata_get(pairs, count, "valueSchemaType", &kind);
    if (!headers_read_kind(kind, &is_avro, words, sizeof words))
        fail(sending, REMORA_INVALID_ARGUMENT, words);
    else if (!is_avro)
        produce(sending);
    else if (sending->broker->registry == NULL)
        fail(sending, REMORA_INVALID_ARGUMENT, "schema registry details not set");
    else
        (void)registry_ask_latest(sending->broker->registry, sending->message.topic, on_latest,
                                  sending); /* who closes the registry makes it answer */
}

static void
send_record(struct sending *sending)
{
    const char *data = sending->message.data.data;
    sending->partition = RD_KAFKA_PARTITION_UA;
    if (!header_source_find(&sending->from, "__key", &sending->key))
        (void)header_source_find(&sending->from, "partitionKey", &sending->key);
    if (!is_topic(sending->message.topic)) {
        finish(sending,
               failure_of(sending->call, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, REMORA_EFFECT_FAILED));
        return;
    }
    if (!find_partition(&sending->from, &sending->partition)) {
        fail(sending, REMORA_INVALID_ARGUMENT,
             "kafka error: invalid value for 'partitionNumber' attribute");
        return;
    }
    if (is_tombstone(sending->message.data)) {
        produce(sending);
        return;
    }
    sending->value = (struct remora_slice){ data == NULL ? "" : data, sending->message.data.len };
    make_value(sending);
}

void
broker_publish(remora_call *call, void *self, const struct remora_publish *message)
{
    struct sending *sending = remora_call_alloc(call, sizeof *sending);
    *sending = (struct sending){ .call = call,
                                 .broker = self,
                                 .message = *message,
                                 .from = { .own = message->metadata,
                                           .own_count = message->metadata_count } };
    send_record(sending);
}

/* Each is a record of its own; librdkafka packs them into as few requests as it can. */
void
broker_publish_many(remora_call *call, void *self, const struct remora_publish *messages,
                    size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    struct bulk *bulk = remora_call_alloc(call, sizeof *bulk);
    struct sending *sendings = remora_call_alloc(call, (count + 1) * sizeof *sendings);
    *bulk = (struct bulk){ .call = call, .count = count, .left = count + 1 };
    bulk->failures = remora_call_alloc(call, (count + 1) * sizeof *bulk->failures);
    for (size_t i = 0; i < count; i++) {
        sendings[i] = (struct sending){ .call = call,
                                        .bulk = bulk,
                                        .index = i,
                                        .broker = self,
                                        .message = messages[i],
                                        .from = { .own = messages[i].metadata,
                                                  .own_count = messages[i].metadata_count,
                                                  .shared = metadata,
                                                  .shared_count = metadata_count } };
        send_record(&sendings[i]);
    }
    sendings[count] = (struct sending){ .call = call, .bulk = bulk, .index = count };
    finish(&sendings[count], NULL); /* the one too many */
}

void
broker_on_reports(struct broker *broker, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *message;
    while ((message = rd_kafka_event_message_next(event)) != NULL) {
        struct sending *sending = message->_private;
        bool is_unsent = rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            client_is_well(&broker->producer);
        finish(sending, message->err == RD_KAFKA_RESP_ERR_NO_ERROR
                            ? NULL
                            : failure_of(sending->call, message->err,
                                         is_unsent ? REMORA_EFFECT_FAILED : REMORA_EFFECT_UNKNOWN));
    }
}
