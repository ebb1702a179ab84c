/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's link and a plugin of the SDK, as two processes: short form of the experiment echo.
 */
#include "echo_stream.h"

#ifdef REMORA_SANITIZE /* freed memory is kept back to catch its use */
enum { MIB = 1024 * 1024, RSS_GROWTH_KIB_MAX = 512 * 1024 };
#else
enum { MIB = 1024 * 1024, RSS_GROWTH_KIB_MAX = 4096 };
#endif

static struct arena arena;

static void
start(void)
{
    arena_init(&arena);
    process_start(process_path("echo"));
    process_open("test.echo");
}

static void
stop(void)
{
    process_stop();
    CHECK(WIFEXITED(process.status));
    CHECK_EQ_INT(WEXITSTATUS(process.status), 0);
    arena_fini(&arena);
}

static struct process_call
echo_call(uint32_t delay_ms)
{
    return (
        struct process_call){ .args = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_ECHO,
                                        .component = PROCESS_COMPONENT,
                                        .message = process_echo_request(&arena, delay_ms, "") } };
}

static void
check_small_call(void)
{
    struct process_call call = echo_call(0);
    const struct slice body = SLICE("0123456789");
    call.args.body_parts = &body;
    call.args.body_part_count = 1;
    process_call_start(&call);
    PROCESS_UNTIL(call.is_done);
    CHECK_OK(call.err);
    CHECK_EQ_INT(call.code, 0);
    CHECK_EQ_U64(call.body_bytes, 10);
}

TEST(a_small_call_comes_back)
{
    start();
    check_small_call();
    stop();
}

TEST(unknown_methods_and_components_are_answered)
{
    start();
    struct process_call method = echo_call(0), component = echo_call(0);
    method.args.method = 99;
    component.args.component = 77;
    process_call_start(&method);
    process_call_start(&component);
    PROCESS_UNTIL(method.is_done && component.is_done);
    CHECK_OK(method.err);
    CHECK_OK(component.err);
    CHECK_EQ_INT(method.code, GRPC_UNIMPLEMENTED);
    CHECK_EQ_INT(component.code, GRPC_FAILED_PRECONDITION);
    stop();
}

TEST(a_thousand_calls_with_delays_overtake_each_other)
{
    enum { COUNT = 1000 };
    static struct process_call calls[COUNT];
    start();
    for (uint32_t i = 0; i < COUNT; i++) {
        calls[i] = echo_call((i * 7919) % 50);
        process_call_start(&calls[i]);
    }
    int wrong = 0;
    for (int i = 0; i < COUNT; i++) {
        PROCESS_UNTIL(calls[i].is_done);
        wrong += calls[i].err != OK || calls[i].code != 0;
    }
    CHECK_EQ_INT(wrong, 0);
    stop();
}

TEST(a_body_of_16_mib_comes_back_whole)
{
    enum { PARTS = 64 };
    static struct slice parts[PARTS];
    for (size_t i = 0; i < PARTS; i++)
        parts[i] = echo_bytes(i * ECHO_CHUNK_BYTES, ECHO_CHUNK_BYTES);
    start();
    struct process_call call = echo_call(0);
    call.args.body_parts = parts;
    call.args.body_part_count = PARTS;
    process_call_start(&call);
    PROCESS_UNTIL(call.is_done);
    CHECK_OK(call.err);
    CHECK_EQ_INT(call.code, 0);
    CHECK_EQ_U64(call.body_bytes, 16 * MIB);
    stop();
}

TEST(a_stream_of_64_mib_comes_back_in_constant_memory)
{
    start();
    struct echo_stream warm = { .total = 4 * MIB }, stream = { .total = 64 * MIB };
    echo_stream_start(&warm);
    PROCESS_UNTIL(warm.is_done);
    process_reset_peak(0);
    process_reset_peak(process.pid);
    long kernel_kib = process_kib(0, "VmRSS"), plugin_kib = process_kib(process.pid, "VmRSS");
    echo_stream_start(&stream);
    PROCESS_UNTIL(stream.is_done);
    CHECK_OK(stream.open_err);
    CHECK_OK(stream.write_err);
    CHECK_OK(stream.read_err);
    CHECK_EQ_U64(stream.read, stream.total);
    CHECK(!stream.is_wrong);
    CHECK(process_kib(0, "VmHWM") - kernel_kib <= RSS_GROWTH_KIB_MAX);
    CHECK(process_kib(process.pid, "VmHWM") - plugin_kib <= RSS_GROWTH_KIB_MAX);
    stop();
}

