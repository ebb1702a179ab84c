/* SPDX-License-Identifier: Apache-2.0 */
/* Ids, sampling, attributes. */
#include "telemetry/span.h"

#include "base/limits.h"
#include "base/macros.h"
#include "test.h"

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static unsigned
count_sampled(const struct sampler *sampler, unsigned of)
{
    unsigned sampled = 0;
    for (unsigned i = 0; i < of; i++) {
        struct trace_context context = trace_context_new(sampler, NULL);
        sampled += trace_context_is_sampled(&context);
    }
    return sampled;
}

TEST(a_ratio_is_kept_over_many_traces)
{
    struct sampler always = sampler_ratio(1, true), never = sampler_ratio(0, true);
    struct sampler below = sampler_ratio(-3, true), above = sampler_ratio(7, true);
    struct sampler half = sampler_ratio(0.5, true);
    CHECK_EQ_INT(count_sampled(&always, 1000), 1000);
    CHECK_EQ_INT(count_sampled(&above, 1000), 1000);
    CHECK_EQ_INT(count_sampled(&never, 1000), 0);
    CHECK_EQ_INT(count_sampled(&below, 1000), 0);
    unsigned got = count_sampled(&half, 100000); /* 158 is one standard deviation */
    CHECK(got > 50000 - 1600 && got < 50000 + 1600);
}

TEST(a_parents_decision_is_followed_unless_told_otherwise)
{
    struct sampler follows = sampler_ratio(0, true), decides = sampler_ratio(0, false);
    struct sampler always = sampler_ratio(1, true), insists = sampler_ratio(1, false);
    struct trace_context parent, context;
    REQUIRE(trace_context_parse(SLICE(PARENT), &parent));
    context = trace_context_new(&follows, &parent);
    CHECK(trace_context_is_sampled(&context));
    context = trace_context_new(&decides, &parent);
    CHECK(!trace_context_is_sampled(&context));
    parent.flags = 0;
    context = trace_context_new(&always, &parent);
    CHECK(!trace_context_is_sampled(&context));
    context = trace_context_new(&insists, &parent);
    CHECK(trace_context_is_sampled(&context));
}

TEST(services_with_one_ratio_take_the_same_traces)
{
    struct sampler tenth = sampler_ratio(0.1, false);
    for (unsigned i = 0; i < 1000; i++) {
        struct trace_context first = trace_context_new(&tenth, NULL);
        struct trace_context second = trace_context_new(&tenth, &first);
        if (!CHECK_EQ_INT(trace_context_is_sampled(&first), trace_context_is_sampled(&second)))
            break;
    }
}

TEST(a_child_has_its_parents_trace_and_an_id_of_its_own)
{
    struct sampler always = sampler_ratio(1, true);
    struct trace_context parent = trace_context_new(&always, NULL);
    struct trace_context child = trace_context_new(&always, &parent);
    struct trace_context other = trace_context_new(&always, NULL);
    CHECK_EQ_MEM(child.trace_id, TRACE_ID_BYTES, parent.trace_id, TRACE_ID_BYTES);
    CHECK(memcmp(child.span_id, parent.span_id, SPAN_ID_BYTES) != 0);
    CHECK(memcmp(other.trace_id, parent.trace_id, TRACE_ID_BYTES) != 0);
    parent.flags = 3; /* the second one is another version's */
    child = trace_context_new(&always, &parent);
    CHECK_EQ_INT(child.flags, 3);
}

TEST(attributes_are_bounded_and_set_once)
{
    struct span span = { .attribute_count = 0 };
    char names[SPAN_ATTRIBUTES_MAX + 2][4];
    span_set(&span, SLICE("empty"), SLICE_EMPTY);
    CHECK_EQ_INT(span.attribute_count, 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        span_set(&span, slice_str(names[i]), SLICE("v"));
    }
    CHECK_EQ_INT(span.attribute_count, SPAN_ATTRIBUTES_MAX);
    CHECK_EQ_INT(span.dropped_count, 2);
    span_set(&span, SLICE("n3"), SLICE("again"));
    CHECK_EQ_INT(span.attribute_count, SPAN_ATTRIBUTES_MAX);
    CHECK_SLICE_IS(span.attributes[3].value, "again");
}

TEST(texts_become_utf8_of_bounded_length)
{
    static char large[LIMIT_trace_text_bytes + 10];
    struct arena arena;
    arena_init(&arena);
    memset(large, 'x', sizeof large);
    struct span span = { .name = SLICE("a\xff"
                                       "b\xc3\xa9\xc3"),
                         .failure = slice_of(large, sizeof large) };
    span_set(&span, SLICE("k\x80"), SLICE("\xed\xa0\x80"));
    span_clean(&span, &arena);
    CHECK_SLICE_IS(span.name, "a\xef\xbf\xbd"
                              "b\xc3\xa9\xef\xbf\xbd");
    CHECK_EQ_INT(span.failure.len, LIMIT_trace_text_bytes);
    CHECK_SLICE_IS(span.attributes[0].name, "k\xef\xbf\xbd");
    CHECK(slice_is_utf8(span.attributes[0].value) && span.attributes[0].value.len >= 3);
    /* A character that the cut goes through is replaced, not broken. */
    memcpy(large + LIMIT_trace_text_bytes - 1, "\xc3\xa9", 2);
    span.name = slice_of(large, sizeof large);
    span_clean(&span, &arena);
    CHECK(slice_is_utf8(span.name));
    arena_fini(&arena);
}
