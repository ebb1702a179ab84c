/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts under policies, on a clock that stands still: what is tried again without a policy of
 * the user (ARCHITECTURE §3), and what timeouts, retries and circuit breakers make of it
 * (REFERENCE-BEHAVIOUR §8, §16). */
#include "resiliency/run.h"

#include "async/worker.h"
#include "base/limits.h"
#include "telemetry/exposition.h"
#include "tests/unit/async/driver.h"
#include "tests/unit/resiliency/bed.h"

#define HEAD "kind: Resiliency\nmetadata: {name: rz}\nspec:\n"

/* What one attempt does. */
struct step {
    err_t err;
    enum answer_kind answer;
    int code;
    uint64_t takes_ms;
    bool is_final;
};

struct scene {
    const struct step *steps; /* the last one repeated */
    size_t step_count;
    struct run run;
    struct resiliency *resiliency; /* counted */
    struct resiliency_target target;
    const char *late; /* instance to enter with; NULL: does not */
    unsigned attempts;
    uint64_t at_ms[64]; /* begin of the attempts, from that of the run */
    uint64_t started_ms;
    uint64_t deadline_ms; /* of the task; 0: none */
    struct task *task;
    err_t err;
    char words[128];
    bool is_over;
};

static struct worker worker;
static struct metrics *metrics;

static err_t
attempt(struct task *t, void *arg, struct attempt *attempt)
{
    struct scene *scene = arg;
    size_t at = scene->attempts++;
    const struct step *step = &scene->steps[at < scene->step_count ? at : scene->step_count - 1];
    CHECK_EQ_INT(attempt->number, scene->attempts);
    CHECK(attempt->answer == ANSWER_NONE && !attempt->is_final);
    if (at < sizeof scene->at_ms / sizeof scene->at_ms[0])
        scene->at_ms[at] = clock_now_ms() - scene->started_ms;
    err_t err = scene->late == NULL ? OK : resiliency_enter(t, attempt, slice_str(scene->late));
    if (err == OK && step->takes_ms > 0)
        err = task_sleep(t, step->takes_ms);
    attempt->answer = step->answer;
    attempt->code = step->code;
    attempt->is_final = step->is_final;
    return err != OK ? err : step->err;
}

static void
run_main(struct task *t, void *arg)
{
    struct scene *scene = arg;
    if (scene->deadline_ms > 0)
        (void)task_deadline_push(t, scene->deadline_ms);
    scene->run.target = scene->resiliency == NULL ? NULL : &scene->target;
    scene->started_ms = clock_now_ms();
    scene->err = resiliency_run(t, &scene->run, attempt, scene);
    const struct diag *diag = task_diag(t);
    (void)snprintf(scene->words, sizeof scene->words, SLICE_FMT,
                   SLICE_ARG(diag->err == scene->err ? diag->message : SLICE_EMPTY));
    scene->is_over = true;
}

static void
begin(struct scene *scene)
{
    scene->task = task_spawn(&worker, "run", run_main, scene);
    REQUIRE(scene->task != NULL);
    turns(&worker, 3);
}

static void
cancel_main(struct task *t, void *arg)
{
    (void)t;
    task_cancel(arg);
}

static void
cancel(struct scene *scene)
{
    REQUIRE(task_spawn(&worker, "cancel", cancel_main, scene->task) != NULL);
    turns(&worker, 3);
}

/* Runs it to its end in steps of 10 ms. */
static void
play(struct scene *scene)
{
    begin(scene);
    for (unsigned i = 0; !scene->is_over; i++) {
        REQUIRE(i < 1000000);
        pass_ms(&worker, 10);
    }
}

static void
open_bed(void)
{
    driver_open_fake(&worker);
    metrics = metrics_new(&(struct metrics_config){ .shard_count = 1, .app_id = SLICE("me") });
    metrics_attach(metrics, 0);
}

static void
close_bed(struct scene *scene)
{
    resiliency_unref(scene->resiliency);
    driver_close(&worker);
    metrics_attach(NULL, 0);
    metrics_unref(metrics);
}

