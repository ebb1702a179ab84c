/* SPDX-License-Identifier: Apache-2.0 */
/* Places in the application, and what probes make of its health. */
#include "app/app.h"

#include "app/app_health.h"

#include "unit/async/driver.h"

static struct worker worker;
static struct app *app;
static struct app_channel channel;
static char order[32];
static size_t order_len;

static void
open_app(int64_t places)
{
    driver_open_fake(&worker);
    app = app_new(
        &(struct app_settings){ .host = SLICE("127.0.0.1"), .port = 1, .concurrency_max = places });
    app_channel_init(&channel, app, &worker);
    order_len = 0;
    memset(order, 0, sizeof order);
}

static void
close_app(void)
{
    DRIVE_UNTIL(&worker, worker.tasks.count == 0);
    app_channel_fini(&channel);
    app_free(app);
    driver_close(&worker);
}

struct visitor {
    char name;
    uint64_t timeout_ms;
    bool stays;
    struct task *task;
    struct wait *wait;
    err_t entered;
    bool is_over;
};

static void
visit(struct task *t, void *arg)
{
    struct visitor *v = arg;
    (void)task_deadline_push(t, v->timeout_ms == 0 ? UINT64_MAX : v->timeout_ms);
    v->entered = app_enter(t, &channel);
    if (v->entered == OK) {
        order[order_len++ % sizeof order] = v->name;
        struct wait wait;
        wait_init(&wait, t, NULL);
        v->wait = &wait;
        if (v->stays)
            CHECK_OK(TASK_WAIT(t, &wait));
        app_leave(&channel);
    }
    v->is_over = true;
}

static void
come(struct visitor *v)
{
    v->task = task_spawn(&worker, "visitor", visit, v);
    REQUIRE(v->task != NULL);
    turns(&worker, 1);
}

static void
leave(struct visitor *v)
{
    wait_done(v->wait, OK);
    turns(&worker, 3);
}

TEST(places_are_given_in_order_of_arrival)
{
    open_app(1);
    struct visitor a = { .name = 'a', .stays = true }, b = { .name = 'b', .stays = true };
    struct visitor c = { .name = 'c' };
    come(&a);
    come(&b);
    come(&c);
    CHECK_EQ_STR(order, "a");
    leave(&a);
    CHECK_EQ_STR(order, "ab");
    leave(&b);
    CHECK_EQ_STR(order, "abc");
    CHECK(a.is_over && b.is_over && c.is_over);
    close_app();
}

TEST(who_is_out_of_time_or_cancelled_leaves_the_queue)
{
    open_app(1);
    struct visitor a = { .name = 'a', .stays = true }, b = { .name = 'b', .timeout_ms = 50 };
    struct visitor c = { .name = 'c' };
    come(&a);
    come(&b);
    come(&c);
    pass_ms(&worker, 51);
    CHECK(b.is_over);
    CHECK_EQ_INT(b.entered, ERR_DEADLINE);
    leave(&a);
    CHECK_EQ_STR(order, "ac");
    close_app();
}

TEST(without_a_bound_everybody_is_let_in)
{
    open_app(-1);
    struct visitor visitors[20] = { 0 };
    for (int i = 0; i < 20; i++) {
        visitors[i] = (struct visitor){ .name = 'x', .stays = true };
        come(&visitors[i]);
        CHECK_OK(visitors[i].entered);
    }
    for (int i = 0; i < 20; i++)
        leave(&visitors[i]);
    close_app();
}

/* --- several workers ---------------------------------------------------------------------------*/

enum { CROWD_WORKERS = 3, CROWD_TASKS = 40, CROWD_ROUNDS = 50, CROWD_PLACES = 4 };

static struct crowd {
    struct worker workers[CROWD_WORKERS];
    struct app_channel channels[CROWD_WORKERS];
    atomic_int inside;
    atomic_int most;
    atomic_uint entered;
    atomic_uint gone; /* gave up waiting */
} crowd;

