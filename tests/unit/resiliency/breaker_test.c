/* SPDX-License-Identifier: Apache-2.0 */
/* Every state of the circuit breaker and every way from one to another, on a clock that stands
 * still (REFERENCE-BEHAVIOUR §16), and many threads on one breaker. */
#include "resiliency/breaker.h"

#include <pthread.h>

#include "base/clock.h"
#include "test.h"

static struct arena arena;
static char changes[512]; /* "closed>open " and so on */

static void
on_changed(void *arg, struct slice name, enum breaker_state from, enum breaker_state to)
{
    (void)arg;
    CHECK_SLICE_IS(name, "it");
    size_t len = strlen(changes);
    (void)snprintf(changes + len, sizeof changes - len, "%s>%s ", breaker_state_name(from),
                   breaker_state_name(to));
}

static struct breaker *
make(const char *trip, uint32_t requests_max, uint64_t interval_ms)
{
    struct breaker_policy policy = { .name = SLICE("cb"),
                                     .requests_max = requests_max,
                                     .interval_ms = interval_ms,
                                     .timeout_ms = 5000 };
    char error[TRIP_ERROR_BYTES];
    if (trip != NULL)
        REQUIRE(trip_parse(&arena, slice_str(trip), &policy.trip, error));
    clock_fake(1000000000000, 0);
    changes[0] = '\0';
    return breaker_new(SLICE("it"), &policy, on_changed, NULL);
}

/* The words of a refusal, or NULL. */
static const char *
call(struct breaker *breaker, enum breaker_result result)
{
    uint64_t generation;
    const char *words;
    if (!breaker_enter(breaker, &generation, &words))
        return words;
    (void)breaker_leave(breaker, generation, result);
    return NULL;
}

static void
fail(struct breaker *breaker, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        CHECK(call(breaker, BREAKER_FAILURE) == NULL);
}

TEST(closed_it_lets_through_and_opens_when_the_expression_is_met)
{
    struct breaker *breaker = make("consecutiveFailures >= 3", 1, 0);
    fail(breaker, 2);
    CHECK(call(breaker, BREAKER_SUCCESS) == NULL); /* in a row */
    fail(breaker, 2);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    uint64_t generation;
    const char *words;
    REQUIRE(breaker_enter(breaker, &generation, &words));
    CHECK(breaker_leave(breaker, generation, BREAKER_FAILURE)); /* tells of the change */
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_OPEN);
    CHECK_EQ_STR(call(breaker, BREAKER_SUCCESS), "circuit breaker is open");
    CHECK_EQ_STR(changes, "closed>open ");
    breaker_unref(breaker);
}

TEST(without_an_expression_the_sixth_failure_in_a_row_opens_it)
{
    struct breaker *breaker = make(NULL, 1, 0);
    fail(breaker, 5);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    fail(breaker, 1);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_OPEN);
    breaker_unref(breaker);
}

TEST(the_expression_sees_totals_and_is_asked_at_failures_only)
{
    struct breaker *breaker = make("requests >= 4 && totalFailures * 2 >= requests", 1, 0);
    fail(breaker, 1);
    CHECK(call(breaker, BREAKER_SUCCESS) == NULL);
    CHECK(call(breaker, BREAKER_FAILURE) == NULL);
    CHECK(call(breaker, BREAKER_SUCCESS) == NULL); /* met from here on, but this was none */
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    fail(breaker, 1);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_OPEN);
    breaker_unref(breaker);
}

TEST(open_it_refuses_until_its_time_is_over_and_one_success_closes_it)
{
    struct breaker *breaker = make("consecutiveFailures > 0", 1, 0);
    fail(breaker, 1);
    clock_advance_ms(5000);
    CHECK_EQ_STR(call(breaker, BREAKER_SUCCESS), "circuit breaker is open"); /* not over yet */
    clock_advance_ms(1);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_OPEN); /* until somebody asks */
    CHECK(call(breaker, BREAKER_SUCCESS) == NULL);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    CHECK_EQ_STR(changes, "closed>open open>half-open half-open>closed ");
    breaker_unref(breaker);
}

TEST(half_open_a_failure_opens_it_again_for_the_whole_time)
{
    struct breaker *breaker = make("consecutiveFailures > 0", 3, 0);
    fail(breaker, 1);
    clock_advance_ms(5001);
    CHECK(call(breaker, BREAKER_SUCCESS) == NULL);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_HALF_OPEN); /* three are wanted */
    fail(breaker, 1);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_OPEN);
    clock_advance_ms(5000);
    CHECK_EQ_STR(call(breaker, BREAKER_SUCCESS), "circuit breaker is open");
    clock_advance_ms(1);
    for (unsigned i = 0; i < 3; i++)
        CHECK(call(breaker, BREAKER_SUCCESS) == NULL);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    CHECK_EQ_STR(changes, "closed>open open>half-open half-open>open open>half-open "
                          "half-open>closed ");
    breaker_unref(breaker);
}

