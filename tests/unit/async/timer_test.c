/* SPDX-License-Identifier: Apache-2.0 */
/* The heap of deadlines: order, moving, stopping, and 100,000 random operations against a model. */
#include "async/timer.h"

#include "base/macros.h"
#include "test.h"

static struct timer_heap heap;
static struct timer *ran[16];
static size_t ran_count;

static void
on_note(struct timer *timer)
{
    if (ran_count < ARRAY_LEN(ran))
        ran[ran_count] = timer;
    ran_count++;
}

TEST(timers_run_in_the_order_of_their_times)
{
    const uint64_t times[] = { 50, 10, 40, 20, 30 };
    struct timer timers[ARRAY_LEN(times)];
    ran_count = 0;
    CHECK_EQ_U64(timer_heap_next_ms(&heap), UINT64_MAX);
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        timer_init(&timers[i], on_note);
        CHECK(!timer_is_set(&timers[i]));
        timer_set(&heap, &timers[i], times[i]);
        CHECK(timer_is_set(&timers[i]));
    }
    CHECK_EQ_U64(timer_heap_next_ms(&heap), 10);
    timer_heap_run(&heap, 9);
    CHECK_EQ_U64(ran_count, 0);
    timer_heap_run(&heap, 30);
    REQUIRE(ran_count == 3);
    CHECK_EQ_PTR(ran[0], &timers[1]);
    CHECK_EQ_PTR(ran[1], &timers[3]);
    CHECK_EQ_PTR(ran[2], &timers[4]);
    CHECK(!timer_is_set(&timers[1]));
    timer_heap_run(&heap, 1000);
    CHECK_EQ_U64(ran_count, 5);
    timer_heap_fini(&heap);
}

TEST(a_timer_can_be_moved_both_ways_and_stopped_twice)
{
    struct timer first, second;
    ran_count = 0;
    timer_init(&first, on_note);
    timer_init(&second, on_note);
    timer_set(&heap, &first, 10);
    timer_set(&heap, &second, 20);
    timer_set(&heap, &first, 30);
    CHECK_EQ_U64(timer_heap_next_ms(&heap), 20);
    timer_set(&heap, &first, 5);
    CHECK_EQ_U64(timer_heap_next_ms(&heap), 5);
    timer_stop(&heap, &first);
    timer_stop(&heap, &first);
    timer_heap_run(&heap, 100);
    REQUIRE(ran_count == 1);
    CHECK_EQ_PTR(ran[0], &second);
    timer_heap_fini(&heap);
}

struct pair {
    struct timer timer;
    struct timer *other;
};

static void
on_stop_other(struct timer *timer)
{
    timer_stop(&heap, container_of(timer, struct pair, timer)->other);
    on_note(timer);
}

TEST(a_timer_that_is_due_can_be_stopped_by_an_earlier_one)
{
    struct pair a, b;
    ran_count = 0;
    timer_init(&a.timer, on_stop_other);
    timer_init(&b.timer, on_stop_other);
    a.other = &b.timer;
    b.other = &a.timer;
    timer_set(&heap, &a.timer, 1);
    timer_set(&heap, &b.timer, 2);
    timer_heap_run(&heap, 5);
    CHECK_EQ_U64(ran_count, 1);
    CHECK_EQ_PTR(ran[0], &a.timer);
    timer_heap_fini(&heap);
}

static void
on_again(struct timer *timer)
{
    on_note(timer);
    timer_set(&heap, timer, 0);
}

TEST(a_timer_that_sets_itself_again_for_now_runs_once_a_call)
{
    struct timer busy, other[3];
    ran_count = 0;
    timer_init(&busy, on_again);
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        timer_init(&other[i], on_note);
        timer_set(&heap, &other[i], 1000 + i);
    }
    timer_set(&heap, &busy, 10);
    timer_heap_run(&heap, 10);
    CHECK_EQ_U64(ran_count, 1);
    timer_heap_run(&heap, 10);
    CHECK_EQ_U64(ran_count, 1);
    CHECK_EQ_U64(timer_heap_next_ms(&heap), 11);
    timer_heap_run(&heap, 11);
    CHECK_EQ_U64(ran_count, 2);
    timer_heap_fini(&heap);
}

static void
on_free(struct timer *timer)
{
    on_note(timer);
    free(timer);
}

TEST(a_timer_may_free_itself_when_it_runs)
{
    ran_count = 0;
    for (int i = 0; i < 3; i++) {
        struct timer *timer = malloc(sizeof *timer);
        timer_init(timer, on_free);
        timer_set(&heap, timer, 7);
    }
    timer_heap_run(&heap, 7);
    CHECK_EQ_U64(ran_count, 3);
    timer_heap_fini(&heap);
}

/* --- against a model: an array that is searched ------------------------------------------------*/

enum { MODEL_TIMERS = 300, OPERATIONS = 100000, NOT_SET = 0 };

static struct timer model_timers[MODEL_TIMERS];
static uint64_t model_at[MODEL_TIMERS]; /* NOT_SET, or the time */
static uint64_t model_now, model_last;
static bool model_ok;

static void
on_model(struct timer *timer)
{
    size_t i = (size_t)(timer - model_timers);
    model_ok = model_ok && model_at[i] != NOT_SET && model_at[i] <= model_now &&
               model_at[i] >= model_last;
    model_last = model_at[i];
    model_at[i] = NOT_SET;
}

static uint32_t
draw(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static bool
model_agrees(void)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < MODEL_TIMERS; i++) {
        if (timer_is_set(&model_timers[i]) != (model_at[i] != NOT_SET))
            return false;
        if (model_at[i] != NOT_SET && model_at[i] < next)
            next = model_at[i];
    }
    return next == timer_heap_next_ms(&heap);
}

static void
model_step(uint32_t *seed)
{
    uint32_t r = draw(seed);
    size_t i = draw(seed) % MODEL_TIMERS;
    if (r % 10 < 6) {
        model_at[i] = model_now + 1 + draw(seed) % 50;
        timer_set(&heap, &model_timers[i], model_at[i]);
    } else if (r % 10 < 8) {
        model_at[i] = NOT_SET;
        timer_stop(&heap, &model_timers[i]);
    } else {
        model_now += draw(seed) % 4;
        model_last = 0;
        timer_heap_run(&heap, model_now);
        for (size_t k = 0; k < MODEL_TIMERS; k++)
            model_ok = model_ok && (model_at[k] == NOT_SET || model_at[k] > model_now);
    }
}

TEST(a_hundred_thousand_random_operations_agree_with_a_model)
{
    uint32_t seed = 20261125;
    model_ok = true;
    for (size_t i = 0; i < MODEL_TIMERS; i++)
        timer_init(&model_timers[i], on_model);
    for (int i = 0; i < OPERATIONS; i++) {
        model_step(&seed);
        if (!CHECK(model_ok) || !CHECK(i % 16 != 0 || model_agrees()))
            break;
    }
    timer_heap_fini(&heap);
}
