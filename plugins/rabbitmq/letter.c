/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as AMQP has them: which metadata become properties is the reference's. */
#include "letter.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "../shared/ttl.h"

enum { EXPIRATION_BYTES = 24 };

#define NO_TRACE "00-00000000000000000000000000000000-0000000000000000-00"

struct source {
    const struct remora_publish *message;
    const struct remora_pair *more;
    size_t more_count;
};

struct choice {
    struct remora_slice key, content_type, message_id, correlation_id, type;
    bool has_priority;
    uint8_t priority;
    char expiration[EXPIRATION_BYTES]; /* empty: none */
};

static struct remora_slice
find(const struct source *source, const char *name)
{
    struct remora_slice text;
    const struct remora_publish *message = source->message;
    if (remora_metadata_get(message->metadata, message->metadata_count, name, &text) ||
        remora_metadata_get(source->more, source->more_count, name, &text))
        return text;
    return (struct remora_slice){ "", 0 };
}

/* What is not a number is ignored, as in the reference; what is too large is the largest. */
static void
choose_priority(const struct source *source, struct choice *choice)
{
    int64_t number;
    struct remora_slice text = find(source, "priority");
    choice->has_priority = text.len > 0 && remora_parse_i64(text, &number);
    if (choice->has_priority)
        choice->priority = (uint8_t)(number < 0 ? 0 : number > 255 ? 255 : number);
}

/* The server refuses what does not fit into 32 bits, and with it the channel. */
static void
set_expiration(struct choice *choice, int64_t ttl_ms)
{
    if (ttl_ms >= 0)
        snprintf(choice->expiration, sizeof choice->expiration, "%" PRId64,
                 ttl_ms > UINT32_MAX ? (int64_t)UINT32_MAX : ttl_ms);
}

static void
choose_for_topic(const struct settings *settings, const struct source *source,
                 struct choice *choice)
{
    int64_t ttl_ms = settings->ttl_ms;
    *choice = (struct choice){ .key = find(source, "routingKey"),
                               .content_type = find(source, "contentType"),
                               .message_id = find(source, "messageId"),
                               .correlation_id = find(source, "correlationId"),
                               .type = find(source, "type") };
    choose_priority(source, choice);
    if (source->message->has_ttl && source->message->ttl_seconds > 0)
        ttl_ms = source->message->ttl_seconds > UINT32_MAX / 1000
                     ? UINT32_MAX
                     : source->message->ttl_seconds * 1000;
    set_expiration(choice, ttl_ms);
}

/* All metadata are headers of the message, so that only what is no header is chosen. */
static bool
choose_for_queue(const struct settings *settings, const struct source *source,
                 struct choice *choice, char why[WHY_BYTES])
{
    char reason[WHY_BYTES / 2];
    int64_t ttl_ms;
    const struct remora_publish *message = source->message;
    *choice = (struct choice){ .key = { settings->queue, strlen(settings->queue) },
                               .content_type = find(source, "contentType") };
    if (!ttl_of(message->metadata, message->metadata_count, &ttl_ms, reason, sizeof reason)) {
        snprintf(why, WHY_BYTES, "failed to get TTL: %s", reason);
        return false;
    }
    set_expiration(choice, ttl_ms);
    choose_priority(source, choice);
    struct remora_slice priority = find(source, "priority");
    if (priority.len > 0 && !choice->has_priority) {
        snprintf(why, WHY_BYTES, "priority value must be a valid integer: actual is '%.*s'",
                 priority.len > 64 ? 64 : (int)priority.len, priority.data);
        return false;
    }
    return true;
}

static bool
is_fit(const struct settings *settings, const struct source *source, const struct choice *choice,
       char why[WHY_BYTES])
{
    const struct remora_slice all[] = { source->message->topic, choice->key,
                                        choice->content_type,   choice->message_id,
                                        choice->correlation_id, choice->type };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].len > NAME_BYTES_MAX) {
            snprintf(why, WHY_BYTES,
                     ERROR_PREFIX "a topic, key or property is longer than %d bytes",
                     settings->shown, NAME_BYTES_MAX);
            return false;
        }
    }
    if (source->message->data.len <= LETTER_BYTES_MAX)
        return true;
    snprintf(why, WHY_BYTES, ERROR_PREFIX "the message is larger than %d bytes", settings->shown,
             LETTER_BYTES_MAX);
    return false;
}

static bool
choose(const struct settings *settings, const struct source *source, struct choice *choice,
       char why[WHY_BYTES])
{
    if (settings->queue == NULL)
        choose_for_topic(settings, source, choice);
    else if (!choose_for_queue(settings, source, choice, why))
        return false;
    if (choice->content_type.len == 0)
        choice->content_type = (struct remora_slice){ "text/plain", 10 };
    return is_fit(settings, source, choice, why);
}

static amqp_bytes_t
put(char **at, struct remora_slice text)
{
    amqp_bytes_t bytes = { text.len, *at };
    if (text.len > 0)
        memcpy(*at, text.data, text.len);
    *at += text.len;
    return bytes;
}

static amqp_bytes_t
put_property(struct letter *letter, char **at, struct remora_slice text, amqp_flags_t flag)
{
    if (text.len > 0)
        letter->properties._flags |= flag;
    return put(at, text);
}

