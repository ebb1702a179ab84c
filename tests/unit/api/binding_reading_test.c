/* SPDX-License-Identifier: Apache-2.0 */
/* Where events go, and which of them are of a reading. */
#include "api/binding_reading.h"

#include "base/arena.h"
#include "base/limits.h"
#include "tests/lib/test.h"

TEST(events_go_to_the_route_else_to_the_name)
{
    struct arena arena;
    arena_init(&arena);
    CHECK_SLICE_IS(binding_path(&arena, SLICE("name"), SLICE_EMPTY), "/name");
    CHECK_SLICE_IS(binding_path(&arena, SLICE("name"), SLICE("/a/b?c=d")), "/a/b?c=d");
    CHECK_SLICE_IS(binding_path(&arena, SLICE("name"), SLICE("a")), "/a");
    CHECK_SLICE_IS(binding_path(&arena, SLICE("my name"), SLICE_EMPTY), "/my%20name");
    CHECK_SLICE_IS(binding_path(&arena, SLICE("n"), SLICE("/x HTTP/1.1\r\nA: b\x7f")),
                   "/x%20HTTP/1.1%0D%0AA:%20b%7F");
    arena_fini(&arena);
}

TEST(a_reading_is_known_by_its_number_until_it_is_retired)
{
    struct binding_reading *a = binding_reading_new(SLICE("a"), SLICE("/a"), NULL);
    struct binding_reading *b = binding_reading_new(SLICE("b"), SLICE("/b"), NULL);
    CHECK(a->id != 0 && a->id != b->id);
    struct binding_reading *found = binding_reading_find(a->id);
    CHECK_EQ_PTR(found, a);
    CHECK_SLICE_IS(found->name, "a");
    uint64_t id = a->id;
    binding_reading_retire(a);
    CHECK_EQ_PTR(binding_reading_find(id), NULL);
    CHECK_SLICE_IS(found->path, "/a"); /* who has it keeps it */
    binding_reading_unref(found);
    binding_reading_unref(a);
    CHECK_EQ_PTR(binding_reading_find(0), NULL);
    binding_reading_retire(b);
    binding_reading_retire(b); /* twice is once */
    binding_reading_unref(b);
    binding_reading_unref(NULL);
}

TEST(no_more_events_are_on_their_way_than_the_window)
{
    struct binding_reading *reading = binding_reading_new(SLICE("a"), SLICE("/a"), NULL);
    for (unsigned i = 0; i < LIMIT_binding_window; i++)
        REQUIRE(binding_reading_enter(reading));
    CHECK(!binding_reading_enter(reading));
    CHECK(!binding_reading_enter(reading));
    binding_reading_leave(reading);
    CHECK(binding_reading_enter(reading));
    CHECK(!binding_reading_enter(reading));
    binding_reading_retire(reading);
    binding_reading_unref(reading);
}