static struct scene
scene_of(const char *yaml, const struct step *steps, size_t count)
{
    struct scene scene = { .steps = steps, .step_count = count, .run.is_replayable = true };
    if (yaml != NULL) {
        scene.resiliency = bed_policies(yaml, NULL);
        resiliency_for_app(scene.resiliency, SLICE("back"), &scene.target);
    }
    return scene;
}

/* All in one, without policies. */
static struct scene
run(bool is_read, const err_t *results, size_t count)
{
    struct step steps[8] = { { 0 } };
    for (size_t i = 0; i < count; i++)
        steps[i].err = results[i];
    open_bed();
    struct scene scene = scene_of(NULL, steps, count);
    scene.run.built_in = is_read ? &built_in_read : &built_in_write;
    play(&scene);
    close_bed(&scene);
    return scene;
}

static uint64_t
counted(enum metric_group group, const char *policy, const char *status)
{
    const struct metric_series *series = metrics_first(metrics, 0, group);
    uint64_t count = 0;
    for (; series != NULL; series = series->next)
        if (slice_eq(series->labels[0], SLICE("outbound")) &&
            slice_eq(series->labels[1], SLICE("rz")) &&
            slice_eq(series->labels[3], slice_str(policy)) &&
            slice_eq(series->labels[4], slice_str(status)) &&
            slice_eq(series->labels[5], SLICE("app_back")))
            count += atomic_load(&series->counts[0]);
    return count;
}

/* --- built in ----------------------------------------------------------------------------------*/

TEST(success_is_not_repeated)
{
    struct scene scene = run(false, (const err_t[]){ OK }, 1);
    CHECK_EQ_INT(scene.err, OK);
    CHECK_EQ_INT(scene.attempts, 1);
}

TEST(what_was_not_sent_is_tried_again_a_bounded_number_of_times)
{
    struct scene scene = run(false, (const err_t[]){ ERR_PLUGIN_NOT_SENT, OK }, 2);
    CHECK_EQ_INT(scene.err, OK);
    CHECK_EQ_INT(scene.attempts, 2);
    CHECK_EQ_U64(scene.at_ms[1], 0);
    scene = run(false, (const err_t[]){ ERR_PLUGIN_NOT_SENT }, 1);
    CHECK_EQ_INT(scene.err, ERR_PLUGIN_NOT_SENT);
    CHECK_EQ_INT(scene.attempts, LIMIT_call_attempts_max);
}

TEST(a_write_that_may_have_happened_is_never_repeated)
{
    struct scene scene = run(false, (const err_t[]){ ERR_PLUGIN_UNKNOWN, OK }, 2);
    CHECK_EQ_INT(scene.err, ERR_PLUGIN_UNKNOWN);
    CHECK_EQ_INT(scene.attempts, 1);
}

TEST(a_lost_read_is_repeated_once)
{
    struct scene scene = run(true, (const err_t[]){ ERR_PLUGIN_UNKNOWN, OK }, 2);
    CHECK_EQ_INT(scene.err, OK);
    CHECK_EQ_INT(scene.attempts, 2);
    scene = run(true, (const err_t[]){ ERR_PLUGIN_UNKNOWN }, 1);
    CHECK_EQ_INT(scene.err, ERR_PLUGIN_UNKNOWN);
    CHECK_EQ_INT(scene.attempts, 2);
}

TEST(other_failures_are_final)
{
    static const err_t finals[] = { ERR_PLUGIN_AWAY, ERR_DEADLINE, ERR_CANCELLED, ERR_OVERLOADED };
    for (size_t i = 0; i < sizeof finals / sizeof finals[0]; i++) {
        struct scene scene = run(true, &finals[i], 1);
        CHECK_EQ_INT(scene.err, finals[i]);
        CHECK_EQ_INT(scene.attempts, 1);
    }
}

