/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes: what is made, completed, wrapped and read (PUB-22 to PUB-45). */
#include "api/cloudevent.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "test.h"

static struct arena arena;

static const struct cloudevent_origin origin = { .pubsub = SLICE("bus"),
                                                 .topic = SLICE("orders"),
                                                 .source = SLICE("shop"),
                                                 .traceparent = SLICE_EMPTY,
                                                 .tracestate = SLICE_EMPTY,
                                                 .now_unix_ms = 1764089229000 };

static struct slice
made(struct slice content_type, struct slice data, const char *member)
{
    struct cloudevent event;
    cloudevent_make(&event, &arena, &origin, content_type, data);
    CHECK(json_is_valid(cloudevent_write(&event)));
    return cloudevent_raw(&event, slice_str(member));
}

TEST(an_envelope_has_its_members_in_order)
{
    struct cloudevent event;
    arena_init(&arena);
    cloudevent_make(&event, &arena, &origin, SLICE("application/json"), SLICE(" {\"a\": 1.50} "));
    CHECK(cloudevent_set_raw(&event, SLICE("id"), SLICE("\"x\"")));
    CHECK_SLICE_IS(cloudevent_write(&event),
                   "{\"data\":{\"a\": 1.50},\"datacontenttype\":\"application/json\",\"id\":\"x\","
                   "\"pubsubname\":\"bus\",\"source\":\"shop\",\"specversion\":\"1.0\","
                   "\"time\":\"2025-11-25T16:47:09Z\",\"topic\":\"orders\",\"traceid\":\"\","
                   "\"traceparent\":\"\",\"tracestate\":\"\",\"type\":\"com.dapr.event.sent\"}");
    arena_fini(&arena);
}

TEST(data_is_what_its_type_and_bytes_allow)
{
    arena_init(&arena);
    CHECK_SLICE_IS(made(SLICE("application/json; charset=utf-8"), SLICE("[1]"), "data"), "[1]");
    CHECK_SLICE_IS(made(SLICE("application/json"), SLICE("{oops"), "data"), "\"{oops\"");
    CHECK_SLICE_IS(made(SLICE("application/json"), SLICE(""), "data"), "\"\"");
    CHECK_SLICE_IS(made(SLICE("application/json"), SLICE("123456789012345678901"), "data"),
                   "123456789012345678901");
    CHECK_SLICE_IS(made(SLICE(""), SLICE("{\"a\":1}"), "data"), "\"{\\\"a\\\":1}\"");
    CHECK_SLICE_IS(made(SLICE(""), SLICE("x"), "datacontenttype"), "\"text/plain\"");
    CHECK_SLICE_IS(made(SLICE("application/vnd.x+json"), SLICE("{}"), "data"), "\"{}\"");
    CHECK_SLICE_IS(made(SLICE("application/octet-stream"), SLICE("\0\xff\x10"), "data_base64"),
                   "\"AP8Q\"");
    CHECK_SLICE_IS(made(SLICE("image/png"), SLICE("\x89PNG"), "data_base64"), "\"iVBORw==\"");
    CHECK(made(SLICE("image/png"), SLICE("\x89PNG"), "data").data == NULL);
    arena_fini(&arena);
}

TEST(what_an_application_made_is_completed_and_kept)
{
    struct cloudevent event;
    struct diag diag;
    arena_init(&arena);
    diag_init(&diag, &arena);
    CHECK_OK(cloudevent_read(&event, &arena,
                             SLICE("{\"type\":\"sale\",\"n\":12345678901234567890,\"topic\":\"no\","
                                   "\"traceparent\":\"00-1\",\"type\":\"last\"}"),
                             &diag));
    cloudevent_complete(&event, &origin);
    CHECK_SLICE_IS(cloudevent_raw(&event, SLICE("n")), "12345678901234567890");
    CHECK_SLICE_IS(cloudevent_text(&event, SLICE("type")), "last");
    CHECK_SLICE_IS(cloudevent_text(&event, SLICE("topic")), "orders");
    CHECK_SLICE_IS(cloudevent_text(&event, SLICE("source")), "Dapr");
    CHECK_SLICE_IS(cloudevent_text(&event, SLICE("traceid")), "00-1");
    CHECK_EQ_INT(cloudevent_text(&event, SLICE("id")).len, 36);
    /* A trace field need not be a string; one that is none goes by its own name only. */
    CHECK_OK(cloudevent_read(&event, &arena, SLICE("{\"traceparent\":7}"), &diag));
    cloudevent_complete(&event, &origin);
    CHECK(json_is_valid(cloudevent_write(&event)));
    CHECK_SLICE_IS(cloudevent_raw(&event, SLICE("traceparent")), "7");
    CHECK(cloudevent_raw(&event, SLICE("traceid")).data == NULL);
    arena_fini(&arena);
}

TEST(what_is_no_event_is_refused)
{
    static const char *const bad[] = { "", "[1]", "\"x\"", "{", "{\"a\":}", "{\"a\":1}x", "nul" };
    struct cloudevent event;
    struct diag diag;
    arena_init(&arena);
    diag_init(&diag, &arena);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_EQ_INT(cloudevent_read(&event, &arena, slice_str(bad[i]), &diag), ERR_MALFORMED);
    struct buf many;
    buf_init(&many, 1 << 20);
    CHECK(buf_append(&many, SLICE("{\"a\":1")));
    for (int i = 0; i < LIMIT_cloudevent_members_max; i++)
        CHECK(buf_printf(&many, ",\"m%d\":1", i));
    CHECK(buf_append(&many, SLICE("}")));
    CHECK_EQ_INT(cloudevent_read(&event, &arena, buf_slice(&many), &diag), ERR_MALFORMED);
    buf_fini(&many);
    arena_fini(&arena);
}

TEST(expiry_is_read_in_every_zone)
{
    static const struct {
        const char *text;
        bool is_over; /* at 2026-01-01T00:00:00Z */
    } cases[] = {
        { "2025-12-31T23:59:59Z", true },       { "2026-01-01T00:00:00Z", true },
        { "2026-01-01T00:00:01Z", false },      { "2026-01-01T00:59:59+01:00", true },
        { "2026-01-01T01:00:01+01:00", false }, { "2025-12-31T23:00:01-01:00", false },
        { "2025-12-31T23:59:59.999Z", true },   { "never", false },
        { "2025-12-31T23:59:59", false },       { "2025-12-31T23:59:5xZ", false },
    };
    struct cloudevent event;
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cloudevent_init(&event, &arena);
        CHECK(cloudevent_set_text(&event, SLICE("expiration"), slice_str(cases[i].text)));
        CHECK(cloudevent_is_expired(&event, 1767225600000) == cases[i].is_over);
    }
    cloudevent_init(&event, &arena);
    CHECK(!cloudevent_is_expired(&event, 1767225600000));
    CHECK(cloudevent_expire_at(&event, 1767225600000));
    CHECK_SLICE_IS(cloudevent_text(&event, SLICE("expiration")), "2026-01-01T00:00:00Z");
    arena_fini(&arena);
}