TEST(a_reader_that_stops_stops_its_stream_only)
{
    start();
    struct echo_stream stream = { .total = 32 * MIB, .pause_at = MIB };
    echo_stream_start(&stream);
    PROCESS_UNTIL(stream.is_paused);
    uint64_t written = 0; /* credits run out everywhere: nothing moves any more */
    do {
        written = stream.written;
        for (int i = 0; i < 10; i++)
            check_small_call();
    } while (stream.written != written);
    CHECK(stream.written < 8 * MIB);
    CHECK(process_kib(process.pid, "VmRSS") < 12 * 1024 + RSS_GROWTH_KIB_MAX);
    wait_done(TAKE(stream.pause), OK);
    PROCESS_UNTIL(stream.is_done);
    CHECK_OK(stream.read_err);
    CHECK_EQ_U64(stream.read, stream.total);
    CHECK(!stream.is_wrong);
    stop();
}

TEST(small_calls_are_answered_while_a_stream_runs)
{
    start();
    struct echo_stream stream = { .total = 64 * MIB };
    echo_stream_start(&stream);
    PROCESS_UNTIL(stream.read > MIB);
    int answered = 0;
    while (!stream.is_done) {
        check_small_call();
        answered++;
    }
    CHECK(answered > 20);
    CHECK_EQ_U64(stream.read, stream.total);
    stop();
}

TEST(a_call_that_is_given_up_is_cancelled_over_there)
{
    start();
    struct process_call call = echo_call(60000);
    call.timeout_ms = 20;
    process_call_start(&call);
    PROCESS_UNTIL(call.is_done);
    /* Both sides keep the deadline; whoever is first says so. */
    CHECK(call.err == ERR_DEADLINE || (call.err == OK && call.code == GRPC_DEADLINE_EXCEEDED));
    check_small_call();
    stop(); /* would wait for an open call */
}

static void
run_abandoned(struct task *t, void *arg)
{
    struct echo_stream *s = arg;
    struct link_args args = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_ECHO_STREAM,
                              .component = PROCESS_COMPONENT,
                              .open_ended = true,
                              .message = process_echo_request(task_arena(t), 0, "") };
    s->open_err = link_call_open(t, process.link, &args, &s->call);
    if (s->open_err == OK)
        s->open_err = link_call_reply(t, &s->call);
    if (s->open_err == OK)
        s->write_err = link_call_write(t, &s->call, echo_bytes(0, 50000));
    link_call_finish(&s->call); /* nothing of it was read */
    s->is_done = true;
}

TEST(streams_left_in_the_middle_leave_nothing_behind)
{
    enum { COUNT = 800 }; /* 40 MB: far more than the link's credit, if it were lost */
    static struct echo_stream streams[COUNT];
    start();
    for (int i = 0; i < COUNT; i++) {
        REQUIRE(task_spawn(&process.worker, "abandoned", run_abandoned, &streams[i]) != NULL);
        PROCESS_UNTIL(streams[i].is_done);
        if (!CHECK_OK(streams[i].open_err) || !CHECK_OK(streams[i].write_err))
            break;
    }
    for (int i = 0; i < 100; i++)
        check_small_call();
    /* Of what is not yet given back there is less than the batch it comes in. */
    CHECK(process.link->credit.free > LIMIT_link_credit_bytes / 2);
    stop();
}

TEST(a_plugin_killed_in_the_middle_fails_what_was_open)
{
    start();
    struct echo_stream stream = { .total = UINT64_MAX };
    struct process_call call = echo_call(60000);
    echo_stream_start(&stream);
    process_call_start(&call);
    PROCESS_UNTIL(stream.read > 4 * MIB);
    REQUIRE(kill(process.pid, SIGKILL) == 0);
    PROCESS_UNTIL(stream.is_done && call.is_done);
    CHECK_EQ_INT(stream.read_err, ERR_PLUGIN_UNKNOWN);
    CHECK_EQ_INT(stream.write_err, ERR_PLUGIN_UNKNOWN);
    CHECK(!stream.is_wrong);
    CHECK_EQ_INT(call.err, ERR_PLUGIN_UNKNOWN);
    CHECK_EQ_INT(process.lost_count, 1);
    struct process_call late = echo_call(0);
    process_call_start(&late);
    PROCESS_UNTIL(late.is_done);
    CHECK_EQ_INT(late.err, ERR_PLUGIN_NOT_SENT);
    process_stop();
    CHECK(WIFSIGNALED(process.status));
    arena_fini(&arena);
}

TEST(a_plugin_that_is_stopped_costs_callers_their_deadlines_only)
{
    start();
    REQUIRE(kill(process.pid, SIGSTOP) == 0);
    struct process_call call = echo_call(0);
    call.timeout_ms = 50;
    process_call_start(&call);
    PROCESS_UNTIL(call.is_done);
    CHECK_EQ_INT(call.err, ERR_DEADLINE);
    REQUIRE(kill(process.pid, SIGCONT) == 0);
    check_small_call();
    stop();
}
