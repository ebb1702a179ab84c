/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes around messages; see cloudevent.h. */
#include "api/cloudevent.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"

enum { FIRST_ROOM = 16, UUID_BYTES = 16, UUID_CHARS = 36, RANDOM_BYTES = 512, TIME_CHARS_MIN = 20 };

#define JSON_TYPE SLICE("application/json")
#define TEXT_TYPE SLICE("text/plain")
#define BYTES_TYPE SLICE("application/octet-stream")

/* --- members -----------------------------------------------------------------------------------*/

void
cloudevent_init(struct cloudevent *event, struct arena *arena)
{
    *event = (struct cloudevent){ .arena = arena };
}

static struct cloudevent_member *
find(const struct cloudevent *event, struct slice name)
{
    for (size_t i = 0; i < event->count; i++)
        if (slice_eq(event->members[i].name, name))
            return &event->members[i];
    return NULL;
}

bool
cloudevent_set_raw(struct cloudevent *event, struct slice name, struct slice raw)
{
    struct cloudevent_member *member = find(event, name);
    if (member != NULL) {
        member->raw = raw;
        return true;
    }
    if (event->count == LIMIT_cloudevent_members_max)
        return false;
    if (event->count == event->room) {
        size_t more = event->room == 0 ? FIRST_ROOM : event->room * 2;
        event->members = arena_grow(event->arena, event->members,
                                    event->room * sizeof *event->members,
                                    more * sizeof *event->members);
        event->room = more;
    }
    event->members[event->count++] = (struct cloudevent_member){ name, raw };
    return true;
}

/* Stands in a JSON string as it is. */
static bool
is_plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < ' ' || c >= 0x7f || c == '"' || c == '\\')
            return false;
    }
    return true;
}

struct slice
cloudevent_quote(struct arena *arena, struct slice text)
{
    struct buf out;
    if (is_plain(text)) {
        char *quoted = arena_alloc(arena, text.len + 2);
        quoted[0] = quoted[text.len + 1] = '"';
        if (text.len > 0)
            memcpy(quoted + 1, text.data, text.len);
        return slice_of(quoted, text.len + 2);
    }
    buf_init(&out, text.len * 6 + 2); /* the longest escape */
    bool fits = json_write_string(&out, text, false);
    struct slice quoted = arena_dup(arena, buf_slice(&out));
    buf_fini(&out);
    return fits ? quoted : SLICE("\"\"");
}

bool
cloudevent_set_text(struct cloudevent *event, struct slice name, struct slice text)
{
    return cloudevent_set_raw(event, name, cloudevent_quote(event->arena, text));
}

void
cloudevent_remove(struct cloudevent *event, struct slice name)
{
    struct cloudevent_member *member = find(event, name);
    if (member != NULL)
        *member = event->members[--event->count];
}

struct slice
cloudevent_raw(const struct cloudevent *event, struct slice name)
{
    const struct cloudevent_member *member = find(event, name);
    if (member == NULL)
        return (struct slice){ 0 };
    return member->raw;
}

struct slice
cloudevent_text(const struct cloudevent *event, struct slice name)
{
    struct slice raw = cloudevent_raw(event, name), text;
    struct json json;
    if (raw.data == NULL)
        return raw;
    json_init(&json, raw);
    if (json_peek(&json) != JSON_STRING || !json_string(&json, event->arena, &text))
        return (struct slice){ 0 };
    return text;
}

err_t
cloudevent_read(struct cloudevent *event, struct arena *arena, struct slice text, struct diag *diag)
{
    struct json json;
    struct slice name, raw;
    cloudevent_init(event, arena);
    json_init(&json, text);
    if (json_peek(&json) != JSON_OBJECT)
        return DIAG_FAIL(diag, ERR_MALFORMED, "the event is no JSON object");
    json_enter(&json);
    while (json_object_next(&json, arena, &name)) {
        if (!json_skip(&json, &raw))
            break;
        if (!cloudevent_set_raw(event, name, raw))
            return DIAG_FAIL(diag, ERR_MALFORMED, "the event has more than %d attributes",
                             (int)LIMIT_cloudevent_members_max);
    }
    if (json.failed || !json_end(&json))
        return DIAG_FAIL(diag, ERR_MALFORMED, "%s", json.error);
    return OK;
}

