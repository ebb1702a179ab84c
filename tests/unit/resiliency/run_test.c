/* SPDX-License-Identifier: Apache-2.0 */
/* What is tried again without a policy of the user (ARCHITECTURE §3, failure status). */
#include "resiliency/run.h"

#include "async/worker.h"
#include "tests/lib/test.h"

struct scene {
    bool is_read;
    const err_t *results; /* of the attempts, the last one repeated */
    size_t result_count;
    unsigned attempts;
    err_t err;
};

static err_t
attempt(struct task *t, void *arg, struct attempt *outcome)
{
    struct scene *scene = arg;
    (void)t;
    (void)outcome;
    size_t at = scene->attempts++;
    return scene->results[at < scene->result_count ? at : scene->result_count - 1];
}

static void
run_main(struct task *t, void *arg)
{
    struct scene *scene = arg;
    const struct run run = { .built_in = scene->is_read ? &built_in_read : &built_in_write,
                             .is_replayable = true };
    scene->err = resiliency_run(t, &run, attempt, scene);
}

static struct scene
run(bool is_read, const err_t *results, size_t count)
{
    struct scene scene = { .is_read = is_read, .results = results, .result_count = count };
    struct worker worker;
    REQUIRE_OK(worker_init(&worker, 0));
    REQUIRE(task_spawn(&worker, "run", run_main, &scene) != NULL);
    worker_turn(&worker, 0);
    worker_fini(&worker);
    return scene;
}

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
    scene = run(false, (const err_t[]){ ERR_PLUGIN_NOT_SENT }, 1);
    CHECK_EQ_INT(scene.err, ERR_PLUGIN_NOT_SENT);
    CHECK_EQ_INT(scene.attempts, built_in_write.policy.retries_max + 1);
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
