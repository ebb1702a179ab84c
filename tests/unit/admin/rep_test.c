/* SPDX-License-Identifier: Apache-2.0 */
/* The header stack of SP's request-reply pattern. */
#include "admin/rep.h"

#include "test.h"

TEST(a_request_without_devices_has_one_number)
{
    struct slice stack, body;
    REQUIRE(rep_split(SLICE("\x80\0\0\x07hello"), &stack, &body));
    CHECK_EQ_MEM(stack.data, stack.len, "\x80\0\0\x07", 4);
    CHECK_SLICE_IS(body, "hello");
}

TEST(devices_on_the_way_are_part_of_the_stack)
{
    struct slice stack, body;
    REQUIRE(rep_split(SLICE("\0\0\0\1\x7f\xff\xff\xff\xff\0\0\0x"), &stack, &body));
    CHECK_EQ_U64(stack.len, 12);
    CHECK_SLICE_IS(body, "x");
}

TEST(a_body_may_be_empty)
{
    struct slice stack, body;
    REQUIRE(rep_split(SLICE("\x80\0\0\1"), &stack, &body));
    CHECK_EQ_U64(stack.len, 4);
    CHECK_EQ_U64(body.len, 0);
}

TEST(a_message_without_a_last_number_is_refused)
{
    struct slice stack, body;
    CHECK(!rep_split(SLICE_EMPTY, &stack, &body));
    CHECK(!rep_split(SLICE("\x80\0\0"), &stack, &body));
    CHECK(!rep_split(SLICE("\0\0\0\1"), &stack, &body));
    CHECK(!rep_split(SLICE("\0\0\0\1\x80\0"), &stack, &body));
}

TEST(eight_devices_are_the_limit)
{
    char message[4 * (REP_HOPS_MAX + 2)] = { 0 };
    struct slice stack, body;
    message[sizeof message - 8] = (char)0x80;
    CHECK(rep_split(slice_of(message, sizeof message), &stack, &body));
    CHECK_EQ_U64(stack.len, sizeof message - 4);
    message[sizeof message - 8] = 0;
    message[sizeof message - 4] = (char)0x80;
    CHECK(!rep_split(slice_of(message, sizeof message), &stack, &body));
}
