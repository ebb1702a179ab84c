/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of bulk publishing; see http_publish_json.h. */
#include "surface/http_publish_json.h"

#include "api/cloudevent.h"
#include "base/base64.h"
#include "base/limits.h"
#include "surface/body_json.h"

/* An entry as it stands in the body. */
struct raw_entry {
    struct bulk_entry entry;
    struct slice event; /* JSON text; data NULL: left out */
};

static err_t
fail_unmarshal(struct request *rq, const struct publish_bulk *bulk, struct slice cause)
{
    struct slice words = arena_printf(rq->arena,
                                      "error when unmarshaling the request for topic " SLICE_FMT
                                      " pubsub " SLICE_FMT ": " SLICE_FMT,
                                      SLICE_ARG(bulk->request.topic),
                                      SLICE_ARG(bulk->request.pubsub), SLICE_ARG(cause));
    return publish_bulk_fail(rq, bulk, "DAPR_PUBSUB_UNMARSHAL_EVENTS", words, SLICE_EMPTY);
}

static err_t
fail_mismatch(struct request *rq, const struct publish_bulk *bulk)
{
    const struct slice cause = SLICE("error: mismatch between contentType and event");
    struct slice words = arena_printf(
        rq->arena,
        "error when marshalling cloud event envelope for topic " SLICE_FMT " pubsub " SLICE_FMT
        ": " SLICE_FMT,
        SLICE_ARG(bulk->request.topic), SLICE_ARG(bulk->request.pubsub), SLICE_ARG(cause));
    return publish_bulk_fail(rq, bulk, "DAPR_PUBSUB_MARSHAL_ENVELOPE", words, cause);
}

/* False: the event is not of its type. */
static bool
take_event(struct request *rq, const struct raw_entry *raw, struct slice *ret_data)
{
    struct slice type = raw->entry.content_type, text;
    struct json json;
    if (cloudevent_is_json(type) || cloudevent_is_type(type)) {
        *ret_data = raw->event.data == NULL ? SLICE("null") : raw->event;
        return true;
    }
    json_init(&json, raw->event);
    if (raw->event.data == NULL || json_peek(&json) != JSON_STRING ||
        !json_string(&json, rq->arena, &text))
        return false;
    if (cloudevent_has_type(type, SLICE("application/octet-stream")))
        return base64_decode_arena(rq->arena, text, ret_data);
    *ret_data = text;
    return slice_has_prefix_nocase(type, SLICE("text/")) ||
           cloudevent_has_type(type, SLICE("application/xml"));
}

/* One that json_peek() saw to be an object. */
static struct raw_entry
read_entry(struct body_parser *p)
{
    struct raw_entry raw = { .entry = { .id = SLICE_EMPTY, .content_type = SLICE_EMPTY } };
    struct pair *pairs = NULL;
    struct slice name;
    json_enter(&p->json);
    while (json_object_next(&p->json, p->rq->arena, &name)) {
        if (slice_eq_nocase(name, SLICE("entryId"))) {
            (void)body_read_text(p, "entryId", &raw.entry.id); /* null: empty, refused later */
        } else if (slice_eq_nocase(name, SLICE("event"))) {
            (void)json_skip(&p->json, &raw.event); /* the parser remembers a failure */
        } else if (slice_eq_nocase(name, SLICE("contentType"))) {
            (void)body_read_text(p, "contentType", &raw.entry.content_type); /* null: empty */
        } else if (slice_eq_nocase(name, SLICE("metadata"))) {
            body_read_metadata(p, &pairs, &raw.entry.metadata_count);
            raw.entry.metadata = pairs;
        } else {
            body_skip(p);
        }
    }
    return raw;
}

/* False: they are too many. */
static bool
read_entries(struct body_parser *p, struct raw_entry **ret_entries, size_t *ret_count)
{
    struct raw_entry *entries = NULL;
    size_t count = 0, capacity = 0;
    json_enter(&p->json);
    while (json_array_next(&p->json)) {
        if (count == LIMIT_publish_entries_max)
            return false;
        entries = body_grow(p->rq->arena, entries, count, &capacity, sizeof *entries);
        enum json_type type = json_peek(&p->json);
        if (type == JSON_OBJECT) {
            entries[count++] = read_entry(p);
            continue;
        }
        if (type != JSON_NULL && type != JSON_NONE)
            body_wrong_value(p, type, "http.bulkPublishMessageEntry");
        entries[count++] = (struct raw_entry){ .entry = { .id = SLICE_EMPTY } };
        body_skip(p);
    }
    *ret_entries = entries;
    *ret_count = count;
    return true;
}

/* What the parser ended with. The reference reads from a stream, which words an early end its own
 * way. */
static err_t
verdict(struct body_parser *p, struct slice body, const struct publish_bulk *bulk)
{
    if (slice_trim(body).len == 0)
        return fail_unmarshal(p->rq, bulk, SLICE("EOF"));
    if (p->json.failed || !json_end(&p->json)) {
        struct slice words = slice_str(p->json.error);
        if (slice_eq(words, SLICE("unexpected end of JSON input")))
            words = SLICE("unexpected EOF");
        return fail_unmarshal(p->rq, bulk, words);
    }
    if (p->wrong.len > 0)
        return fail_unmarshal(p->rq, bulk, p->wrong);
    if (p->has_nul)
        return fail_unmarshal(p->rq, bulk,
                              SLICE("ids, types and metadata must not hold the NUL character"));
    return OK;
}

err_t
parse_bulk_entries(struct request *rq, struct slice body, struct publish_bulk *bulk)
{
    struct body_parser p = body_parser_of(rq, body, "bulkPublishMessageEntry");
    struct raw_entry *raw = NULL;
    size_t count = 0;
    enum json_type type = json_peek(&p.json);
    if (type == JSON_ARRAY) {
        if (!read_entries(&p, &raw, &count))
            return publish_bulk_fail_size(rq, bulk);
    } else {
        if (type != JSON_NULL && type != JSON_NONE)
            body_wrong_value(&p, type, "[]http.bulkPublishMessageEntry");
        body_skip(&p);
    }
    err_t err = verdict(&p, body, bulk);
    if (err != OK)
        return err;
    struct bulk_entry *entries = ARENA_ARRAY(rq->arena, struct bulk_entry, count + 1);
    for (size_t i = 0; i < count; i++) {
        entries[i] = raw[i].entry;
        if (!take_event(rq, &raw[i], &entries[i].data))
            return fail_mismatch(rq, bulk);
    }
    bulk->entries = entries;
    bulk->entry_count = count;
    return OK;
}
