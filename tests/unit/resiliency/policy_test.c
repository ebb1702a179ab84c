/* SPDX-License-Identifier: Apache-2.0 */
/* What applies to whom, default policies, and what of the breakers survives a change
 * (REFERENCE-BEHAVIOUR §9, §16). */
#include "resiliency/policy.h"

#include "base/clock.h"
#include "tests/unit/resiliency/bed.h"

#define HEAD "kind: Resiliency\nmetadata: {name: rz, namespace: ns}\nspec:\n"

static struct resiliency_target target;

/* The names of the parts, "timeout,retry,breaker", with "-" for none. */
static const char *
parts(void)
{
    static char text[256];
    struct slice none = SLICE("-");
    (void)snprintf(text, sizeof text, SLICE_FMT "," SLICE_FMT "," SLICE_FMT,
                   SLICE_ARG(target.timeout == NULL ? none : target.timeout->name),
                   SLICE_ARG(target.retry == NULL ? none : target.retry->name),
                   SLICE_ARG(target.breaker == NULL ? none : target.breaker->name));
    return text;
}

static const char *
for_app(struct resiliency *resiliency, const char *app_id)
{
    resiliency_for_app(resiliency, slice_str(app_id), &target);
    return parts();
}

static const char *
for_component(struct resiliency *resiliency, const char *name, const char *sort,
              enum resiliency_direction direction)
{
    resiliency_for_component(resiliency, slice_str(name), sort, direction, &target);
    return parts();
}

static const char *
for_actor(struct resiliency *resiliency, const char *type)
{
    resiliency_for_actor(resiliency, slice_str(type), &target);
    return parts();
}

TEST(without_policies_nothing_applies)
{
    CHECK_EQ_STR(for_app(NULL, "back"), "-,-,-");
    CHECK(target.resiliency == NULL && !target.is_named);
    CHECK(resiliency_breaker_of(&target, SLICE("x")) == NULL);
}

TEST(targets_have_what_they_name_and_nothing_else)
{
    struct resiliency *resiliency = bed_policies(
        HEAD "  policies:\n"
             "    timeouts: {t: 1s, none: 0s, DefaultTimeoutPolicy: 2s}\n"
             "    retries: {r: {}}\n"
             "    circuitBreakers: {b: {}}\n"
             "  targets:\n"
             "    apps: {all: {timeout: t, retry: r, circuitBreaker: b}, nothing: {}, "
             "zero: {timeout: none}, lost: {timeout: gone, retry: gone, circuitBreaker: gone}}\n"
             "    actors: {A: {timeout: t, circuitBreaker: b, circuitBreakerScope: both}}\n"
             "    components: {c: {inbound: {retry: r}, outbound: {timeout: t}}}\n",
        NULL);
    CHECK_EQ_STR(for_app(resiliency, "all"), "t,r,b");
    CHECK(target.is_named);
    CHECK_SLICE_IS(target.document, "rz");
    CHECK_SLICE_IS(target.namespace_, "ns");
    CHECK_EQ_STR(for_app(resiliency, "nothing"), "-,-,-");
    CHECK(target.is_named);
    CHECK_EQ_STR(for_app(resiliency, "zero"), "-,-,-");
    CHECK_EQ_STR(for_app(resiliency, "lost"), "-,-,-");
    CHECK_EQ_STR(for_app(resiliency, "ALL"), "DefaultTimeoutPolicy,-,-"); /* another app */
    CHECK(!target.is_named);
    CHECK_EQ_STR(for_actor(resiliency, "A"), "t,-,b");
    CHECK(target.breaker_scope == BREAKER_SCOPE_ID);
    CHECK_EQ_STR(for_component(resiliency, "c", "Pubsub", RESILIENCY_INBOUND), "-,r,-");
    CHECK_EQ_STR(for_component(resiliency, "c", "Pubsub", RESILIENCY_OUTBOUND), "t,-,-");
    resiliency_unref(resiliency);
}

