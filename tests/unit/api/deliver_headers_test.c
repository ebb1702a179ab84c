/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of messages as headers: what anybody who publishes may say there, and what not. */
#include "api/deliver_headers.h"

#include "test.h"

static struct arena arena;

static size_t
headers_of(const struct pair *pairs, size_t count, struct http_header *ret_headers)
{
    const struct pubsub_message message = { .metadata = pairs, .metadata_count = count };
    return deliver_metadata(&arena, &message, ret_headers);
}

TEST(names_are_lower_case_and_values_stay)
{
    const struct pair pairs[] = { { SLICE("ttlInSeconds"), SLICE("x") },
                                  { SLICE("cloudevent.data_base64"),
                                    SLICE("gr\xc3\xbc\xc3\x9f\x65") },
                                  { SLICE("empty"), SLICE_EMPTY } };
    struct http_header headers[DELIVER_METADATA_MAX];
    arena_init(&arena);
    CHECK_EQ_INT(headers_of(pairs, ARRAY_LEN(pairs), headers), 3);
    CHECK_SLICE_IS(headers[0].name, "ttlinseconds");
    CHECK_SLICE_IS(headers[1].name, "cloudevent.data_base64");
    CHECK_SLICE_IS(headers[1].value, "gr\xc3\xbc\xc3\x9f\x65");
    CHECK_SLICE_IS(headers[2].value, "");
    arena_fini(&arena);
}

TEST(what_means_something_to_others_is_left_out)
{
    static const char *const names[] = {
        "Content-Length",
        "transfer-encoding",
        "HOST",
        "dapr-api-token",
        "Pubsubname",
        "traceparent",
        "Tracestate",
        "baggage",
        "grpc-timeout",
        "x-bin",
        "dapr-caller-app-id",
        "Proxy-Connection",
        "Authorization",
        "a b",
        "a:b",
        "a\r\nb",
        "gr\xc3\xbc",
        "",
    };
    struct http_header headers[DELIVER_METADATA_MAX];
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct pair pair = { slice_str(names[i]), SLICE("v") };
        CHECK_EQ_INT(headers_of(&pair, 1, headers), 0);
    }
    arena_fini(&arena);
}

TEST(values_hold_no_line_ends_and_are_bounded)
{
    static char longest[4097];
    const struct pair pairs[] = { { SLICE("a"), SLICE("x\r\ny: z") },
                                  { SLICE("b"), slice_of("x\0y", 3) },
                                  { SLICE("c"), slice_of(longest, sizeof longest) },
                                  { SLICE("d"), SLICE("good") } };
    struct http_header headers[DELIVER_METADATA_MAX];
    memset(longest, 'x', sizeof longest);
    arena_init(&arena);
    CHECK_EQ_INT(headers_of(pairs, ARRAY_LEN(pairs), headers), 1);
    CHECK_SLICE_IS(headers[0].name, "d");
    arena_fini(&arena);
}

TEST(there_are_not_more_than_fit)
{
    static struct pair pairs[DELIVER_METADATA_MAX + 5];
    struct http_header headers[DELIVER_METADATA_MAX];
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        pairs[i] = (struct pair){ SLICE("k"), SLICE("v") };
    arena_init(&arena);
    CHECK_EQ_INT(headers_of(pairs, ARRAY_LEN(pairs), headers), DELIVER_METADATA_MAX);
    arena_fini(&arena);
}
