/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges, step by step: both generations are handles on the link of a scripted plugin. */
#include "component/exchange.h"

#include "base/limits.h"
#include "tests/unit/bus/link_driver.h"

#define METHOD(name) REMORA__PLUGIN__V1__METHOD__METHOD_##name

enum { OLD = 1, NEW = 2, STEPS_MAX = 32 };

static struct component_table table;
static struct component_table *tables[] = { &table };
static struct worker *workers[] = { &worker };
static const struct routes routes = { .workers = workers, .tables = tables, .count = 1 };
static struct mailbox control;
static unsigned reports;
static bool is_over, was_switched;
static char error[256];
/* What the plugin was asked for, as "INIT2 START2 ", and what it refuses. */
static char asked[512];
static uint32_t refused_method, refused_handle, silent_method, silent_handle;
static uint64_t held_read; /* the number of a get that is not answered yet */
static unsigned pieces;    /* an export has so many */

static void
no_wake(void *arg)
{
    (void)arg;
}

static const char *
name_of(uint32_t method)
{
    static const char *const names[] = {
        [METHOD(INIT)] = "INIT",     [METHOD(START)] = "START",   [METHOD(QUIESCE)] = "QUIESCE",
        [METHOD(CLOSE)] = "CLOSE",   [METHOD(EXPORT)] = "EXPORT", [METHOD(IMPORT)] = "IMPORT",
        [METHOD(STATE_GET)] = "GET", [METHOD(STATE_SET)] = "SET",
    };
    return method < ARRAY_LEN(names) && names[method] != NULL ? names[method] : "?";
}

static void
answer_export(uint64_t call)
{
    struct arena arena;
    arena_init(&arena);
    Remora__Plugin__V1__ExportReply reply = REMORA__PLUGIN__V1__EXPORT_REPLY__INIT;
    reply.cursor = 5;
    reply.more = pieces > 0 && --pieces > 0;
    struct slice message = pb_pack(&arena, &reply.base);
    struct slice payload = arena_printf(&arena, SLICE_FMT "piece", SLICE_ARG(message));
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = call,
                              .message_bytes = (uint32_t)message.len,
                              .payload_bytes = payload.len,
                              .payload = payload });
    arena_fini(&arena);
}

static void
answer(const struct frame *frame)
{
    size_t used = strlen(asked);
    (void)snprintf(asked + used, sizeof asked - used, "%s%u ", name_of(frame->method),
                   frame->component);
    struct frame reply = { .kind = FRAME_RESPONSE, .call = frame->call };
    if (frame->method == silent_method && frame->component == silent_handle)
        return;
    if (frame->method == METHOD(STATE_GET) && frame->component == OLD) {
        held_read = frame->call;
        return;
    }
    if (frame->method == refused_method && frame->component == refused_handle) {
        reply.has_status = true;
        reply.status = (struct frame_status){ .code = 9, .message = SLICE("no") };
    } else if (frame->method == METHOD(EXPORT)) {
        answer_export(frame->call);
        return;
    }
    peer_send(reply);
}

/* Everything that needs no time. */
static void
play(void)
{
    struct frame frame;
    for (int i = 0; i < 60; i++) {
        while (peer_next(&frame))
            if (frame.kind == FRAME_REQUEST)
                answer(&frame);
        turn();
        (void)mailbox_run(&control);
    }
}

static struct latch *gone, *writes;
static struct component_facts *shape;

static void
on_report(struct exchange *x, bool over)
{
    struct exchange_item *item = &x->items[0];
    if (reports++ == 0) {
        was_switched = item->is_switched;
        if (item->error != NULL)
            (void)snprintf(error, sizeof error, "%s", item->error);
        if (item->gone != NULL)
            gone = TAKE(item->gone);
        if (item->writes != NULL)
            writes = TAKE(item->writes);
    }
    is_over = over;
    if (over)
        exchange_free(x);
}

static struct component_facts
facts_of(uint32_t handle)
{
    return (struct component_facts){ .kind = COMPONENT_STATE,
                                     .name = SLICE("store"),
                                     .type = SLICE("state.test"),
                                     .version = SLICE("v1"),
                                     .generation = handle,
                                     .handle = handle };
}

