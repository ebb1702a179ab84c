/* SPDX-License-Identifier: Apache-2.0 */
/* Memory freed as a whole. */
#include "base/arena.h"

#include "test.h"

static int disposed[8];
static int disposed_count;

static void
dispose(void *arg)
{
    disposed[disposed_count++] = (int)(intptr_t)arg;
}

TEST(blocks_are_aligned_and_do_not_overlap)
{
    struct arena arena;
    arena_init(&arena);
    unsigned char *blocks[400];
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        size_t bytes = i * 37 % 700;
        blocks[i] = arena_alloc(&arena, bytes);
        CHECK_EQ_INT((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)(i & 0xFF), bytes);
    }
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
        for (size_t k = 0; k < i * 37 % 700; k++)
            REQUIRE(blocks[i][k] == (i & 0xFF));
    arena_fini(&arena);
    CHECK_EQ_INT(arena.total_bytes, 0);
}

TEST(big_blocks_fit_and_zeroed_ones_are_zero)
{
    struct arena arena;
    arena_init(&arena);
    memset(arena_alloc(&arena, 1000), 0xAA, 1000);
    arena_reset(&arena);
    const unsigned char *zeros = arena_zalloc(&arena, 1000);
    for (int i = 0; i < 1000; i++)
        REQUIRE(zeros[i] == 0);
    memset(arena_alloc(&arena, 10 << 20), 1, 10 << 20);
    CHECK(arena.total_bytes >= 10 << 20);
    CHECK(arena_alloc(&arena, 0) != NULL);
    arena_fini(&arena);
}

TEST(a_reset_keeps_one_small_chunk_and_runs_disposers_newest_first)
{
    struct arena arena;
    arena_init(&arena);
    disposed_count = 0;
    void *first = arena_alloc(&arena, 100);
    arena_on_dispose(&arena, dispose, (void *)(intptr_t)1);
    (void)arena_alloc(&arena, 1 << 20);
    (void)arena_alloc(&arena, 3000);
    (void)arena_alloc(&arena, 3000);
    arena_on_dispose(&arena, dispose, (void *)(intptr_t)2);
    arena_reset(&arena);
    CHECK_EQ_INT(disposed_count, 2);
    CHECK(disposed[0] == 2 && disposed[1] == 1);
    CHECK(arena.total_bytes > 0 && arena.total_bytes <= 4096);
    CHECK_EQ_PTR(arena_alloc(&arena, 100), first);
    arena_reset(&arena);
    CHECK_EQ_INT(disposed_count, 2);
    arena_fini(&arena);
    arena_fini(&arena);
    CHECK_EQ_INT(disposed_count, 2);
}

TEST(a_reset_of_only_big_chunks_keeps_none)
{
    struct arena arena;
    arena_init(&arena);
    (void)arena_alloc(&arena, 100000);
    arena_reset(&arena);
    CHECK_EQ_INT(arena.total_bytes, 0);
    CHECK(arena_alloc(&arena, 10) != NULL);
    arena_fini(&arena);
}

TEST(the_newest_block_grows_in_place)
{
    struct arena arena;
    arena_init(&arena);
    char *p = arena_grow(&arena, NULL, 0, 10);
    memcpy(p, "0123456789", 10);
    char *q = arena_grow(&arena, p, 10, 200);
    CHECK_EQ_PTR(q, p);
    (void)arena_alloc(&arena, 16);
    char *r = arena_grow(&arena, q, 200, 300);
    CHECK(r != q);
    CHECK_EQ_MEM(r, 10, "0123456789", 10);
    char *s = arena_grow(&arena, r, 300, 100000);
    CHECK_EQ_MEM(s, 10, "0123456789", 10);
    s[99999] = 'x';
    CHECK_EQ_PTR(arena_grow(&arena, s, 100000, 5), s);
    arena_fini(&arena);
}

TEST(texts_are_copied_with_a_nul_behind)
{
    struct arena arena;
    arena_init(&arena);
    char text[] = "abc";
    struct slice copy = arena_dup(&arena, slice_str(text));
    text[0] = 'x';
    CHECK_EQ_STR(copy.data, "abc");
    CHECK_EQ_STR(arena_str(&arena, slice_of(NULL, 0)), "");
    CHECK_EQ_MEM(arena_str(&arena, SLICE("a\0b")), 4, "a\0b", 4);
    CHECK_SLICE_IS(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    CHECK_SLICE_IS(arena_printf(&arena, "%s", ""), "");
    CHECK_EQ_INT(arena_printf(&arena, "%5000d", 1).len, 5000);
    arena_fini(&arena);
}

TEST(bytes_are_put_together_from_pieces_without_copying_all_for_each)
{
    enum { PIECES = 1000, PIECE_BYTES = 1000 };
    struct arena arena;
    struct arena_bytes bytes = { 0 };
    char piece[PIECE_BYTES];
    arena_init(&arena);
    CHECK_EQ_INT(arena_bytes_slice(&bytes).len, 0);
    for (int i = 0; i < PIECES; i++) {
        memset(piece, 'a' + i % 26, sizeof piece);
        arena_append(&arena, &bytes, slice_of(piece, sizeof piece));
        arena_append(&arena, &bytes, SLICE_EMPTY);
        (void)arena_alloc(&arena, 1); /* so that nothing grows in place */
    }
    struct slice whole = arena_bytes_slice(&bytes);
    REQUIRE(whole.len == (size_t)PIECES * PIECE_BYTES);
    for (size_t i = 0; i < whole.len; i++)
        if (whole.data[i] != (char)('a' + i / PIECE_BYTES % 26))
            REQUIRE(!"every byte is in its place");
    CHECK(arena.total_bytes < 5 * whole.len);
    arena_fini(&arena);
}

TEST(a_secret_arena_keeps_nothing_of_what_it_held)
{
    struct arena arena;
    arena_init(&arena);
    arena.is_secret = true;
    const char *was = arena_str(&arena, SLICE("a key of a user"));
    arena_reset(&arena);
    CHECK(!arena.is_secret); /* whoever puts keys there says so again */
    const char *now = arena_alloc(&arena, 16);
    REQUIRE(now == was);
    for (size_t i = 0; i < 15; i++)
        CHECK_EQ_INT(now[i], 0);
    arena_fini(&arena);
}
