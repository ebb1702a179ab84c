/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of records that are Avro, as JSON. In front of each stands the id of its schema, which the
 * registry knows; a record keeps its schema until it is done with. What cannot be had or read is
 * refused as if the application had done so: nothing is lost while a registry is away.
 */
#include <stdio.h>

#include "broker.h"

enum {
    HEAD_BYTES = 5,            /* a zero, and an id of four bytes, its highest first */
    READY_BYTES = 1024 * 1024, /* of JSON in one batch; one value may be larger */
    JSON_BYTES = 256 * 1024,   /* that any value may become, and for each of its bytes: */
    JSON_FACTOR = 1024,
};

static void
on_schema(const struct registry_answer *answer, void *arg)
{
    struct partition *partition = arg;
    struct record *record = partition->asked;
    bool is_later = partition->asking != NULL;
    partition->asking = NULL;
    partition->asked = NULL;
    if (answer->schema != NULL)
        record->schema = avro_schema_ref(answer->schema);
    else
        partition_refuse(partition, record, answer->why);
    if (is_later)
        partition_pump(partition);
}

/* Whether there is something to find a schema by; `why` says what is missing. */
static bool
has_head(const rd_kafka_message_t *message, char why[AVRO_WHY_BYTES])
{
    const unsigned char *bytes = message->payload;
    bool is_short = message->len < HEAD_BYTES;
    if (!is_short && bytes[0] == 0)
        return true;
    (void)snprintf(why, AVRO_WHY_BYTES, "%s",
                   is_short ? "value is too short" : "value has no schema id in front");
    return false;
}

static void
ask(struct partition *partition, struct record *record)
{
    const unsigned char *bytes = record->message->payload;
    uint32_t id = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 |
                  bytes[4];
    partition->asked = record;
    partition->asking = registry_ask_id(partition->broker->registry, id, on_schema, partition);
}

/* False: it cannot be read now, or not at all, of which `why` says more. */
static bool
read_value(struct partition *partition, struct record *record, char why[AVRO_WHY_BYTES])
{
    const rd_kafka_message_t *message = record->message;
    bool is_tagged = partition->broker->settings.is_avro_json;
    why[0] = '\0';
    if (message->payload == NULL)
        return true;
    if (record->schema == NULL && has_head(message, why))
        ask(partition, record);
    if (record->schema == NULL)
        return false;
    size_t most = message->len > AVRO_JSON_BYTES_MAX / JSON_FACTOR
                      ? (size_t)AVRO_JSON_BYTES_MAX
                      : JSON_BYTES + JSON_FACTOR * message->len;
    record->json = (struct avro_bytes){ .max = most };
    if (avro_to_json(record->schema, (const char *)message->payload + HEAD_BYTES,
                     message->len - HEAD_BYTES, is_tagged ? AVRO_JSON_TAGGED : AVRO_JSON_STANDARD,
                     &record->json, why))
        return true;
    avro_bytes_fini(&record->json);
    return false;
}

size_t
values_read(struct partition *partition, struct record *first, size_t count)
{
    char why[AVRO_WHY_BYTES];
    size_t ready = 0, bytes = 0;
    for (struct record *at = first; ready < count && bytes < READY_BYTES; at = at->next) {
        if (!read_value(partition, at, why)) {
            if (ready == 0 && why[0] != '\0')
                partition_refuse(partition, at, why);
            break;
        }
        bytes += at->json.len;
        ready++;
    }
    return ready;
}

void
values_forget(struct partition *partition)
{
    registry_cancel(partition->asking);
    partition->asking = NULL;
    partition->asked = NULL;
}