TEST(default_policies_apply_narrowest_first)
{
    struct resiliency *resiliency = bed_policies(
        HEAD "  policies:\n"
             "    timeouts: {DefaultTimeoutPolicy: 1s, DefaultAppTimeoutPolicy: 2s, "
             "DefaultComponentOutboundTimeoutPolicy: 3s, "
             "DefaultStatestoreComponentOutboundTimeoutPolicy: 4s}\n"
             "    retries: {DefaultRetryPolicy: {}, DefaultComponentRetryPolicy: {}, "
             "DefaultPubsubComponentInboundRetryPolicy: {}}\n"
             "    circuitBreakers: {DefaultActorCircuitBreakerPolicy: {}}\n",
        NULL);
    CHECK_EQ_STR(for_app(resiliency, "x"), "DefaultAppTimeoutPolicy,DefaultRetryPolicy,-");
    CHECK_EQ_STR(for_actor(resiliency, "x"),
                 "DefaultTimeoutPolicy,DefaultRetryPolicy,DefaultActorCircuitBreakerPolicy");
    CHECK_EQ_STR(for_component(resiliency, "x", "Statestore", RESILIENCY_OUTBOUND),
                 "DefaultStatestoreComponentOutboundTimeoutPolicy,DefaultComponentRetryPolicy,-");
    CHECK_EQ_STR(for_component(resiliency, "x", "Secretstore", RESILIENCY_OUTBOUND),
                 "DefaultComponentOutboundTimeoutPolicy,DefaultComponentRetryPolicy,-");
    CHECK_EQ_STR(for_component(resiliency, "x", "Pubsub", RESILIENCY_INBOUND),
                 "DefaultTimeoutPolicy,DefaultPubsubComponentInboundRetryPolicy,-");
    resiliency_unref(resiliency);
}

TEST(metrics_call_targets_as_the_reference_does)
{
    static const struct {
        struct resiliency_target target;
        const char *label;
    } rows[] = {
        { { .kind = TARGET_APP, .name = { "back", 4 } }, "app_back" },
        { { .kind = TARGET_ACTOR, .name = { "T", 1 } }, "actor_T" },
        { { .kind = TARGET_COMPONENT, .name = { "s", 1 }, .sort = "Statestore" }, "Statestore_s" },
    };
    char text[RESILIENCY_LABEL_BYTES], name[2000];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_SLICE_IS(resiliency_target_label(&rows[i].target, text), rows[i].label);
    memset(name, 'x', sizeof name);
    const struct resiliency_target huge = { .kind = TARGET_APP, .name = slice_of(name, 2000) };
    CHECK_EQ_INT(resiliency_target_label(&huge, text).len, RESILIENCY_LABEL_BYTES - 1);
}

/* --- breakers across changes -------------------------------------------------------------------*/

#define ONE "    circuitBreakers: {one: {trip: consecutiveFailures > 0}, two: {}}\n"
#define TARGETS                                                                                    \
    "  targets: {apps: {a: {circuitBreaker: one}, b: {circuitBreaker: one}},\n"                    \
    "    components: {c: {outbound: {circuitBreaker: one}, inbound: {circuitBreaker: one}}}}\n"

static void
trip(void)
{
    struct breaker *breaker = resiliency_breaker_of(&target, SLICE("i"));
    uint64_t generation;
    const char *words;
    REQUIRE(breaker != NULL && breaker_enter(breaker, &generation, &words));
    CHECK(breaker_leave(breaker, generation, BREAKER_FAILURE));
    breaker_unref(breaker);
}

static enum breaker_state
state(void)
{
    struct breaker *breaker = resiliency_breaker_of(&target, SLICE("i"));
    REQUIRE(breaker != NULL);
    enum breaker_state is = breaker_state(breaker);
    breaker_unref(breaker);
    return is;
}

