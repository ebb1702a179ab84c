/* SPDX-License-Identifier: Apache-2.0 */
/* What an application says of a batch of events. */
#include "api/deliver_bulk.h"

#include "tests/lib/test.h"

struct told {
    struct arena arena;
    size_t count;
    struct slice ids[4];
    struct slice statuses[4];
};

static void
take(void *arg, struct slice entry_id, struct slice status)
{
    struct told *told = arg;
    REQUIRE(told->count < ARRAY_LEN(told->ids));
    told->ids[told->count] = entry_id;
    told->statuses[told->count++] = status;
}

static struct told
told_of(const char *body, bool is_answer)
{
    struct told told = { .count = 0 };
    arena_init(&told.arena);
    CHECK_EQ_INT(bulk_statuses_read(&told.arena, slice_str(body), take, &told), is_answer);
    return told;
}

TEST(a_status_an_entry_is_read_in_order_PUB_117)
{
    struct told told = told_of(
        "{\"x\":[1],\"statuses\":[{\"entryId\":\"a\",\"status\":\"SUCCESS\"},"
        "{\"status\":\"D\\u0052OP\",\"more\":{},\"entryId\":\"b\"}]} ",
        true);
    CHECK_EQ_INT(told.count, 2);
    CHECK_SLICE_IS(told.ids[0], "a");
    CHECK_SLICE_IS(told.statuses[0], "SUCCESS");
    CHECK_SLICE_IS(told.ids[1], "b");
    CHECK_SLICE_IS(told.statuses[1], "DROP");
    arena_fini(&told.arena);
}

TEST(entries_without_an_id_or_a_status_say_nothing_PUB_119)
{
    struct told told = told_of(
        "{\"statuses\":[null,1,\"a\",[],{},{\"entryId\":\"a\"},{\"status\":\"DROP\"},"
        "{\"entryId\":\"a\",\"status\":\"\"},{\"entryId\":1,\"status\":\"DROP\"},"
        "{\"entryId\":\"a\",\"status\":2}]}",
        true);
    CHECK_EQ_INT(told.count, 0);
    arena_fini(&told.arena);
}

TEST(what_is_no_answer_tells_nothing_of_any_entry_PUB_119)
{
    static const char *const bodies[] = {
        "",
        " ",
        "garbage",
        "[1]",
        "{",
        "1",
        "null",
        "{\"statuses\":[{\"entryId\":\"a\",\"status\":\"DROP\"}]",
        "{\"statuses\":[{\"entryId\":\"a\",\"status\":\"DROP\"}]}x"
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct told told = told_of(bodies[i], false);
        CHECK_EQ_INT(told.count, 0);
        arena_fini(&told.arena);
    }
    struct told told = told_of("{\"statuses\":{\"entryId\":\"a\",\"status\":\"DROP\"}}", true);
    CHECK_EQ_INT(told.count, 0);
    arena_fini(&told.arena);
}