TEST(an_invocation_that_did_not_reach_its_peer_is_tried_three_more_times_a_second_apart)
{
    const struct step unreachable = { .err = ERR_PEER_UNREACHABLE };
    open_bed();
    struct scene scene = scene_of(NULL, &unreachable, 1);
    scene.run.built_in = &built_in_invoke;
    play(&scene);
    CHECK_EQ_INT(scene.err, ERR_PEER_UNREACHABLE);
    CHECK_EQ_INT(scene.attempts, 4);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ_U64(scene.at_ms[i], i * 1000);
    const struct step answers[] = { { .answer = ANSWER_HTTP, .code = 500 } };
    struct scene answered = scene_of(NULL, answers, 1);
    answered.run.built_in = &built_in_invoke;
    play(&answered);
    CHECK(answered.err == OK && answered.attempts == 1);
    close_bed(&scene);
}

TEST(a_user_can_have_more_built_in_retries_but_not_fewer_than_three)
{
    const struct step unreachable = { .err = ERR_PEER_UNREACHABLE };
    open_bed();
    struct scene more = scene_of(HEAD "  policies: {retries: {DaprBuiltInServiceRetries: {policy: "
                                      "constant, duration: 20ms, maxRetries: 5}}}",
                                 &unreachable, 1);
    more.run.built_in = &built_in_invoke;
    play(&more);
    CHECK_EQ_INT(more.attempts, 6);
    CHECK_EQ_U64(more.at_ms[5], 100);
    resiliency_unref(more.resiliency);
    struct scene fewer = scene_of(HEAD "  policies: {retries: {DaprBuiltInServiceRetries: {policy: "
                                       "constant, duration: 20ms, maxRetries: 1}}}",
                                  &unreachable, 1);
    fewer.run.built_in = &built_in_invoke;
    play(&fewer);
    CHECK_EQ_INT(fewer.attempts, 4);
    close_bed(&fewer);
}

/* --- retries of the user -----------------------------------------------------------------------*/

#define RETRY                                                                                      \
    HEAD "  policies: {retries: {twice: {policy: constant, duration: 100ms, maxRetries: 2}}}\n"    \
         "  targets: {apps: {back: {retry: twice}}}\n"

TEST(a_failing_answer_is_tried_again_and_the_last_one_is_the_result)
{
    const struct step bad = { .answer = ANSWER_HTTP, .code = 503 };
    open_bed();
    struct scene scene = scene_of(RETRY, &bad, 1);
    scene.run.built_in = &built_in_invoke;
    play(&scene);
    CHECK_EQ_INT(scene.err, OK);
    CHECK_EQ_INT(scene.attempts, 3);
    CHECK(scene.at_ms[1] == 100 && scene.at_ms[2] == 200);
    CHECK_EQ_U64(counted(METRICS_resiliency, "retry", ""), 1);
    CHECK_EQ_U64(counted(METRICS_resiliency_activation, "retry", ""), 1);
    CHECK_EQ_U64(counted(METRICS_resiliency, "timeout", ""), 0);
    close_bed(&scene);
}

TEST(recovery_ends_the_retries)
{
    const struct step steps[] = { { .err = ERR_PEER_LOST },
                                  { .answer = ANSWER_HTTP, .code = 200 } };
    open_bed();
    struct scene scene = scene_of(RETRY, steps, 2);
    play(&scene);
    CHECK(scene.err == OK && scene.attempts == 2);
    close_bed(&scene);
}

TEST(answers_below_400_are_no_failures)
{
    static const int codes[] = { 200, 204, 299, 301, 399 };
    open_bed();
    struct scene scene = { 0 };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        const struct step good = { .answer = ANSWER_HTTP, .code = codes[i] };
        resiliency_unref(scene.resiliency);
        scene = scene_of(HEAD "  policies: {retries: {twice: {duration: 1ms, maxRetries: 2, "
                              "matching: {httpStatusCodes: '200-399,500'}}}}\n"
                              "  targets: {apps: {back: {retry: twice}}}\n",
                         &good, 1);
        play(&scene);
        CHECK_EQ_INT(scene.attempts, 1);
    }
    close_bed(&scene);
}

