/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of bulk publishing. Error texts are those of the reference, from recordings/publish.json.
 */
#include "surface/http_publish_json.h"

#include <stdlib.h>

#include "base/limits.h"
#include "tests/lib/test.h"

struct fixture {
    struct arena arena;
    struct kernel *kernel;
    struct request rq;
    struct publish_bulk bulk;
};

static void
begin(struct fixture *f)
{
    arena_init(&f->arena);
    f->kernel = calloc(1, sizeof *f->kernel);
    REQUIRE(f->kernel != NULL);
    f->kernel->app_id = SLICE("shop");
    f->rq = (struct request){ .arena = &f->arena, .kernel = f->kernel };
    f->bulk = (struct publish_bulk){ .request = { .pubsub = SLICE("bus"), .topic = SLICE("t") } };
}

static void
finish(struct fixture *f)
{
    free(f->kernel);
    arena_fini(&f->arena);
}

static void
check_error(const char *body, const char *message, const char *reason)
{
    struct fixture f;
    begin(&f);
    CHECK_EQ_INT(parse_bulk_entries(&f.rq, slice_str(body), &f.bulk), ERR_PUBSUB_EVENTS_SER);
    CHECK_SLICE_IS(f.rq.error.message, message);
    CHECK_SLICE_IS(f.rq.error.reason, reason);
    CHECK_EQ_INT(f.rq.error.http, 400);
    finish(&f);
}

TEST(an_event_is_what_its_type_says_PUB_108_PUB_109)
{
    struct fixture f;
    const char *body =
        " [{\"entryId\":\"1\",\"event\": { \"n\" : 1.50 } ,\"contentType\":\"application/json\"},"
        "{\"ENTRYID\":\"2\",\"event\":\"t\\u00fc\",\"contentType\":\"Text/Plain; charset=utf-8\","
        "\"metadata\":{\"k\":\"v\",\"n\":null}},"
        "{\"entryId\":\"3\",\"event\":\"AAE=\",\"contentType\":\"application/octet-stream\"},"
        "{\"entryId\":\"4\",\"contentType\":\"application/cloudevents+json\"},"
        "{\"entryId\":\"5\",\"event\":\"<a/>\",\"contentType\":\"application/xml\"},"
        "{\"entryId\":\"6\",\"event\":\"s\",\"contentType\":\"application/json\"}] ";
    begin(&f);
    REQUIRE_OK(parse_bulk_entries(&f.rq, slice_str(body), &f.bulk));
    REQUIRE(f.bulk.entry_count == 6);
    const struct bulk_entry *entries = f.bulk.entries;
    CHECK_SLICE_IS(entries[0].data, "{ \"n\" : 1.50 }");
    CHECK(entries[0].data.data > body && entries[0].data.data < body + strlen(body));
    CHECK_SLICE_IS(entries[1].id, "2");
    CHECK_SLICE_IS(entries[1].data, "t\u00fc");
    REQUIRE(entries[1].metadata_count == 2);
    CHECK_SLICE_IS(entries[1].metadata[0].name, "k");
    CHECK_SLICE_IS(entries[1].metadata[1].value, "");
    CHECK(slice_eq(entries[2].data, slice_of("\0\1", 2)));
    CHECK_SLICE_IS(entries[3].data, "null");
    CHECK_SLICE_IS(entries[4].data, "<a/>");
    CHECK_SLICE_IS(entries[5].data, "\"s\"");
    finish(&f);
}

TEST(an_event_that_is_not_of_its_type_is_refused_PUB_U02)
{
    static const char *const bodies[] = {
        "[{\"entryId\":\"c\",\"event\":{\"a\":1},\"contentType\":\"text/plain\"}]",
        "[{\"entryId\":\"c\",\"event\":\"x\"}]",
        "[{\"entryId\":\"c\",\"event\":\"x\",\"contentType\":\"foo/bar\"}]",
        "[{\"entryId\":\"c\",\"event\":\"*\",\"contentType\":\"application/octet-stream\"}]",
        "[{\"entryId\":\"c\",\"contentType\":\"text/plain\"}]",
        "[null]",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        check_error(bodies[i],
                    "error when marshalling cloud event envelope for topic t pubsub bus: "
                    "error: mismatch between contentType and event",
                    "DAPR_PUBSUB_MARSHAL_ENVELOPE");
}

TEST(what_cannot_be_read_is_refused_in_the_words_of_the_reference_PUB_107_PUB_U02)
{
    static const struct {
        const char *body, *words;
    } cases[] = {
        { "", "EOF" },
        { " \n", "EOF" },
        { "[{", "unexpected EOF" },
        { "{}",
          "json: cannot unmarshal object into Go value of type []http.bulkPublishMessageEntry" },
        { "[1]",
          "json: cannot unmarshal number into Go value of type http.bulkPublishMessageEntry" },
        { "[{\"entryId\":1,\"event\":1}]", "json: cannot unmarshal number into Go struct field "
                                           "bulkPublishMessageEntry.entryId of type string" },
        { "[{\"metadata\":[]}]", "json: cannot unmarshal array into Go struct field "
                                 "bulkPublishMessageEntry.metadata of type map[string]string" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "error when unmarshaling the request for topic t pubsub bus: %s",
                       cases[i].words);
        check_error(cases[i].body, text, "DAPR_PUBSUB_UNMARSHAL_EVENTS");
    }
}

TEST(a_list_is_bounded_and_null_is_an_empty_one)
{
    struct fixture f;
    begin(&f);
    REQUIRE_OK(parse_bulk_entries(&f.rq, SLICE("null"), &f.bulk));
    CHECK_EQ_INT(f.bulk.entry_count, 0);
    struct arena_bytes body = { 0 };
    arena_append(&f.arena, &body, SLICE("[null"));
    for (int i = 0; i < LIMIT_publish_entries_max; i++)
        arena_append(&f.arena, &body, SLICE(",null"));
    arena_append(&f.arena, &body, SLICE("]"));
    CHECK_EQ_INT(parse_bulk_entries(&f.rq, arena_bytes_slice(&body), &f.bulk),
                 ERR_PUBSUB_EVENTS_SER);
    CHECK_SLICE_IS(f.rq.error.reason, "DAPR_PUBSUB_MARSHAL_EVENTS");
    finish(&f);
}