static struct resiliency *
change(struct resiliency *old, const char *yaml)
{
    struct resiliency *fresh = bed_policies(yaml, old);
    resiliency_enter_into_force(fresh);
    resiliency_unref(old);
    return fresh;
}

TEST(breakers_of_an_unchanged_policy_survive_a_change_and_others_begin_anew)
{
    clock_fake(1000000000000, 0);
    struct resiliency *resiliency = bed_policies(HEAD "  policies:\n" ONE TARGETS, NULL);
    (void)for_app(resiliency, "a");
    trip();
    (void)for_app(resiliency, "b");
    trip();
    (void)for_component(resiliency, "c", "Statestore", RESILIENCY_OUTBOUND);
    trip();
    CHECK_EQ_INT(state(), BREAKER_OPEN);
    (void)for_component(resiliency, "c", "Statestore", RESILIENCY_INBOUND);
    CHECK_EQ_INT(state(), BREAKER_CLOSED); /* directions have breakers of their own */

    /* Another document beside it, a timeout, and `b` has another policy. */
    resiliency = change(
        resiliency,
        HEAD "  policies:\n    timeouts: {t: 1s}\n" ONE
             "  targets: {apps: {a: {circuitBreaker: one, timeout: t}, b: {circuitBreaker: two}},\n"
             "    components: {c: {outbound: {circuitBreaker: one}}}}\n"
             "---\nkind: Resiliency\nmetadata: {name: more}\nspec: {}\n");
    (void)for_app(resiliency, "a");
    CHECK_EQ_INT(state(), BREAKER_OPEN);
    (void)for_app(resiliency, "b");
    CHECK_EQ_INT(state(), BREAKER_CLOSED);
    (void)for_component(resiliency, "c", "Statestore", RESILIENCY_OUTBOUND);
    CHECK_EQ_INT(state(), BREAKER_OPEN);

    /* The same name, other words. */
    resiliency = change(resiliency, HEAD
                        "  policies: {circuitBreakers: {one: {trip: requests > 0}}}\n" TARGETS);
    (void)for_app(resiliency, "a");
    CHECK_EQ_INT(state(), BREAKER_CLOSED);
    resiliency_unref(resiliency);
    clock_use_real();
}

TEST(a_target_that_goes_and_comes_back_begins_anew)
{
    clock_fake(1000000000000, 0);
    struct resiliency *resiliency = bed_policies(HEAD "  policies:\n" ONE TARGETS, NULL);
    (void)for_app(resiliency, "a");
    trip();
    resiliency = change(resiliency, HEAD "  policies:\n" ONE);
    resiliency = change(resiliency, HEAD "  policies:\n" ONE TARGETS);
    (void)for_app(resiliency, "a");
    CHECK_EQ_INT(state(), BREAKER_CLOSED);
    resiliency_unref(resiliency);
    clock_use_real();
}

TEST(breakers_of_default_policies_survive_too_each_of_its_own_target)
{
    clock_fake(1000000000000, 0);
    const char *yaml = HEAD
        "  policies: {circuitBreakers: {DefaultAppCircuitBreakerPolicy: {trip: requests > 0}, "
        "DefaultStatestoreComponentOutboundCircuitBreakerPolicy: {trip: requests > 0}}}\n";
    struct resiliency *resiliency = bed_policies(yaml, NULL);
    (void)for_app(resiliency, "a");
    trip();
    (void)for_component(resiliency, "a", "Statestore", RESILIENCY_OUTBOUND);
    trip();
    resiliency = change(resiliency, yaml);
    (void)for_app(resiliency, "a");
    CHECK_EQ_INT(state(), BREAKER_OPEN);
    (void)for_component(resiliency, "a", "Statestore", RESILIENCY_OUTBOUND);
    CHECK_EQ_INT(state(), BREAKER_OPEN);
    (void)for_app(resiliency, "b");
    CHECK_EQ_INT(state(), BREAKER_CLOSED);
    resiliency_unref(resiliency);
    clock_use_real();
}