/* The old generation serves; the new one is asked for. */
static void
begin(enum manifest_replace replace)
{
    start_ready();
    mailbox_init(&control, no_wake, NULL);
    component_table_init(&table);
    reports = 0;
    is_over = was_switched = false;
    error[0] = asked[0] = '\0';
    refused_method = silent_method = 0;
    held_read = 0;
    pieces = 1;
    struct component_facts plain = facts_of(OLD);
    shape = component_facts_new(&plain);
    gone = latch_new();
    writes = latch_new();
    plain.gone = latch_ref(gone);
    struct component_facts *facts = component_facts_new(&plain);
    component_publish(&table, facts, link_, writes);
    component_facts_unref(facts);
    struct exchange *x = exchange_new(1);
    x->routes = &routes;
    x->worker = &worker;
    x->control = &control;
    x->report = on_report;
    x->items[0] = (struct exchange_item){ .user = x,
                                          .name = slice_dup_str(SLICE("store")),
                                          .replace = replace,
                                          .init_timeout_ms = 5000,
                                          .facts = facts_of(NEW),
                                          .from = link_ref(link_),
                                          .from_handle = OLD,
                                          .from_gone = TAKE(gone),
                                          .from_writes = TAKE(writes),
                                          .from_shape = component_facts_ref(shape),
                                          .to = link_ref(link_) };
    exchange_start(x);
}

static uint32_t
serving_handle(void)
{
    const struct component *component = component_find(&table, COMPONENT_STATE, SLICE("store"));
    return component->link == NULL ? 0 : component->facts->handle;
}

static void
end(void)
{
    component_table_fini(&table);
    latch_unref(TAKE(gone));
    latch_unref(TAKE(writes));
    component_facts_unref(TAKE(shape));
    stop();
}

/* --- calls of the application ------------------------------------------------------------------*/

struct app_call {
    bool is_write;
    bool is_done;
    err_t err;
};

static void
call_main(struct task *t, void *arg)
{
    struct app_call *call = arg;
    struct component_call made;
    struct component *component = component_ref(
        component_find(&table, COMPONENT_STATE, SLICE("store")));
    const struct link_args args = { .method = call->is_write ? METHOD(STATE_SET)
                                                             : METHOD(STATE_GET),
                                    .is_write = call->is_write };
    call->err = component_call(t, component, &args, &made);
    component_call_finish(t, &made);
    component_unref(component);
    call->is_done = true;
}

static void
call_store(struct app_call *call)
{
    REQUIRE(task_spawn(&worker, "app", call_main, call) != NULL);
    turn();
}

static void
answer_held_read(void)
{
    peer_send((struct frame){ .kind = FRAME_RESPONSE, .call = held_read });
    held_read = 0;
}

/* --- overlap -----------------------------------------------------------------------------------*/

TEST(the_new_generation_starts_before_the_old_one_ends)
{
    begin(REPLACE_OVERLAP);
    play();
    CHECK_EQ_STR(asked, "INIT2 START2 QUIESCE1 CLOSE1 ");
    CHECK(was_switched && is_over);
    CHECK_EQ_INT(reports, 2);
    CHECK_EQ_INT(serving_handle(), NEW);
    end();
}

TEST(a_call_of_the_old_generation_ends_before_it_is_closed)
{
    struct app_call call = { 0 };
    begin(REPLACE_OVERLAP);
    call_store(&call); /* it finds the old one, since the exchange has not begun */
    play();
    CHECK(was_switched && !is_over);
    CHECK(strstr(asked, "CLOSE1") == NULL);
    answer_held_read();
    play();
    CHECK(call.is_done && call.err == OK);
    CHECK(is_over);
    CHECK(strstr(asked, "QUIESCE1 CLOSE1 ") != NULL);
    end();
}

TEST(a_refused_init_changes_nothing)
{
    begin(REPLACE_OVERLAP);
    refused_method = METHOD(INIT);
    refused_handle = NEW;
    play();
    CHECK_EQ_STR(asked, "INIT2 ");
    CHECK(!was_switched && is_over);
    CHECK_EQ_STR(error, "no");
    CHECK_EQ_INT(serving_handle(), OLD);
    end();
}

TEST(a_refused_start_closes_what_was_created)
{
    begin(REPLACE_OVERLAP);
    refused_method = METHOD(START);
    refused_handle = NEW;
    play();
    CHECK_EQ_STR(asked, "INIT2 START2 CLOSE2 ");
    CHECK(!was_switched && is_over);
    CHECK_EQ_INT(serving_handle(), OLD);
    end();
}

TEST(an_init_that_hangs_is_given_up)
{
    begin(REPLACE_OVERLAP);
    silent_method = METHOD(INIT);
    silent_handle = NEW;
    play();
    CHECK_EQ_INT(reports, 0);
    clock_advance_ms(5001);
    play();
    CHECK(!was_switched && is_over);
    CHECK_EQ_STR(error, "init timeout exceeded");
    CHECK_EQ_INT(serving_handle(), OLD);
    end();
}

/* --- exclusive ---------------------------------------------------------------------------------*/

TEST(an_exclusive_one_lets_go_only_when_its_calls_have_ended)
{
    struct app_call before = { 0 }, meanwhile = { .is_write = true };
    begin(REPLACE_EXCLUSIVE);
    call_store(&before);
    play();
    CHECK_EQ_STR(asked, "GET1 INIT2 ");
    call_store(&meanwhile);
    play();
    CHECK(!meanwhile.is_done);
    answer_held_read();
    play();
    CHECK(before.is_done && before.err == OK);
    CHECK(meanwhile.is_done && meanwhile.err == OK);
    CHECK_EQ_STR(asked, "GET1 INIT2 QUIESCE1 START2 SET2 CLOSE1 ");
    CHECK(was_switched && is_over);
    end();
}