static int
by_name(const void *a, const void *b)
{
    struct slice x = ((const struct cloudevent_member *)a)->name;
    struct slice y = ((const struct cloudevent_member *)b)->name;
    size_t common = x.len < y.len ? x.len : y.len;
    int order = common == 0 ? 0 : memcmp(x.data, y.data, common);
    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

struct slice
cloudevent_write(const struct cloudevent *event)
{
    size_t len = 2;
    qsort(event->members, event->count, sizeof *event->members, by_name);
    struct slice *names = ARENA_ARRAY(event->arena, struct slice, event->count + 1);
    for (size_t i = 0; i < event->count; i++) {
        names[i] = cloudevent_quote(event->arena, event->members[i].name);
        len += names[i].len + event->members[i].raw.len + 2;
    }
    char *from = arena_alloc(event->arena, len), *at = from;
    *at++ = '{';
    for (size_t i = 0; i < event->count; i++) {
        struct slice raw = event->members[i].raw;
        if (i > 0)
            *at++ = ',';
        memcpy(at, names[i].data, names[i].len);
        at += names[i].len;
        *at++ = ':';
        memcpy(at, raw.data, raw.len);
        at += raw.len;
    }
    *at++ = '}';
    return slice_of(from, (size_t)(at - from));
}

/* --- values ------------------------------------------------------------------------------------*/

/* A thread's random bytes, got from the system a handful at a time. */
struct slice
cloudevent_uuid(struct arena *arena)
{
    static _Thread_local uint8_t pool[RANDOM_BYTES];
    static _Thread_local size_t left;
    static const char digits[] = "0123456789abcdef";
    if (left < UUID_BYTES) {
        if (getrandom(pool, sizeof pool, 0) != (ssize_t)sizeof pool)
            abort(); /* cannot be: so few bytes come at once */
        left = sizeof pool;
    }
    left -= UUID_BYTES;
    uint8_t *b = pool + left;
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    char *text = arena_alloc(arena, UUID_CHARS), *at = text;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[b[i] >> 4];
        *at++ = digits[b[i] & 15];
    }
    return slice_of(text, UUID_CHARS);
}

bool
cloudevent_has_type(struct slice content_type, struct slice media_type)
{
    ptrdiff_t semicolon = slice_find_byte(content_type, ';');
    if (semicolon >= 0)
        content_type = slice_first(content_type, (size_t)semicolon);
    return slice_eq_nocase(slice_trim(content_type), media_type);
}

bool
cloudevent_is_type(struct slice content_type)
{
    return cloudevent_has_type(content_type, CLOUDEVENT_CONTENT_TYPE);
}

bool
cloudevent_is_json(struct slice content_type)
{
    return cloudevent_has_type(content_type, JSON_TYPE);
}

static struct slice
base64_of(struct arena *arena, struct slice data)
{
    size_t len = base64_encoded_len(data.len);
    char *text = arena_alloc(arena, len + 2);
    text[0] = text[len + 1] = '"';
    base64_encode(data, text + 1);
    return slice_of(text, len + 2);
}

/* --- making ------------------------------------------------------------------------------------*/

/* There is room: they are few, or the event is ours. */
static void
put_text(struct cloudevent *event, struct slice name, struct slice text)
{
    (void)!cloudevent_set_text(event, name, text);
}

static void
put_raw(struct cloudevent *event, struct slice name, struct slice raw)
{
    (void)!cloudevent_set_raw(event, name, raw);
}

static void
put_data(struct cloudevent *event, struct slice content_type, struct slice data)
{
    if (cloudevent_has_type(content_type, BYTES_TYPE) || !slice_is_utf8(data))
        put_raw(event, SLICE("data_base64"), base64_of(event->arena, data));
    else if (cloudevent_is_json(content_type) && json_is_valid(data))
        put_raw(event, SLICE("data"), slice_trim(data));
    else
        put_text(event, SLICE("data"), data);
}

static void
put_time(struct cloudevent *event, struct slice name, int64_t unix_ms)
{
    char text[CLOCK_RFC3339_BYTES];
    put_text(event, name, clock_rfc3339(unix_ms / 1000 * 1000, text));
}

static void
put_trace(struct cloudevent *event, const struct cloudevent_origin *origin)
{
    put_text(event, SLICE("traceid"), origin->traceparent);
    put_text(event, SLICE("traceparent"), origin->traceparent);
    put_text(event, SLICE("tracestate"), origin->tracestate);
}

void
cloudevent_make(struct cloudevent *event, struct arena *arena,
                const struct cloudevent_origin *origin, struct slice content_type,
                struct slice data)
{
    cloudevent_init(event, arena);
    if (content_type.len == 0)
        content_type = TEXT_TYPE;
    put_data(event, content_type, data);
    put_text(event, SLICE("datacontenttype"), content_type);
    put_text(event, SLICE("id"), cloudevent_uuid(arena));
    put_text(event, SLICE("pubsubname"), origin->pubsub);
    put_text(event, SLICE("source"), origin->source);
    put_raw(event, SLICE("specversion"), SLICE("\"1.0\""));
    put_time(event, SLICE("time"), origin->now_unix_ms);
    put_text(event, SLICE("topic"), origin->topic);
    put_trace(event, origin);
    put_text(event, SLICE("type"), CLOUDEVENT_TYPE);
}

static bool
lacks(const struct cloudevent *event, struct slice name)
{
    return cloudevent_raw(event, name).data == NULL;
}

