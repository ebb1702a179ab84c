/* SPDX-License-Identifier: Apache-2.0 */
/* Answers given again: for a while, to the same question only, within bounds. */
#include "api/prompt_cache.h"

#include "base/clock.h"
#include "base/limits.h"
#include "test.h"

static struct prompt_cache cache;
static struct arena arena;

static void
begin(void)
{
    clock_fake(1000, 0);
    arena_init(&arena);
    prompt_cache_init(&cache);
}

static void
end(void)
{
    prompt_cache_fini(&cache);
    arena_fini(&arena);
    clock_use_real();
}

static struct prompt_key
key(const char *component, uint32_t handle, const char *question)
{
    return prompt_key_of(slice_str(component), handle, slice_str(question));
}

static struct slice
get(struct prompt_key of)
{
    struct slice answer = SLICE("(none)");
    (void)prompt_cache_get(&cache, &of, &arena, &answer);
    return answer;
}

TEST(what_was_put_is_given_until_it_expires_CONV_02)
{
    begin();
    struct prompt_key one = key("m", 1, "q");
    CHECK_SLICE_IS(get(one), "(none)");
    prompt_cache_put(&cache, &one, 100, SLICE("a"));
    CHECK_SLICE_IS(get(one), "a");
    clock_advance_ms(99);
    CHECK_SLICE_IS(get(one), "a");
    clock_advance_ms(1);
    CHECK_SLICE_IS(get(one), "(none)");
    CHECK_EQ_INT(cache.bytes, 0);
    end();
}

TEST(a_time_of_nothing_keeps_nothing_and_one_without_end_never_ends)
{
    begin();
    struct prompt_key one = key("m", 1, "q");
    prompt_cache_put(&cache, &one, 0, SLICE("a"));
    CHECK_SLICE_IS(get(one), "(none)");
    prompt_cache_put(&cache, &one, UINT64_MAX, SLICE("a"));
    clock_advance_ms(UINT32_MAX);
    CHECK_SLICE_IS(get(one), "a");
    end();
}

TEST(another_component_generation_or_question_is_another_key_CONV_16)
{
    begin();
    struct prompt_key one = key("m", 1, "q");
    prompt_cache_put(&cache, &one, 100, SLICE("a"));
    CHECK_SLICE_IS(get(key("m2", 1, "q")), "(none)");
    CHECK_SLICE_IS(get(key("m", 2, "q")), "(none)");
    CHECK_SLICE_IS(get(key("m", 1, "q2")), "(none)");
    CHECK_SLICE_IS(get(key("", 1, "mq")), "(none)");
    CHECK_SLICE_IS(get(key("m", 1, "q")), "a");
    end();
}

TEST(a_later_answer_takes_the_place_of_an_earlier_one)
{
    begin();
    struct prompt_key one = key("m", 1, "q");
    prompt_cache_put(&cache, &one, 100, SLICE("a"));
    size_t bytes = cache.bytes;
    clock_advance_ms(50);
    prompt_cache_put(&cache, &one, 100, SLICE("b"));
    CHECK_EQ_INT(cache.bytes, bytes);
    clock_advance_ms(99);
    CHECK_SLICE_IS(get(one), "b");
    end();
}

TEST(what_was_used_longest_ago_goes_first_when_there_are_too_many)
{
    char question[32];
    begin();
    struct prompt_key used = key("m", 1, "used");
    prompt_cache_put(&cache, &used, 100, SLICE("u"));
    for (int i = 0; i < LIMIT_prompt_cache_entries_max + 10; i++) {
        (void)snprintf(question, sizeof question, "%d", i);
        struct prompt_key one = key("m", 1, question);
        prompt_cache_put(&cache, &one, 100, SLICE("a"));
        CHECK_SLICE_IS(get(used), "u");
    }
    CHECK_EQ_INT(cache.by_key.count, LIMIT_prompt_cache_entries_max);
    CHECK_SLICE_IS(get(key("m", 1, "0")), "(none)");
    CHECK_SLICE_IS(get(key("m", 1, question)), "a");
    end();
}

TEST(bytes_are_bounded_and_a_long_answer_is_not_kept)
{
    static char big[LIMIT_prompt_answer_bytes_max + 1];
    char question[32];
    begin();
    struct prompt_key one = key("m", 1, "q");
    prompt_cache_put(&cache, &one, 100, slice_of(big, sizeof big));
    CHECK_SLICE_IS(get(one), "(none)");
    for (int i = 0; i < 2 * LIMIT_prompt_cache_bytes_max / LIMIT_prompt_answer_bytes_max; i++) {
        (void)snprintf(question, sizeof question, "%d", i);
        one = key("m", 1, question);
        prompt_cache_put(&cache, &one, 100, slice_of(big, LIMIT_prompt_answer_bytes_max));
        CHECK(cache.bytes <= LIMIT_prompt_cache_bytes_max);
        CHECK_EQ_INT(get(one).len, LIMIT_prompt_answer_bytes_max);
        arena_reset(&arena);
    }
    end();
}