TEST(half_open_it_lets_so_many_through_at_a_time_and_refuses_the_rest)
{
    struct breaker *breaker = make("consecutiveFailures > 0", 2, 0);
    uint64_t first, second, third;
    const char *words = "";
    fail(breaker, 1);
    clock_advance_ms(5001);
    REQUIRE(breaker_enter(breaker, &first, &words));
    REQUIRE(breaker_enter(breaker, &second, &words));
    CHECK(!breaker_enter(breaker, &third, &words));
    CHECK_EQ_STR(words, "too many requests");
    CHECK(!breaker_leave(breaker, first, BREAKER_SUCCESS));
    CHECK(!breaker_enter(breaker, &third, &words)); /* requests count, not those under way */
    CHECK(breaker_leave(breaker, second, BREAKER_SUCCESS));
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    breaker_unref(breaker);
}

TEST(a_probe_whose_caller_has_gone_gives_its_place_to_another)
{
    struct breaker *breaker = make("consecutiveFailures > 0", 1, 0);
    fail(breaker, 1);
    clock_advance_ms(5001);
    CHECK(call(breaker, BREAKER_ABANDONED) == NULL);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_HALF_OPEN);
    CHECK(call(breaker, BREAKER_SUCCESS) == NULL);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    breaker_unref(breaker);
}

TEST(what_was_let_through_before_the_state_changed_no_longer_counts)
{
    struct breaker *breaker = make("consecutiveFailures > 0", 1, 0);
    uint64_t early, late;
    const char *words;
    REQUIRE(breaker_enter(breaker, &early, &words));
    REQUIRE(breaker_enter(breaker, &late, &words));
    fail(breaker, 1);
    CHECK(!breaker_leave(breaker, early, BREAKER_SUCCESS));
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_OPEN);
    clock_advance_ms(5001);
    CHECK(call(breaker, BREAKER_SUCCESS) == NULL);
    CHECK(!breaker_leave(breaker, late, BREAKER_FAILURE)); /* would open it */
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    breaker_unref(breaker);
}

TEST(the_counts_of_a_closed_one_begin_anew_with_each_interval)
{
    struct breaker *breaker = make("totalFailures >= 3", 1, 1000);
    fail(breaker, 2);
    clock_advance_ms(1000);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    clock_advance_ms(1);
    fail(breaker, 2);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_CLOSED);
    fail(breaker, 1);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_OPEN);
    breaker_unref(breaker);
}

TEST(an_interval_of_nothing_never_clears)
{
    struct breaker *breaker = make("totalFailures >= 3", 1, 0);
    fail(breaker, 2);
    clock_advance_ms(1000 * 3600 * 24);
    fail(breaker, 1);
    CHECK_EQ_INT(breaker_state(breaker), BREAKER_OPEN);
    breaker_unref(breaker);
}

TEST(it_knows_the_policy_it_was_made_from)
{
    struct breaker *breaker = make("totalFailures >= 3", 2, 1000);
    struct breaker_policy policy = { .name = SLICE("cb"),
                                     .requests_max = 2,
                                     .interval_ms = 1000,
                                     .timeout_ms = 5000,
                                     .trip = { .text = SLICE("totalFailures >= 3") } };
    CHECK(breaker_is_of(breaker, &policy));
    struct breaker_policy others[] = { policy, policy, policy, policy, policy };
    others[0].name = SLICE("other");
    others[1].requests_max = 1;
    others[2].interval_ms = 0;
    others[3].timeout_ms = 1;
    others[4].trip.text = SLICE("totalFailures >= 4");
    for (size_t i = 0; i < 5; i++)
        CHECK(!breaker_is_of(breaker, &others[i]));
    breaker_unref(breaker);
}

/* --- threads -----------------------------------------------------------------------------------*/

enum { THREADS = 4, CALLS = 20000 };

struct crowd {
    struct breaker *breaker;
    atomic_uint let_in, refused;
};

static void *
crowd_main(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; i < CALLS; i++) {
        uint64_t generation;
        const char *words;
        struct breaker *breaker = breaker_ref(crowd->breaker);
        if (breaker_enter(breaker, &generation, &words)) {
            atomic_fetch_add(&crowd->let_in, 1);
            (void)breaker_leave(breaker, generation,
                                i % 3 == 0 ? BREAKER_FAILURE : BREAKER_SUCCESS);
        } else {
            atomic_fetch_add(&crowd->refused, 1);
        }
        (void)breaker_state(breaker);
        breaker_unref(breaker);
    }
    return NULL;
}

TEST(many_threads_share_one_breaker)
{
    clock_use_real();
    /* Opens at every failure, for a millisecond: all states at once. */
    struct breaker_policy policy = { .name = SLICE("cb"), .requests_max = 1, .timeout_ms = 1 };
    char error[TRIP_ERROR_BYTES];
    REQUIRE(trip_parse(&arena, SLICE("totalFailures > 0"), &policy.trip, error));
    struct crowd crowd = { .breaker = breaker_new(SLICE("it"), &policy, NULL, NULL) };
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, crowd_main, &crowd) == 0);
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    CHECK_EQ_INT(atomic_load(&crowd.let_in) + atomic_load(&crowd.refused), THREADS * CALLS);
    CHECK(atomic_load(&crowd.refused) > 0 && atomic_load(&crowd.let_in) > 0);
    breaker_unref(crowd.breaker);
}