TEST(matching_lists_decide_on_codes_and_on_nothing_else)
{
    static const struct {
        struct step step;
        unsigned attempts;
    } rows[] = {
        { { .answer = ANSWER_HTTP, .code = 500 }, 2 },
        { { .answer = ANSWER_HTTP, .code = 502 }, 2 },
        { { .answer = ANSWER_HTTP, .code = 504 }, 2 },
        { { .answer = ANSWER_HTTP, .code = 505 }, 1 },
        { { .answer = ANSWER_HTTP, .code = 429 }, 1 },
        { { .answer = ANSWER_HTTP, .code = 700 }, 1 },
        { { .answer = ANSWER_GRPC, .code = 14 }, 2 },
        { { .answer = ANSWER_GRPC, .code = 8 }, 2 },
        { { .answer = ANSWER_GRPC, .code = 13 }, 1 },
        { { .answer = ANSWER_GRPC, .code = 99 }, 1 },
        { { .answer = ANSWER_GRPC, .code = 503 }, 1 },
        { { .err = ERR_PEER_LOST }, 2 },
        { { .err = ERR_DEADLINE }, 2 },
        { { .err = ERR_CANCELLED }, 1 },
        { { .err = ERR_PEER_FAILED, .answer = ANSWER_GRPC, .code = 14 }, 2 },
        { { .err = ERR_PEER_FAILED, .answer = ANSWER_GRPC, .code = 13 }, 1 },
        { { .err = ERR_PEER_LOST, .is_final = true }, 1 },
    };
    open_bed();
    struct scene scene = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        resiliency_unref(scene.resiliency);
        scene = scene_of(HEAD "  policies: {retries: {once: {duration: 1ms, maxRetries: 1, "
                              "matching: {httpStatusCodes: '500,502-504', "
                              "gRPCStatusCodes: '8,14'}}}}\n"
                              "  targets: {apps: {back: {retry: once}}}\n",
                         &rows[i].step, 1);
        play(&scene);
        if (!CHECK_EQ_INT(scene.attempts, rows[i].attempts))
            fprintf(stderr, "  in row %zu\n", i);
    }
    close_bed(&scene);
}

TEST(a_streamed_body_is_never_repeated)
{
    const struct step bad = { .err = ERR_PEER_UNREACHABLE };
    open_bed();
    struct scene scene = scene_of(RETRY, &bad, 1);
    scene.run.is_replayable = false;
    play(&scene);
    CHECK_EQ_INT(scene.attempts, 1);
    resiliency_unref(scene.resiliency);
    struct scene built_in = scene_of(NULL, &bad, 1);
    built_in.run.is_replayable = false;
    built_in.run.built_in = &built_in_invoke;
    play(&built_in);
    CHECK_EQ_INT(built_in.attempts, 1);
    close_bed(&built_in);
}

#define FOREVER                                                                                    \
    HEAD "  policies: {retries: {forever: {duration: 1s}}}\n"                                      \
         "  targets: {apps: {back: {retry: forever}}}\n"

TEST(unlimited_retries_end_before_the_deadline_of_the_caller)
{
    const struct step bad = { .answer = ANSWER_HTTP, .code = 500 };
    open_bed();
    struct scene scene = scene_of(FOREVER, &bad, 1);
    scene.deadline_ms = 10500;
    play(&scene);
    CHECK_EQ_INT(scene.err, OK); /* the last answer, rather than a wait for nothing */
    CHECK_EQ_INT(scene.attempts, 11);
    close_bed(&scene);
}

TEST(unlimited_retries_end_when_the_caller_leaves)
{
    const struct step bad = { .answer = ANSWER_HTTP, .code = 500 };
    open_bed();
    struct scene scene = scene_of(FOREVER, &bad, 1);
    begin(&scene);
    for (unsigned i = 0; i < 55; i++)
        pass_ms(&worker, 100);
    CHECK_EQ_INT(scene.attempts, 6);
    cancel(&scene);
    CHECK(scene.is_over && scene.err == OK && scene.attempts == 6); /* the last answer */
    close_bed(&scene);
}

