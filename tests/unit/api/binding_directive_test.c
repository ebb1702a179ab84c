/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer to an event asks for, and what only looks as if it asked. */
#include "api/binding_directive.h"

#include "api/state.h"
#include "base/limits.h"
#include "base/pb.h"
#include "dapr/proto/runtime/v1/appcallback.pb-c.h"
#include "tests/lib/test.h"

typedef Dapr__Proto__Runtime__V1__BindingEventResponse response_t;

static struct arena arena;
static struct binding_directive got;

static bool
reads(const char *text)
{
    return binding_directive_read(&arena, slice_str(text), &got);
}

TEST(everything_an_answer_can_ask_for)
{
    arena_init(&arena);
    CHECK(reads(" {\"storeName\": \"s\\u0074\", \"State\": [ {\"key\":\"k\", \"value\": 1.50} ], "
                "\"to\": [\"a\", \"\\n\"], \"concurrency\": \"Parallel\", \"more\": {\"x\": []}, "
                "\"data\": 12345678901234567890 } "));
    CHECK_SLICE_IS(got.store, "st");
    CHECK_SLICE_IS(got.state_json, "[ {\"key\":\"k\", \"value\": 1.50} ]");
    CHECK_EQ_INT(got.to_count, 2);
    CHECK_SLICE_IS(got.to[0], "a");
    CHECK_SLICE_IS(got.to[1], "\n");
    CHECK(got.is_parallel);
    CHECK_SLICE_IS(got.data, "12345678901234567890");
    arena_fini(&arena);
}

TEST(what_is_not_said_is_empty)
{
    arena_init(&arena);
    CHECK(reads("{\"to\":[\"a\"],\"concurrency\":\"sequential\",\"storeName\":null}"));
    CHECK_SLICE_IS(got.data, "null");
    CHECK(!got.is_parallel);
    CHECK_EQ_INT(got.state_json.len, 0);
    CHECK(reads("{\"storeName\":\"s\",\"states\":{\"key\":\"k\"},\"to\":null}"));
    CHECK_SLICE_IS(got.state_json, "[{\"key\":\"k\"}]");
    CHECK_EQ_INT(got.to_count, 0);
    arena_fini(&arena);
}

TEST(an_answer_that_asks_for_nothing)
{
    static const char *const answers[] = {
        "",
        "null",
        "1",
        "\"to\"",
        "[{\"to\":[\"a\"]}]",
        "{}",
        "{\"data\":1}",
        "{\"to\":[]}",
        "{\"to\":\"a\"}",
        "{\"to\":{\"a\":1}}",
        "{\"to\":[\"a\",1]}",
        "{\"to\":[[\"a\"]]}",
        "{\"to\":[null]}",
        "{\"to\":[\"a\"],\"to\":[\"b\"]}",
        "{\"to\":[\"a\"],\"concurrency\":1}",
        "{\"to\":[\"a\"],\"storeName\":[]}",
        "{\"to\":[\"a\"],\"state\":\"x\"}",
        "{\"state\":[{\"key\":\"k\"}]}",
        "{\"storeName\":\"\",\"state\":[{\"key\":\"k\"}]}",
        "{\"storeName\":\"s\",\"state\":null}",
        "{\"to\":[\"a\"]",
        "{\"to\":[\"a\"]}}",
        "{\"to\":[\"a\"],}",
        "{\"to\":[\"a\"],\"data\":tru}",
    };
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        if (!CHECK(!reads(answers[i])))
            fprintf(stderr, "  of %s\n", answers[i]);
    arena_fini(&arena);
}

/* A list of `count` names. */
static struct slice
names(size_t count)
{
    struct arena_bytes text = { 0 };
    arena_append(&arena, &text, SLICE("{\"to\":[\"a\""));
    for (size_t i = 1; i < count; i++)
        arena_append(&arena, &text, SLICE(",\"a\""));
    arena_append(&arena, &text, SLICE("]}"));
    return arena_bytes_slice(&text);
}

TEST(as_many_output_bindings_as_the_limit_and_no_more)
{
    arena_init(&arena);
    CHECK(binding_directive_read(&arena, names(LIMIT_binding_targets_max), &got));
    CHECK_EQ_INT(got.to_count, LIMIT_binding_targets_max);
    CHECK(!binding_directive_read(&arena, names(LIMIT_binding_targets_max + 1), &got));
    arena_fini(&arena);
}

/* --- gRPC --------------------------------------------------------------------------------------*/

static struct slice
packed(size_t names_count)
{
    static char store[] = "s", key[] = "k", name[] = "a";
    static char *to[LIMIT_binding_targets_max + 1];
    Dapr__Proto__Common__V1__StateItem item = DAPR__PROTO__COMMON__V1__STATE_ITEM__INIT;
    Dapr__Proto__Common__V1__StateItem *items[] = { &item };
    response_t out = DAPR__PROTO__RUNTIME__V1__BINDING_EVENT_RESPONSE__INIT;
    item.key = key;
    item.value = pb_bytes(SLICE("v\0w"));
    out.store_name = store;
    out.states = items;
    out.n_states = 1;
    for (size_t i = 0; i < names_count; i++)
        to[i] = name;
    out.to = to;
    out.n_to = names_count;
    out.data = pb_bytes(SLICE("d\0"));
    out.concurrency =
        DAPR__PROTO__RUNTIME__V1__BINDING_EVENT_RESPONSE__BINDING_EVENT_CONCURRENCY__PARALLEL;
    return pb_pack(&arena, &out.base);
}

TEST(the_same_in_a_message)
{
    arena_init(&arena);
    REQUIRE(binding_directive_unpack(&arena, packed(2), &got));
    CHECK_SLICE_IS(got.store, "s");
    REQUIRE(got.state_count == 1);
    CHECK_SLICE_IS(got.states[0].key, "k");
    CHECK_EQ_SLICE(got.states[0].value, SLICE("v\0w"));
    CHECK_EQ_INT(got.to_count, 2);
    CHECK(got.is_parallel);
    CHECK_EQ_SLICE(got.data, SLICE("d\0"));
    CHECK(binding_directive_unpack(&arena, SLICE_EMPTY, &got));
    CHECK(binding_directive_is_empty(&got));
    arena_fini(&arena);
}

TEST(a_message_that_is_none_or_names_too_many)
{
    arena_init(&arena);
    CHECK(!binding_directive_unpack(&arena, SLICE("\x0a\xff"), &got));
    CHECK(!binding_directive_unpack(&arena, SLICE("nonsense"), &got));
    CHECK(!binding_directive_unpack(&arena, packed(LIMIT_binding_targets_max + 1), &got));
    arena_fini(&arena);
}
