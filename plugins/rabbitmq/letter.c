/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as AMQP has them: which metadata become properties is the reference's. */
#include "letter.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { EXPIRATION_BYTES = 24 };

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

static bool
choose(const struct settings *settings, const struct source *source, struct choice *choice,
       char why[WHY_BYTES])
{
    int64_t ttl_ms = settings->ttl_ms;
    *choice = (struct choice){ .key = find(source, "routingKey"),
                               .content_type = find(source, "contentType"),
                               .message_id = find(source, "messageId"),
                               .correlation_id = find(source, "correlationId"),
                               .type = find(source, "type") };
    if (choice->content_type.len == 0)
        choice->content_type = (struct remora_slice){ "text/plain", 10 };
    choose_priority(source, choice);
    if (source->message->has_ttl && source->message->ttl_seconds > 0)
        ttl_ms = source->message->ttl_seconds > UINT32_MAX / 1000
                     ? UINT32_MAX
                     : source->message->ttl_seconds * 1000;
    /* The server refuses what does not fit into 32 bits, and with it the channel. */
    if (ttl_ms >= 0)
        snprintf(choice->expiration, sizeof choice->expiration, "%" PRId64,
                 ttl_ms > UINT32_MAX ? (int64_t)UINT32_MAX : ttl_ms);
    const struct remora_slice all[] = { source->message->topic, choice->key,
                                        choice->content_type,   choice->message_id,
                                        choice->correlation_id, choice->type };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].len > NAME_BYTES_MAX) {
            snprintf(why, WHY_BYTES,
                     ERROR_PREFIX "a topic, key or property is longer than %d bytes",
                     NAME_BYTES_MAX);
            return false;
        }
    }
    if (source->message->data.len <= LETTER_BYTES_MAX)
        return true;
    snprintf(why, WHY_BYTES, ERROR_PREFIX "the message is larger than %d bytes", LETTER_BYTES_MAX);
    return false;
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

struct letter *
letter_new(const struct settings *settings, remora_call *call, const struct remora_publish *message,
           const struct remora_pair *more, size_t more_count, char why[WHY_BYTES])
{
    const struct source source = { message, more, more_count };
    struct choice choice;
    struct remora_bytes data;
    if (!choose(settings, &source, &choice, why))
        return NULL;
    if (!remora_call_keep(call, message->data, &data)) {
        snprintf(why, WHY_BYTES, "out of memory");
        return NULL;
    }
    size_t texts = message->topic.len + choice.key.len + choice.content_type.len +
                   choice.message_id.len + choice.correlation_id.len + choice.type.len +
                   strlen(choice.expiration);
    struct letter *letter = memory_new(sizeof *letter + texts);
    char *at = letter->texts;
    letter->data = data;
    letter->bytes = sizeof *letter + texts + data.len;
    letter->topic = put(&at, message->topic);
    letter->key = put(&at, choice.key);
    put_properties(letter, &at, &choice);
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