/* ERR_SHUTTING_DOWN ends the pause; the caller gets the last answer. */
TEST(unlimited_retries_end_when_the_sidecar_does)
{
    static atomic_bool is_ending;
    const struct step bad = { .answer = ANSWER_HTTP, .code = 500 };
    open_bed();
    struct scene scene = scene_of(FOREVER, &bad, 1);
    scene.run.is_ending = &is_ending;
    begin(&scene);
    for (unsigned i = 0; i < 21; i++)
        pass_ms(&worker, 100);
    CHECK(!scene.is_over && scene.attempts == 3);
    atomic_store(&is_ending, true);
    for (unsigned i = 0; i < LIMIT_retry_look_ms / 10; i++)
        pass_ms(&worker, 10);
    CHECK(scene.is_over && scene.err == OK && scene.attempts == 3);
    atomic_store(&is_ending, false);
    close_bed(&scene);
}

/* --- timeouts ----------------------------------------------------------------------------------*/

TEST(each_attempt_has_the_timeout_for_itself)
{
    const struct step steps[] = { { .takes_ms = 5000 }, { .takes_ms = 150 } };
    open_bed();
    struct scene scene = scene_of(HEAD "  policies: {timeouts: {t: 200ms}, "
                                       "retries: {r: {duration: 1s, maxRetries: 3}}}\n"
                                       "  targets: {apps: {back: {timeout: t, retry: r}}}\n",
                                  steps, 2);
    play(&scene);
    CHECK(scene.err == OK && scene.attempts == 2);
    CHECK_EQ_U64(scene.at_ms[1], 1200);
    CHECK_EQ_U64(counted(METRICS_resiliency, "timeout", ""), 1);
    CHECK_EQ_U64(counted(METRICS_resiliency_activation, "timeout", ""), 1);
    close_bed(&scene);
}

TEST(a_timeout_says_so)
{
    const struct step slow = { .takes_ms = 5000 };
    open_bed();
    struct scene scene = scene_of(HEAD "  policies: {timeouts: {t: 200ms}}\n"
                                       "  targets: {apps: {back: {timeout: t}}}\n",
                                  &slow, 1);
    play(&scene);
    CHECK_EQ_INT(scene.err, ERR_DEADLINE);
    CHECK_EQ_STR(scene.words, "context deadline exceeded");
    CHECK_EQ_U64(clock_now_ms() - scene.started_ms, 200);
    close_bed(&scene);
}

TEST(a_timeout_reaches_around_built_in_retries)
{
    const struct step unreachable = { .err = ERR_PEER_UNREACHABLE };
    open_bed();
    struct scene scene = scene_of(HEAD "  policies: {timeouts: {DefaultAppTimeoutPolicy: 1500ms}}",
                                  &unreachable, 1);
    scene.run.built_in = &built_in_invoke;
    play(&scene);
    CHECK_EQ_INT(scene.attempts, 2); /* the next one would come too late */
    CHECK_EQ_INT(scene.err, ERR_PEER_UNREACHABLE);
    close_bed(&scene);
}

TEST(without_a_timeout_the_default_bounds_each_attempt)
{
    const struct step slow = { .takes_ms = 5000 };
    open_bed();
    struct scene scene = scene_of(RETRY, &slow, 1);
    scene.run.default_ms = 1000;
    play(&scene);
    CHECK(scene.err == ERR_DEADLINE && scene.attempts == 3);
    CHECK_EQ_U64(counted(METRICS_resiliency_activation, "timeout", ""), 0);
    close_bed(&scene);
}

/* --- circuit breakers --------------------------------------------------------------------------*/

#define BREAKER                                                                                    \
    HEAD "  policies: {circuitBreakers: {cb: {timeout: 5s, trip: consecutiveFailures >= 3}}}\n"    \
         "  targets: {apps: {back: {circuitBreaker: cb}}}\n"

TEST(an_open_breaker_refuses_without_an_attempt)
{
    const struct step bad = { .answer = ANSWER_HTTP, .code = 500 };
    open_bed();
    struct scene scene = scene_of(BREAKER, &bad, 1);
    for (unsigned i = 0; i < 5; i++) {
        scene.is_over = false;
        scene.attempts = 0;
        play(&scene);
        CHECK_EQ_INT(scene.err, i < 3 ? OK : ERR_BREAKER_OPEN);
        CHECK_EQ_INT(scene.attempts, i < 3);
    }
    CHECK_EQ_STR(scene.words, "circuit breaker is open");
    CHECK_EQ_U64(counted(METRICS_resiliency, "circuitbreaker", "closed"), 3);
    CHECK_EQ_U64(counted(METRICS_resiliency, "circuitbreaker", "open"), 2);
    CHECK_EQ_U64(counted(METRICS_resiliency_activation, "circuitbreaker", "open"), 1);
    close_bed(&scene);
}

