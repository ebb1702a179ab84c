/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of records; see headers.h. Records come from anybody: what is taken of them is bounded.
 */
#include "headers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../shared/escape.h"

enum {
    HEADERS_MAX = 256, /* of a record that become metadata */
    HEADERS_BYTES_MAX = 64 * 1024,
    NAME_BYTES_MAX = 512, /* where a name has to be a text of its own */
    KIND_SHOWN = 64,
    OWN_PAIRS = 5,
    OWN_TEXT_BYTES = 3 * 24,
};

/* --- out ---------------------------------------------------------------------------------------*/

static bool
is_same(struct remora_slice a, struct remora_slice b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static const struct remora_pair *
pair_at(const struct header_source *from, size_t i)
{
    return i < from->own_count ? &from->own[i] : &from->shared[i - from->own_count];
}

bool
header_source_find(const struct header_source *from, const char *name, struct remora_slice *ret)
{
    struct remora_slice wanted = { name, strlen(name) };
    for (size_t i = from->own_count + from->shared_count; i > 0; i--) {
        const struct remora_pair *pair = pair_at(from, i - 1);
        if (is_same(pair->name, wanted)) {
            *ret = pair->value;
            return true;
        }
    }
    return false;
}

bool
headers_read_kind(struct remora_slice kind, bool *ret_avro, char *why, size_t why_bytes)
{
    *ret_avro = kind.len == 4 && strncasecmp(kind.data, "avro", 4) == 0;
    if (*ret_avro || (kind.len == 4 && strncasecmp(kind.data, "none", 4) == 0))
        return true;
    (void)snprintf(why, why_bytes, "error parsing schema type. '%.*s' is not a supported value",
                   kind.len > KIND_SHOWN ? KIND_SHOWN : (int)kind.len, kind.data);
    return false;
}

static bool
is_excluded(const struct settings *settings, const char *name, size_t len)
{
    char text[NAME_BYTES_MAX + 1];
    if (!settings->has_excluded)
        return false;
    len = len > NAME_BYTES_MAX ? NAME_BYTES_MAX : len;
    memcpy(text, name, len);
    text[len] = '\0';
    return regexec(&settings->excluded, text, 0, NULL, 0) == 0;
}

static bool
is_overridden(const struct header_source *from, size_t at)
{
    const struct remora_pair *pair = pair_at(from, at);
    for (size_t i = at + 1; i < from->own_count + from->shared_count; i++)
        if (is_same(pair_at(from, i)->name, pair->name))
            return true;
    return false;
}

rd_kafka_headers_t *
headers_make(const struct settings *settings, const struct header_source *from)
{
    size_t count = from->own_count + from->shared_count;
    rd_kafka_headers_t *headers = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct remora_pair *pair = pair_at(from, i);
        if (pair->name.len == 0 || is_overridden(from, i) ||
            is_excluded(settings, pair->name.data, pair->name.len))
            continue;
        if (headers == NULL)
            headers = rd_kafka_headers_new(count);
        (void)rd_kafka_header_add(headers, pair->name.data, (ssize_t)pair->name.len,
                                  pair->value.data == NULL ? "" : pair->value.data,
                                  (ssize_t)pair->value.len); /* fails for read-only ones only */
    }
    return headers;
}

/* --- in ----------------------------------------------------------------------------------------*/

struct filling {
    struct header_pairs *to;
    const struct settings *settings;
    char *at;
};

static void
put(struct filling *filling, struct remora_slice name, struct remora_slice value)
{
    struct header_pairs *to = filling->to;
    size_t i = 0;
    while (i < to->count && !is_same(to->pairs[i].name, name))
        i++; /* of several headers of a name the last one counts */
    to->pairs[i] = (struct remora_pair){ name, value };
    to->count += i == to->count;
}

static void
put_foreign(struct filling *filling, struct remora_slice name, struct remora_slice value)
{
    if (filling->settings->escape_headers) {
        size_t len = escape_query(value, filling->at);
        value = (struct remora_slice){ filling->at, len };
        filling->at += len;
    }
    put(filling, name, value);
}

static void
put_number(struct filling *filling, const char *name, int64_t number)
{
    int len = snprintf(filling->at, OWN_TEXT_BYTES / 3, "%" PRId64, number);
    put(filling, (struct remora_slice){ name, strlen(name) },
        (struct remora_slice){ filling->at, (size_t)len });
    filling->at += len;
}

/* How many headers are taken, and their bytes. */
static size_t
measure(const rd_kafka_headers_t *headers, size_t *ret_bytes)
{
    const char *name;
    const void *value;
    size_t count = 0, bytes = 0, size;
    while (headers != NULL && count < HEADERS_MAX &&
           rd_kafka_header_get_all(headers, count, &name, &value, &size) ==
               RD_KAFKA_RESP_ERR_NO_ERROR) {
        bytes += strlen(name) + size;
        if (bytes > HEADERS_BYTES_MAX)
            break;
        count++;
    }
    *ret_bytes = bytes > HEADERS_BYTES_MAX ? HEADERS_BYTES_MAX : bytes;
    return count;
}

void
header_pairs_init(struct header_pairs *ret, const struct settings *settings,
                  const rd_kafka_message_t *message)
{
    static const struct remora_slice key_name = { "__key", 5 };
    rd_kafka_headers_t *headers = NULL;
    size_t bytes;
    (void)rd_kafka_message_headers(message, &headers); /* NULL if there are none */
    size_t count = measure(headers, &bytes);
    size_t key_bytes = message->key == NULL ? 0 : message->key_len;
    *ret = (struct header_pairs){ 0 };
    ret->pairs = calloc(count + OWN_PAIRS, sizeof *ret->pairs);
    ret->made = malloc(OWN_TEXT_BYTES +
                       (settings->escape_headers ? ESCAPE_FACTOR * (bytes + key_bytes) : 0));
    if (ret->pairs == NULL || ret->made == NULL)
        abort();
    struct filling filling = { .to = ret, .settings = settings, .at = ret->made };
    if (message->key != NULL)
        put_foreign(&filling, key_name, (struct remora_slice){ message->key, key_bytes });
    const char *topic = rd_kafka_topic_name(message->rkt);
    put_number(&filling, "__offset", message->offset);
    put(&filling, (struct remora_slice){ "__topic", 7 },
        (struct remora_slice){ topic, strlen(topic) });
    put_number(&filling, "__timestamp", rd_kafka_message_timestamp(message, NULL));
    put_number(&filling, "__partition", message->partition);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        const void *value;
        size_t size;
        if (rd_kafka_header_get_all(headers, i, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        if (is_excluded(settings, name, strlen(name)))
            continue;
        put_foreign(&filling, (struct remora_slice){ name, strlen(name) },
                    (struct remora_slice){ value, value == NULL ? 0 : size });
    }
}

void
header_pairs_fini(struct header_pairs *pairs)
{
    free(pairs->pairs);
    free(pairs->made);
    *pairs = (struct header_pairs){ 0 };
}
