/* SPDX-License-Identifier: Apache-2.0 */
/* What baggage may be, and the words for what it may not. §13 is the behaviour that is matched. */
#include "telemetry/baggage.h"

#include <stdlib.h>

#include "base/macros.h"
#include "test.h"

static struct buf complaints;

static bool
check(struct slice text)
{
    buf_fini(&complaints);
    buf_init(&complaints, 4096);
    return baggage_check(text, &complaints);
}

TEST(well_formed_lists_are_handed_on)
{
    static const char *const good[] = {
        "a=1",   "a=1,b=2",     " a = 1 , b = 2 ", "a=1;p=2;q", "a=",
        "a=b=c", "a=%20%C3%A9", "key-_.~!=1",      "a=1;;b",    "a=1; p = 2 ",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!CHECK(check(slice_str(good[i]))))
            printf("    %s\n", good[i]);
    CHECK_EQ_INT(complaints.len, 0);
}

TEST(each_wrong_member_is_named)
{
    static const char *const rows[][2] = {
        { ",,=", "invalid baggage list-member: \"\"\ninvalid baggage list-member: \"\"\n"
                 "invalid key: \"\"" },
        { "=x", "invalid key: \"\"" },
        { "a=1,b", "invalid baggage list-member: \"b\"" },
        { "a b=1", "invalid key: \"a b\"" },
        { "a=1 2", "invalid value: \"1 2\"" },
        { "a=%zz", "invalid value: \"%zz\"" },
        { "a=%2", "invalid value: \"%2\"" },
        { "a=\"", "invalid value: \"\\\"\"" },
        { "a=1;=", "invalid baggage list-member property: \"=\"" },
        { "a=1;p=\x01", "invalid baggage list-member property: \"p=\\x01\"" },
        { "\xff=1", "invalid key: \"\\xff\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK(!check(slice_str(rows[i][0])));
        CHECK_SLICE_IS(buf_slice(&complaints), rows[i][1]);
    }
}

TEST(sizes_are_bounded)
{
    char *large = malloc(BAGGAGE_BYTES_MAX + 1);
    REQUIRE(large != NULL);
    memset(large, 'a', BAGGAGE_BYTES_MAX + 1);
    large[1] = '=';
    CHECK(check(slice_of(large, BAGGAGE_MEMBER_BYTES_MAX)));
    CHECK(!check(slice_of(large, BAGGAGE_MEMBER_BYTES_MAX + 1)));
    CHECK_SLICE_IS(buf_slice(&complaints), "list-member too large");
    CHECK(!check(slice_of(large, BAGGAGE_BYTES_MAX + 1)));
    CHECK_SLICE_IS(buf_slice(&complaints), "baggage-string too large");
    for (size_t i = 0; i <= BAGGAGE_MEMBERS_MAX; i++)
        memcpy(large + 4 * i, "a=1,", 4);
    CHECK(check(slice_of(large, 4 * BAGGAGE_MEMBERS_MAX - 1)));
    CHECK(!check(slice_of(large, 4 * BAGGAGE_MEMBERS_MAX + 3)));
    CHECK_SLICE_IS(buf_slice(&complaints), "too many list-members in baggage-string");
    memset(large, ',', BAGGAGE_MEMBERS_MAX - 1); /* more complaints than there is room for */
    CHECK(!check(slice_of(large, BAGGAGE_MEMBERS_MAX - 1)));
    CHECK(complaints.len > 0 && complaints.len <= 4096);
    free(large);
}