void
cloudevent_complete(struct cloudevent *event, const struct cloudevent_origin *origin)
{
    put_text(event, SLICE("topic"), origin->topic);
    put_text(event, SLICE("pubsubname"), origin->pubsub);
    if (lacks(event, SLICE("id")))
        put_text(event, SLICE("id"), cloudevent_uuid(event->arena));
    if (lacks(event, SLICE("source")))
        put_text(event, SLICE("source"), SLICE("Dapr"));
    if (lacks(event, SLICE("type")))
        put_text(event, SLICE("type"), CLOUDEVENT_TYPE);
    if (lacks(event, SLICE("specversion")))
        put_raw(event, SLICE("specversion"), SLICE("\"1.0\""));
    if (lacks(event, SLICE("time")))
        put_time(event, SLICE("time"), origin->now_unix_ms);
    if (origin->traceparent.len > 0 ||
        (lacks(event, SLICE("traceparent")) && lacks(event, SLICE("traceid")))) {
        put_trace(event, origin);
        return;
    }
    /* The event's own context stays: whichever of its two names it goes by, it gets both. */
    struct slice parent = cloudevent_text(event, SLICE("traceparent"));
    struct slice id = cloudevent_text(event, SLICE("traceid"));
    if (lacks(event, SLICE("traceparent")) && id.data != NULL)
        put_text(event, SLICE("traceparent"), id);
    else if (lacks(event, SLICE("traceid")) && parent.data != NULL)
        put_text(event, SLICE("traceid"), parent);
    if (lacks(event, SLICE("tracestate")))
        put_raw(event, SLICE("tracestate"), SLICE("\"\""));
}

void
cloudevent_wrap(struct cloudevent *event, struct arena *arena, struct slice pubsub,
                struct slice topic, struct slice data)
{
    cloudevent_init(event, arena);
    put_raw(event, SLICE("data_base64"), base64_of(arena, data));
    put_text(event, SLICE("datacontenttype"), BYTES_TYPE);
    put_text(event, SLICE("id"), cloudevent_uuid(arena));
    put_text(event, SLICE("pubsubname"), pubsub);
    put_text(event, SLICE("source"), SLICE("Dapr"));
    put_raw(event, SLICE("specversion"), SLICE("\"1.0\""));
    put_text(event, SLICE("topic"), topic);
    put_text(event, SLICE("type"), CLOUDEVENT_TYPE);
}

/* --- expiry ------------------------------------------------------------------------------------*/

bool
cloudevent_expire_at(struct cloudevent *event, int64_t unix_ms)
{
    char text[CLOCK_RFC3339_BYTES];
    return cloudevent_set_text(event, SLICE("expiration"),
                               clock_rfc3339(unix_ms / 1000 * 1000, text));
}

/* So many digits from `at`; false: others stand there. */
static bool
take_digits(struct slice text, size_t at, size_t count, int *ret_number)
{
    uint64_t number;
    if (!slice_to_u64(slice_first(slice_from(text, at), count), &number) ||
        slice_from(text, at).len < count)
        return false;
    *ret_number = (int)number;
    return true;
}

/* "2026-11-25T16:47:09.25+01:00", the fraction left away. */
static bool
read_time(struct slice text, int64_t *ret_unix_ms)
{
    struct tm tm = { 0 };
    int hours = 0, minutes = 0;
    if (text.len < TIME_CHARS_MIN || text.data[4] != '-' || text.data[7] != '-' ||
        (text.data[10] != 'T' && text.data[10] != 't') || text.data[13] != ':' ||
        text.data[16] != ':' || !take_digits(text, 0, 4, &tm.tm_year) ||
        !take_digits(text, 5, 2, &tm.tm_mon) || !take_digits(text, 8, 2, &tm.tm_mday) ||
        !take_digits(text, 11, 2, &tm.tm_hour) || !take_digits(text, 14, 2, &tm.tm_min) ||
        !take_digits(text, 17, 2, &tm.tm_sec))
        return false;
    struct slice zone = slice_from(text, TIME_CHARS_MIN - 1);
    if (zone.data[0] == '.')
        do
            zone = slice_from(zone, 1);
        while (zone.len > 0 && zone.data[0] >= '0' && zone.data[0] <= '9');
    if (zone.len == 6 && (zone.data[0] == '+' || zone.data[0] == '-') && zone.data[3] == ':') {
        if (!take_digits(zone, 1, 2, &hours) || !take_digits(zone, 4, 2, &minutes))
            return false;
    } else if (zone.len != 1 || (zone.data[0] != 'Z' && zone.data[0] != 'z')) {
        return false;
    }
    int64_t offset_s = (int64_t)(hours * 60 + minutes) * 60;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret_unix_ms = ((int64_t)timegm(&tm) - (zone.data[0] == '-' ? -offset_s : offset_s)) * 1000;
    return true;
}

bool
cloudevent_is_expired(const struct cloudevent *event, int64_t now_unix_ms)
{
    struct slice text = cloudevent_text(event, SLICE("expiration"));
    int64_t unix_ms = 0;
    return text.data != NULL && read_time(text, &unix_ms) && unix_ms <= now_unix_ms;
}