TEST(a_streamed_body_counts_for_the_breaker)
{
    const struct step bad = { .err = ERR_PEER_LOST };
    open_bed();
    struct scene scene = scene_of(BREAKER, &bad, 1);
    scene.run.is_replayable = false;
    for (unsigned i = 0; i < 4; i++) {
        scene.is_over = false;
        scene.attempts = 0;
        play(&scene);
    }
    CHECK(scene.err == ERR_BREAKER_OPEN && scene.attempts == 0);
    close_bed(&scene);
}

TEST(retries_stop_at_the_breaker_they_have_opened)
{
    const struct step bad = { .answer = ANSWER_HTTP, .code = 500 };
    open_bed();
    struct scene scene = scene_of(HEAD
                                  "  policies: {retries: {r: {duration: 1ms}}, "
                                  "circuitBreakers: {cb: {trip: consecutiveFailures >= 3}}}\n"
                                  "  targets: {apps: {back: {retry: r, circuitBreaker: cb}}}\n",
                                  &bad, 1);
    play(&scene);
    CHECK(scene.err == ERR_BREAKER_OPEN && scene.attempts == 3);
    close_bed(&scene);
}

TEST(instances_have_breakers_of_their_own)
{
    const struct step bad = { .answer = ANSWER_HTTP, .code = 500 };
    open_bed();
    struct scene scene = scene_of(BREAKER, &bad, 1);
    scene.run.instance = SLICE("10.0.0.1:1");
    for (unsigned i = 0; i < 4; i++) {
        scene.is_over = false;
        scene.attempts = 0;
        play(&scene);
    }
    CHECK(scene.err == ERR_BREAKER_OPEN && scene.attempts == 0);
    scene.run.instance = SLICE("10.0.0.2:1");
    scene.is_over = false;
    scene.attempts = 0;
    play(&scene);
    CHECK(scene.err == OK && scene.attempts == 1);
    close_bed(&scene);
}

TEST(an_attempt_can_say_late_which_instance_it_is_for)
{
    const struct step bad = { .answer = ANSWER_HTTP, .code = 500 };
    open_bed();
    struct scene scene = scene_of(BREAKER, &bad, 1);
    scene.run.enters_late = true;
    scene.late = "10.0.0.1:1";
    for (unsigned i = 0; i < 4; i++) {
        scene.is_over = false;
        scene.attempts = 0;
        play(&scene);
        CHECK_EQ_INT(scene.err, i < 3 ? OK : ERR_BREAKER_OPEN);
        CHECK_EQ_INT(scene.attempts, 1);
    }
    scene.late = "10.0.0.2:1";
    scene.is_over = false;
    scene.attempts = 0;
    play(&scene);
    CHECK_EQ_INT(scene.err, OK);
    close_bed(&scene);
}

TEST(a_caller_that_leaves_says_nothing_about_the_target)
{
    const struct step slow = { .takes_ms = 60000 };
    open_bed();
    struct scene scene = scene_of(BREAKER, &slow, 1);
    for (unsigned i = 0; i < 10; i++) {
        scene.is_over = false;
        scene.attempts = 0;
        begin(&scene);
        cancel(&scene);
        CHECK(scene.is_over && scene.err == ERR_CANCELLED && scene.attempts == 1);
    }
    close_bed(&scene);
}

TEST(policies_may_go_while_a_run_uses_them)
{
    const struct step bad = { .answer = ANSWER_HTTP, .code = 500 };
    open_bed();
    struct scene scene = scene_of(RETRY, &bad, 1);
    begin(&scene);
    resiliency_unref(scene.resiliency); /* ours: a reload has replaced it */
    scene.resiliency = NULL;
    for (unsigned i = 0; i < 30 && !scene.is_over; i++)
        pass_ms(&worker, 10);
    CHECK(scene.is_over && scene.attempts == 3);
    close_bed(&scene);
}