static void
enter_and_leave(struct task *t, void *arg)
{
    struct app_channel *here = arg;
    for (int i = 0; i < CROWD_ROUNDS; i++) {
        uint64_t outer = task_deadline_push(t, i % 5 == 0 ? 1 : 20000);
        err_t err = app_enter(t, here);
        task_deadline_pop(t, outer);
        if (err != OK) {
            (void)atomic_fetch_add(&crowd.gone, 1);
            continue;
        }
        int inside = atomic_fetch_add(&crowd.inside, 1) + 1, most = atomic_load(&crowd.most);
        while (inside > most && !atomic_compare_exchange_weak(&crowd.most, &most, inside))
            ;
        (void)atomic_fetch_add(&crowd.entered, 1);
        if (i % 3 == 0)
            task_yield(t);
        (void)atomic_fetch_sub(&crowd.inside, 1);
        app_leave(here);
    }
}

static void
spawn_crowd(struct mail *mail)
{
    struct worker *here = worker_current();
    for (int i = 0; i < CROWD_TASKS; i++)
        REQUIRE(task_spawn(here, "crowd", enter_and_leave, &crowd.channels[here->index]) != NULL);
    free(mail);
}

TEST(places_hold_for_all_workers_together)
{
    struct app *busy = app_new(
        &(struct app_settings){ .port = 1, .concurrency_max = CROWD_PLACES });
    for (unsigned i = 0; i < CROWD_WORKERS; i++) {
        REQUIRE_OK(worker_init(&crowd.workers[i], i));
        app_channel_init(&crowd.channels[i], busy, &crowd.workers[i]);
        REQUIRE_OK(worker_start(&crowd.workers[i]));
    }
    for (unsigned i = 0; i < CROWD_WORKERS; i++) {
        struct mail *mail = malloc(sizeof *mail);
        REQUIRE(mail != NULL);
        worker_post(&crowd.workers[i], mail, spawn_crowd);
    }
    for (unsigned i = 0; i < CROWD_WORKERS; i++) /* ends when its tasks have */
        worker_stop(&crowd.workers[i]);
    for (unsigned i = 0; i < CROWD_WORKERS; i++)
        worker_join(&crowd.workers[i]);
    CHECK_EQ_U64(atomic_load(&crowd.entered) + atomic_load(&crowd.gone),
                 CROWD_WORKERS * CROWD_TASKS * CROWD_ROUNDS);
    CHECK(atomic_load(&crowd.most) <= CROWD_PLACES);
    CHECK_EQ_INT(atomic_load(&crowd.inside), 0);
    for (unsigned i = 0; i < CROWD_WORKERS; i++) {
        app_channel_fini(&crowd.channels[i]);
        worker_fini(&crowd.workers[i]);
    }
    app_free(busy);
}

/* --- health ------------------------------------------------------------------------------------*/

struct news {
    struct app_health_listener listener;
    unsigned count;
    bool is_healthy;
};

static void
on_change(struct app_health_listener *listener, bool is_healthy)
{
    struct news *news = container_of(listener, struct news, listener);
    news->count++;
    news->is_healthy = is_healthy;
}

TEST(an_application_is_unwell_until_a_probe_and_after_so_many_bad_ones_in_a_row)
{
    struct app *patient = app_new(
        &(struct app_settings){ .port = 1, .checks_health = true, .health_threshold = 3 });
    struct news news = { .listener.on_change = on_change };
    const struct slice why = SLICE("Health check failed with status code: 503");
    app_health_listen(patient, &news.listener);
    CHECK(!app_is_healthy(patient));
    CHECK(!app_health_take(patient, false, why));
    CHECK_EQ_U64(news.count, 0);
    CHECK(app_health_take(patient, true, why));
    CHECK(news.count == 1 && news.is_healthy);
    CHECK(app_health_take(patient, false, why));
    CHECK(app_health_take(patient, false, why));
    CHECK(app_health_take(patient, true, why)); /* the row is broken */
    CHECK(app_health_take(patient, false, why));
    CHECK(app_health_take(patient, false, why));
    CHECK_EQ_U64(news.count, 1);
    CHECK(!app_health_take(patient, false, why));
    CHECK(news.count == 2 && !news.is_healthy);
    CHECK(!app_health_take(patient, false, why));
    CHECK_EQ_U64(news.count, 2);
    CHECK(app_health_take(patient, true, why)); /* one good probe is enough */
    CHECK(news.count == 3 && news.is_healthy);
    app_free(patient);
}

TEST(without_checks_an_application_is_well)
{
    struct app *patient = app_new(&(struct app_settings){ .port = 1 });
    CHECK(app_is_healthy(patient));
    app_free(patient);
}