static void
put_properties(struct letter *letter, char **at, const struct choice *choice)
{
    amqp_basic_properties_t *to = &letter->properties;
    to->content_type = put_property(letter, at, choice->content_type, AMQP_BASIC_CONTENT_TYPE_FLAG);
    to->message_id = put_property(letter, at, choice->message_id, AMQP_BASIC_MESSAGE_ID_FLAG);
    to->correlation_id = put_property(letter, at, choice->correlation_id,
                                      AMQP_BASIC_CORRELATION_ID_FLAG);
    to->type = put_property(letter, at, choice->type, AMQP_BASIC_TYPE_FLAG);
    to->expiration = put_property(
        letter, at, (struct remora_slice){ choice->expiration, strlen(choice->expiration) },
        AMQP_BASIC_EXPIRATION_FLAG);
    if (choice->has_priority) {
        to->_flags |= AMQP_BASIC_PRIORITY_FLAG;
        to->priority = choice->priority;
    }
}

/* --- headers -----------------------------------------------------------------------------------*/

/* Where no trace is, none is told. */
static bool
is_header(const struct remora_pair *pair)
{
    return pair->name.len > 0 &&
           !(remora_slice_eq(pair->name, "traceparent") && remora_slice_eq(pair->value, NO_TRACE));
}

/* Bytes of the headers of a binding's message; false: they are too many. */
static bool
measure_headers(const struct settings *settings, const struct remora_publish *message,
                size_t *ret_count, size_t *ret_bytes, char why[WHY_BYTES])
{
    size_t count = 0, bytes = 0;
    for (size_t i = 0; settings->queue != NULL && i < message->metadata_count; i++) {
        const struct remora_pair *pair = &message->metadata[i];
        if (!is_header(pair))
            continue;
        count++;
        bytes += pair->name.len + pair->value.len;
        if (pair->name.len > NAME_BYTES_MAX || count > LETTER_HEADERS_MAX ||
            bytes > LETTER_HEADER_BYTES_MAX) {
            snprintf(why, WHY_BYTES,
                     ERROR_PREFIX "metadata are too many or too long: %d names of %d bytes, %d "
                                  "bytes in all",
                     settings->shown, LETTER_HEADERS_MAX, NAME_BYTES_MAX, LETTER_HEADER_BYTES_MAX);
            return false;
        }
    }
    *ret_count = count;
    *ret_bytes = bytes;
    return true;
}

static void
put_headers(struct letter *letter, char **at, const struct remora_publish *message, size_t count)
{
    if (count == 0)
        return;
    letter->headers = memory_new(count * sizeof *letter->headers);
    amqp_table_entry_t *entry = letter->headers;
    for (size_t i = 0; i < message->metadata_count; i++) {
        if (!is_header(&message->metadata[i]))
            continue;
        entry->key = put(at, message->metadata[i].name);
        entry->value.kind = AMQP_FIELD_KIND_UTF8;
        entry->value.value.bytes = put(at, message->metadata[i].value);
        entry++;
    }
    letter->properties.headers = (amqp_table_t){ (int)count, letter->headers };
    letter->properties._flags |= AMQP_BASIC_HEADERS_FLAG;
}

/* --- a letter ----------------------------------------------------------------------------------*/

struct letter *
letter_new(const struct settings *settings, remora_call *call, const struct remora_publish *message,
           const struct remora_pair *more, size_t more_count, char why[WHY_BYTES])
{
    const struct source source = { message, more, more_count };
    struct choice choice;
    struct remora_bytes data;
    size_t header_count, header_bytes;
    if (!choose(settings, &source, &choice, why) ||
        !measure_headers(settings, message, &header_count, &header_bytes, why))
        return NULL;
    if (!remora_call_keep(call, message->data, &data)) {
        snprintf(why, WHY_BYTES, "out of memory");
        return NULL;
    }
    size_t texts = message->topic.len + choice.key.len + choice.content_type.len +
                   choice.message_id.len + choice.correlation_id.len + choice.type.len +
                   strlen(choice.expiration) + header_bytes;
    struct letter *letter = memory_new(sizeof *letter + texts);
    char *at = letter->texts;
    letter->data = data;
    letter->bytes = sizeof *letter + texts + data.len + header_count * sizeof *letter->headers;
    letter->topic = put(&at, message->topic);
    letter->key = put(&at, choice.key);
    put_properties(letter, &at, &choice);
    put_headers(letter, &at, message, header_count);
    if (settings->delivery_mode > 0) {
        letter->properties._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
        letter->properties.delivery_mode = settings->delivery_mode;
    }
    uint64_t left = remora_call_time_left_ms(call);
    left = left < PUBLISH_WAITS_MS ? left : PUBLISH_WAITS_MS;
    letter->deadline_ms = left - left / 10; /* so that our words are heard, and not only silence */
    letter->call = call;
    return letter;
}

void
letter_free(struct letter *letter)
{
    if (letter == NULL)
        return;
    if (letter->data.release != NULL)
        letter->data.release(letter->data.arg);
    free(letter->headers);
    free(letter);
}

void
letter_fail(struct letter *letter, enum remora_code code, enum remora_effect effect,
            const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(letter->why, sizeof letter->why, format, args);
    va_end(args);
    letter->is_taken = false;
    letter->code = code;
    letter->effect = effect;
}