TEST(an_exclusive_one_takes_up_again_if_the_other_cannot_start)
{
    struct app_call meanwhile = { .is_write = true };
    begin(REPLACE_EXCLUSIVE);
    refused_method = METHOD(START);
    refused_handle = NEW;
    play();
    CHECK_EQ_STR(asked, "INIT2 QUIESCE1 START2 CLOSE2 START1 ");
    CHECK(!was_switched && is_over);
    CHECK_EQ_INT(serving_handle(), OLD);
    call_store(&meanwhile);
    play();
    CHECK(meanwhile.is_done && meanwhile.err == OK);
    end();
}

TEST(an_exclusive_one_goes_on_if_its_calls_do_not_end)
{
    struct app_call before = { 0 };
    begin(REPLACE_EXCLUSIVE);
    call_store(&before);
    play();
    clock_advance_ms(LIMIT_exchange_hold_ms + 1);
    play();
    CHECK(!was_switched && is_over);
    CHECK_EQ_STR(asked, "GET1 INIT2 CLOSE2 ");
    CHECK_EQ_INT(serving_handle(), OLD);
    answer_held_read();
    play();
    CHECK(before.is_done && before.err == OK);
    end();
}

/* --- handover ----------------------------------------------------------------------------------*/

TEST(state_is_carried_first_as_it_is_and_then_what_has_changed)
{
    begin(REPLACE_HANDOVER);
    pieces = 3;
    play();
    CHECK_EQ_STR(asked, "INIT2 EXPORT1 IMPORT2 EXPORT1 IMPORT2 EXPORT1 IMPORT2 EXPORT1 IMPORT2 "
                        "START2 QUIESCE1 CLOSE1 ");
    CHECK(was_switched && is_over);
    CHECK_EQ_INT(serving_handle(), NEW);
    end();
}

TEST(a_write_waits_while_the_last_changes_are_carried)
{
    struct app_call meanwhile = { .is_write = true };
    begin(REPLACE_HANDOVER);
    silent_method = METHOD(START);
    silent_handle = NEW;
    play();
    call_store(&meanwhile);
    play();
    CHECK(!meanwhile.is_done);
    clock_advance_ms(LIMIT_exchange_hold_ms + 1);
    play();
    CHECK(!was_switched && is_over);
    CHECK(meanwhile.is_done && meanwhile.err == OK);
    CHECK(strstr(asked, "SET1 ") != NULL);
    end();
}

TEST(a_refused_piece_leaves_the_old_one_writing)
{
    struct app_call after = { .is_write = true };
    begin(REPLACE_HANDOVER);
    refused_method = METHOD(IMPORT);
    refused_handle = NEW;
    play();
    CHECK(!was_switched && is_over);
    CHECK_EQ_STR(asked, "INIT2 EXPORT1 IMPORT2 CLOSE2 ");
    call_store(&after);
    play();
    CHECK(after.is_done && after.err == OK);
    CHECK_EQ_INT(serving_handle(), OLD);
    end();
}

/* --- the link ----------------------------------------------------------------------------------*/

TEST(an_exchange_ends_when_the_link_does)
{
    begin(REPLACE_HANDOVER);
    silent_method = METHOD(EXPORT);
    silent_handle = OLD;
    play();
    link_close(link_, "gone");
    play();
    CHECK(!was_switched && is_over);
    end();
}

TEST(what_nothing_replaces_is_closed_when_its_calls_have_ended)
{
    struct app_call call = { 0 };
    begin(REPLACE_OVERLAP);
    play();
    asked[0] = '\0';
    call_store(&call);
    play();
    component_remove(&table, SLICE("store"));
    exchange_retire(&routes, link_, NEW, TAKE(gone), SLICE("store"));
    play();
    CHECK_EQ_STR(asked, "GET2 QUIESCE2 CLOSE2 ");
    CHECK(call.is_done);
    end();
}

TEST(those_that_go_beyond_what_is_closed_at_a_time_wait_for_their_turn)
{
    begin(REPLACE_OVERLAP);
    play();
    asked[0] = '\0';
    table.retiring_count = LIMIT_retiring_max;
    component_remove(&table, SLICE("store"));
    exchange_retire(&routes, link_, NEW, TAKE(gone), SLICE("store"));
    play();
    CHECK_EQ_STR(asked, "");
    CHECK(!list_is_empty(&table.retiring));
    exchange_forget_retiring(&table);
    CHECK(list_is_empty(&table.retiring));
    end();
}
