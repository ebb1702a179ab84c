/* SPDX-License-Identifier: Apache-2.0 */
/* Trace contexts in their three forms. §13 is the behaviour that is matched. */
#include "telemetry/trace_context.h"

#include "base/macros.h"
#include "test.h"

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static bool
reads(const char *text)
{
    struct trace_context context;
    return trace_context_parse(slice_str(text), &context);
}

TEST(a_traceparent_survives_reading_and_writing)
{
    struct trace_context context;
    char text[TRACEPARENT_BYTES];
    REQUIRE(trace_context_parse(SLICE(PARENT), &context));
    CHECK_EQ_INT(context.flags, 1);
    CHECK_EQ_INT(context.trace_id[0], 0x0a);
    CHECK_EQ_INT(context.span_id[7], 0x31);
    trace_context_print(&context, text);
    CHECK_EQ_MEM(text, sizeof text, PARENT, sizeof PARENT - 1);
}

TEST(digits_of_either_case_are_taken_and_written_in_lower_case)
{
    struct trace_context context;
    char text[TRACEPARENT_BYTES];
    REQUIRE(trace_context_parse(SLICE("00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01"),
                                &context));
    trace_context_print(&context, text);
    CHECK_EQ_MEM(text, sizeof text, PARENT, sizeof PARENT - 1);
}

TEST(a_malformed_traceparent_is_none)
{
    static const char *const bad[] = {
        "",
        "zzz",
        "00",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    };
    struct trace_context context;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!CHECK(!reads(bad[i])))
            printf("    %s\n", bad[i]);
    CHECK(!trace_context_parse((struct slice){ .data = NULL }, &context));
}

TEST(a_later_version_may_have_more_parts)
{
    CHECK(reads("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    CHECK(reads("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-ever"));
}

TEST(the_binary_form_holds_the_same)
{
    struct trace_context context, back;
    char bytes[TRACE_BINARY_BYTES];
    REQUIRE(trace_context_parse(SLICE(PARENT), &context));
    trace_context_pack(&context, bytes);
    REQUIRE(trace_context_unpack(slice_of(bytes, sizeof bytes), &back));
    CHECK_EQ_MEM(&back, sizeof back, &context, sizeof context);
    for (size_t len = 0; len < sizeof bytes; len++)
        CHECK(!trace_context_unpack(slice_of(bytes, len), &back));
    static const size_t places[] = { 0, 1, 18, 27 }; /* version, numbers of fields */
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        bytes[places[i]] ^= 5;
        CHECK(!trace_context_unpack(slice_of(bytes, sizeof bytes), &back));
        bytes[places[i]] ^= 5;
    }
    memset(bytes + 2, 0, TRACE_ID_BYTES);
    CHECK(!trace_context_unpack(slice_of(bytes, sizeof bytes), &back));
    CHECK(!trace_context_unpack((struct slice){ .data = NULL }, &back));
}

TEST(a_tracestate_is_a_list_of_pairs)
{
    static const char *const good[] = {
        "k=v", "a=1,b=2", "a=1 , b=2", "tenant@vendor=x", "1a@v=x", "a=1,,b=2", "a_-*/=! ~",
    };
    static const char *const bad[] = {
        "",     ",",     "k",   "=v",  "k=",  "K=v",  "k=v=w", "1a=x",
        "k=\t", "k=v,x", "é=1", "k=é", "@=v", "a@=v", "@a=v",  "a@b@c=v",
    };
    char many[200] = "a=1";
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!CHECK(tracestate_is_valid(slice_str(good[i]))))
            printf("    %s\n", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!CHECK(!tracestate_is_valid(slice_str(bad[i]))))
            printf("    %s\n", bad[i]);
    for (int i = 1; i < TRACESTATE_MEMBERS_MAX; i++)
        strncat(many, ",a=1", sizeof many - strlen(many) - 1);
    CHECK(tracestate_is_valid(slice_str(many)));
    strncat(many, ",a=1", sizeof many - strlen(many) - 1);
    CHECK(!tracestate_is_valid(slice_str(many)));
    char large[600];
    memset(large, 'a', sizeof large);
    large[1] = '=';
    CHECK(!tracestate_is_valid(slice_of(large, TRACESTATE_BYTES_MAX + 1)));
    CHECK(!tracestate_is_valid((struct slice){ .data = NULL }));
}
