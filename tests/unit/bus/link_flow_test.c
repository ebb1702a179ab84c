/* SPDX-License-Identifier: Apache-2.0 */
/* Long payloads both ways, under credits that the plugin gives, withholds or oversteps. */
#include "base/inject.h"
#include "unit/bus/link_driver.h"

enum { MIB = 1024 * 1024, PART_BYTES = 128 * 1024 };

/* --- a plugin that follows the rules -----------------------------------------------------------*/

/* What the scripted plugin may send, learnt from credit frames; calls by number. */
enum { CALLS_MAX = 512 };
static uint64_t call_credit[CALLS_MAX], link_credit;
/* What it has received, checked against the pattern. */
static uint64_t received[CALLS_MAX], received_total;
static bool is_wrong, gives_credit;

static void
start_flow(void)
{
    start_ready();
    for (int i = 0; i < CALLS_MAX; i++) {
        call_credit[i] = LIMIT_call_credit_bytes;
        received[i] = 0;
    }
    link_credit = LIMIT_link_credit_bytes;
    received_total = 0;
    is_wrong = false;
    gives_credit = true;
}

static void
take_bytes(uint64_t call, struct slice payload, size_t message_bytes)
{
    struct slice bytes = slice_from(payload, message_bytes);
    is_wrong = is_wrong || !is_pattern(received[call], bytes);
    received[call] += bytes.len;
    received_total += bytes.len;
    if (!gives_credit || payload.len == 0)
        return;
    peer_send((struct frame){ .kind = FRAME_CREDIT, .call = call, .credit_bytes = payload.len });
    peer_send((struct frame){ .kind = FRAME_CREDIT, .credit_bytes = payload.len });
}

/* Takes in one frame; its kind, or 0 if there is none. `ret_call` may be NULL. */
static uint32_t
take_frame(uint64_t *ret_call)
{
    struct frame frame;
    if (!peer_next(&frame))
        return 0;
    REQUIRE(frame.call < CALLS_MAX);
    if (frame.kind == FRAME_CREDIT && frame.call == 0)
        link_credit += frame.credit_bytes;
    else if (frame.kind == FRAME_CREDIT)
        call_credit[frame.call] += frame.credit_bytes;
    if (frame.kind == FRAME_REQUEST || frame.kind == FRAME_DATA)
        take_bytes(frame.call, frame.payload, frame.message_bytes);
    if (ret_call != NULL)
        *ret_call = frame.call;
    return frame.kind;
}

static void
take_all(void)
{
    while (take_frame(NULL) != 0) {
    }
}

static void
settle_and_take(void)
{
    for (int i = 0; i < 20; i++) {
        turn();
        take_all();
    }
}

/* Sends as much of the pattern as credit allows, in frames of at most `frame_bytes`. */
static void
give_bytes(uint64_t call, uint64_t *sent, uint64_t total, size_t frame_bytes)
{
    while (*sent < total && call_credit[call] > 0 && link_credit > 0 && peer.out.len == 0) {
        uint64_t bytes = total - *sent;
        bytes = bytes < frame_bytes ? bytes : frame_bytes;
        bytes = bytes < call_credit[call] ? bytes : call_credit[call];
        bytes = bytes < link_credit ? bytes : link_credit;
        peer_send((struct frame){
            .kind = FRAME_DATA, .call = call, .payload = pattern_slice(*sent, (size_t)bytes) });
        *sent += bytes;
        call_credit[call] -= bytes;
        link_credit -= bytes;
        peer_flush();
    }
}

static struct slice *
pattern_parts(size_t count)
{
    struct slice *parts = calloc(count, sizeof *parts);
    REQUIRE(parts != NULL);
    for (size_t i = 0; i < count; i++)
        parts[i] = pattern_slice(i * PART_BYTES, PART_BYTES);
    return parts;
}

static struct job
upload_job(const struct slice *parts, size_t count)
{
    struct job job = small_job();
    job.args.body_parts = parts;
    job.args.body_part_count = count;
    return job;
}

/* --- requests ----------------------------------------------------------------------------------*/

TEST(a_request_of_100_mib_goes_out_in_bounded_memory)
{
    enum { COUNT = 100 * MIB / PART_BYTES };
    struct slice *parts = pattern_parts(COUNT);
    start_flow();
    struct job job = upload_job(parts, COUNT);
    start_job(&job);
    size_t largest = 0;
    for (int i = 0; i < TURNS_MAX && received[1] < 100 * MIB; i++) {
        turn();
        take_all();
        if (link_->stream.out.capacity > largest)
            largest = link_->stream.out.capacity;
    }
    CHECK_EQ_U64(received[1], 100 * MIB);
    CHECK(!is_wrong);
    CHECK(largest <= MIB);
    peer_answer(1, SLICE("stored"));
    settle_and_take();
    CHECK_OK(job.err);
    CHECK_EQ_INT(link_->credit.free, LIMIT_link_credit_bytes);
    stop();
    free(parts);
}

TEST(a_body_of_very_many_small_parts_arrives_in_order)
{
    enum { COUNT = 5000 };
    static struct slice parts[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        parts[i] = pattern_slice(i * 3, i == 7 ? 0 : 3);
    for (size_t i = 8; i < COUNT; i++)
        parts[i] = pattern_slice((i - 1) * 3, 3);
    start_flow();
    struct job job = upload_job(parts, COUNT);
    start_job(&job);
    for (int i = 0; i < 1000 && received[1] < (COUNT - 1) * 3; i++) {
        turn();
        take_all();
    }
    CHECK_EQ_U64(received[1], (COUNT - 1) * 3);
    CHECK(!is_wrong);
    peer_answer(1, SLICE_EMPTY);
    settle_and_take();
    CHECK_OK(job.err);
    CHECK_EQ_INT(link_->credit.free, LIMIT_link_credit_bytes);
    stop();
}

TEST(without_credit_of_the_call_a_request_stops_at_64_kib)
{
    struct slice *parts = pattern_parts(8);
    start_flow();
    gives_credit = false;
    struct job job = upload_job(parts, 8);
    start_job(&job);
    settle_and_take();
    CHECK_EQ_U64(received[1], LIMIT_call_credit_bytes - 5); /* the message counts too */
    peer_send((struct frame){ .kind = FRAME_CREDIT, .call = 1, .credit_bytes = 1 });
    settle_and_take();
    CHECK_EQ_U64(received[1], LIMIT_call_credit_bytes - 4);
    /* More than can be outstanding counts as that much. */
    peer_send((struct frame){ .kind = FRAME_CREDIT, .call = 1, .credit_bytes = UINT64_MAX });
    settle_and_take();
    CHECK_EQ_U64(received[1], 2 * LIMIT_call_credit_bytes - 4);
    CHECK(!job.is_done);
    CHECK_EQ_INT(lost_count, 0);
    peer_answer(1, SLICE_EMPTY);
    settle_and_take();
    CHECK_OK(job.err);
    stop();
    free(parts);
}

TEST(without_credit_of_the_link_all_calls_together_stop_at_8_mib)
{
    enum { COUNT = 160, FULL = LIMIT_link_credit_bytes / LIMIT_call_credit_bytes };
    _Static_assert((int)COUNT > (int)FULL, "more than the link takes");
    static struct job jobs[COUNT];
    struct slice *parts = pattern_parts(4);
    start_flow();
    gives_credit = false;
    for (int i = 0; i < COUNT; i++) {
        jobs[i] = upload_job(parts, 4);
        jobs[i].args.message = SLICE_EMPTY;
        jobs[i].timeout_ms = 1000;
        start_job(&jobs[i]);
    }
    for (int i = 0; i < 1000 && received_total < LIMIT_link_credit_bytes; i++)
        settle_and_take();
    settle_and_take();
    CHECK_EQ_U64(received_total, (uint64_t)FULL * LIMIT_call_credit_bytes);
    CHECK_EQ_INT(link_->credit.free, 0);
    clock_advance_ms(1000);
    settle();
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ_INT(jobs[i].err, ERR_DEADLINE);
    /* Cancelled calls do not give the link's credit back; the plugin does, as it reads. */
    CHECK_EQ_INT(link_->credit.free, 0);
    peer_send((struct frame){ .kind = FRAME_CREDIT, .credit_bytes = UINT64_MAX });
    settle();
    CHECK_EQ_INT(link_->credit.free, LIMIT_link_credit_bytes);
    stop();
    free(parts);
}

TEST(a_call_that_waits_for_credit_of_the_link_is_sent_when_some_comes)
{
    start_flow();
    link_->credit.free = 0;
    struct job job = small_job(), late = small_job();
    job.timeout_ms = 100;
    late.timeout_ms = 10;
    start_job(&job);
    start_job(&late);
    settle_and_take();
    clock_advance_ms(10);
    settle();
    CHECK_EQ_INT(late.err, ERR_DEADLINE);
    peer_send((struct frame){ .kind = FRAME_CREDIT, .credit_bytes = 5 });
    struct frame request = peer_expect(FRAME_REQUEST);
    CHECK_EQ_U64(request.call, 1);
    CHECK_EQ_U64(request.timeout_ms, 90);               /* what is left when it is sent */
    peer_answer(3, SLICE("to a call that never left")); /* its number was used up */
    peer_answer(1, SLICE("ok"));
    settle();
    CHECK_OK(job.err);
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

TEST(an_answer_to_a_call_that_still_waits_for_credit_ends_the_link)
{
    start_flow();
    link_->credit.free = 0;
    struct job job = small_job();
    start_job(&job);
    settle();
    peer_answer(1, SLICE("a guess"));
    check_lost("an answer to a call that was never made");
    CHECK_EQ_INT(job.err, ERR_PLUGIN_NOT_SENT);
    stop();
}

TEST(too_many_waiters_for_credit_are_refused_at_once)
{
    start_flow();
    link_->credit.free = 0;
    link_->credit.waiters_max = 1;
    struct job first = small_job(), second = small_job();
    start_job(&first);
    start_job(&second);
    settle();
    CHECK(!first.is_done);
    CHECK_EQ_INT(second.err, ERR_OVERLOADED);
    stop();
    CHECK_EQ_INT(first.err, ERR_PLUGIN_NOT_SENT);
}

TEST(an_early_answer_ends_the_upload)
{
    struct slice *parts = pattern_parts(64);
    start_flow();
    struct job job = upload_job(parts, 64);
    start_job(&job);
    while (received[1] < MIB) {
        turn();
        (void)take_frame(NULL);
    }
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = 1,
                              .has_status = true,
                              .status = { .code = GRPC_RESOURCE_EXHAUSTED } });
    settle_and_take();
    CHECK(job.is_done);
    CHECK_OK(job.err);
    CHECK_EQ_INT(job.status.code, GRPC_RESOURCE_EXHAUSTED);
    CHECK(received[1] < 4 * MIB);
    CHECK_EQ_INT(link_->credit.free, LIMIT_link_credit_bytes);
    stop();
    free(parts);
}

TEST(an_upload_ends_at_its_deadline_and_is_cancelled)
{
    struct slice *parts = pattern_parts(64);
    start_flow();
    struct job job = upload_job(parts, 64);
    job.args.is_write = true; /* not yet whole: nothing has been done */
    job.timeout_ms = 100;
    start_job(&job);
    while (received[1] < MIB) {
        turn();
        (void)take_frame(NULL);
    }
    clock_advance_ms(100);
    CHECK_EQ_U64(peer_expect(FRAME_CANCEL).call, 1);
    CHECK_EQ_INT(job.err, ERR_DEADLINE);
    settle();
    stop();
    free(parts);
}

TEST(a_frame_that_cannot_be_sent_gives_its_credit_back)
{
    start_flow();
    REQUIRE(inject_setup("link_write_fail:#1"));
    struct job job = small_job();
    start_job(&job);
    settle();
    CHECK_EQ_INT(job.err, ERR_OVERLOADED);
    CHECK_EQ_INT(link_->credit.free, LIMIT_link_credit_bytes);
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

/* --- fairness ----------------------------------------------------------------------------------*/

TEST(a_small_call_is_answered_while_a_huge_one_is_under_way)
{
    enum { COUNT = 64 * MIB / PART_BYTES };
    struct slice *parts = pattern_parts(COUNT);
    start_flow();
    struct job huge = upload_job(parts, COUNT), small = small_job();
    start_job(&huge);
    while (received[1] < 8 * MIB) {
        turn();
        take_all();
    }
    start_job(&small);
    uint64_t call = 0, before = received[1];
    for (int i = 0; i < TURNS_MAX && call != 3; i++) {
        turn();
        while (call != 3 && take_frame(&call) != 0) {
        }
    }
    CHECK(received[1] - before <= MIB);
    peer_answer(3, SLICE("quick"));
    while (!small.is_done && received[1] < 64 * MIB) {
        turn();
        take_all();
    }
    CHECK(small.is_done);
    CHECK(received[1] < 64 * MIB);
    while (received[1] < 64 * MIB) {
        turn();
        take_all();
    }
    peer_answer(1, SLICE_EMPTY);
    settle_and_take();
    CHECK_OK(huge.err);
    stop();
    free(parts);
}

TEST(huge_calls_take_turns)
{
    enum { COUNT = 16 * MIB / PART_BYTES, CALLS = 4 };
    struct slice *parts = pattern_parts(COUNT);
    static struct job jobs[CALLS];
    start_flow();
    for (int i = 0; i < CALLS; i++) {
        jobs[i] = upload_job(parts, COUNT);
        start_job(&jobs[i]);
    }
    while (received_total < 32 * MIB) {
        turn();
        (void)take_frame(NULL);
    }
    for (int i = 0; i < CALLS; i++) {
        CHECK(received[1 + 2 * i] > 7 * MIB);
        CHECK(received[1 + 2 * i] < 9 * MIB);
    }
    CHECK(!is_wrong);
    stop();
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ_INT(jobs[i].err, ERR_PLUGIN_UNKNOWN);
    free(parts);
}

/* --- replies -----------------------------------------------------------------------------------*/

/* A reply of `total` pattern bytes after a message of one byte. */
static void
begin_long_reply(uint64_t call, uint64_t total)
{
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = call,
                              .message_bytes = 1,
                              .payload_bytes = 1 + total,
                              .payload = SLICE("m") });
    call_credit[call] -= 1;
    link_credit -= 1;
}

TEST(a_reply_of_100_mib_comes_in_in_bounded_memory)
{
    const size_t frame_sizes[] = { 1000, 64 * 1024, 200 * 1024 };
    for (size_t s = 0; s < ARRAY_LEN(frame_sizes); s++) {
        start_flow();
        struct job job = small_job();
        start_job(&job);
        settle();
        take_all();
        const uint64_t total = s == 0 ? 4 * MIB : 100 * MIB;
        uint64_t sent = 0;
        begin_long_reply(1, total);
        for (int i = 0; i < TURNS_MAX && !job.is_done; i++) {
            give_bytes(1, &sent, total, frame_sizes[s]);
            turn();
            take_all();
        }
        CHECK(job.is_done);
        CHECK_OK(job.err);
        CHECK_OK(job.body_err);
        CHECK_EQ_INT(job.announced, total);
        CHECK_EQ_U64(job.body_bytes, total);
        CHECK(!job.body_is_wrong);
        CHECK(job.held_max <= MIB);
        CHECK(link_->in.capacity <= MIB);
        stop();
    }
}

TEST(a_slow_reader_holds_back_its_own_call_only)
{
    start_flow();
    struct job slow = small_job(), quick = small_job();
    slow.reads_slowly = true;
    start_job(&slow);
    start_job(&quick);
    settle();
    take_all();
    uint64_t slow_sent = 0, quick_sent = 0;
    begin_long_reply(1, 32 * MIB);
    begin_long_reply(3, 32 * MIB);
    for (int i = 0; i < TURNS_MAX && !quick.is_done; i++) {
        give_bytes(1, &slow_sent, 32 * MIB, 64 * 1024);
        give_bytes(3, &quick_sent, 32 * MIB, 64 * 1024);
        turn();
        take_all();
    }
    CHECK(quick.is_done);
    CHECK_EQ_U64(quick.body_bytes, 32 * MIB);
    CHECK(slow_sent <= LIMIT_call_credit_bytes);
    CHECK(slow.call->body.capacity <= LIMIT_call_credit_bytes);
    permit(&slow, 1);
    settle_and_take();
    CHECK(call_credit[1] > 0); /* what was read may come again */
    permit(&slow, 1000000);
    for (int i = 0; i < TURNS_MAX && !slow.is_done; i++) {
        give_bytes(1, &slow_sent, 32 * MIB, 64 * 1024);
        turn();
        take_all();
    }
    CHECK_OK(slow.body_err);
    CHECK_EQ_U64(slow.body_bytes, 32 * MIB);
    CHECK(!slow.body_is_wrong);
    CHECK(slow.held_max <= MIB);
    stop();
}

TEST(payload_beyond_the_credit_of_its_call_ends_the_link)
{
    start_flow();
    struct job job = small_job();
    job.reads_slowly = true;
    start_job(&job);
    settle();
    begin_long_reply(1, 32 * MIB);
    uint64_t sent = 0;
    while (call_credit[1] > 0) {
        give_bytes(1, &sent, 32 * MIB, 64 * 1024);
        turn();
    }
    settle();
    CHECK_EQ_INT(lost_count, 0);
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 1, .payload = SLICE("x") });
    check_lost("payload without credit on a call");
    permit(&job, 10);
    settle();
    CHECK_OK(job.err);
    CHECK_EQ_INT(job.body_err, ERR_PLUGIN_UNKNOWN);
    CHECK_EQ_U64(job.body_bytes, LIMIT_call_credit_bytes - 1); /* what was in order is delivered */
    stop();
}

TEST(payload_beyond_the_credit_of_the_link_ends_it)
{
    start_flow();
    struct job job = small_job();
    start_job(&job);
    settle();
    link_->intake.window_bytes = 3; /* as if the rest were under way already */
    peer_answer(1, SLICE("four"));
    check_lost("payload without credit on the link");
    CHECK_EQ_INT(job.err, ERR_PLUGIN_UNKNOWN);
    stop();
}

TEST(payload_of_calls_that_are_over_counts_for_the_link)
{
    start_flow();
    struct job job = small_job();
    job.timeout_ms = 10;
    start_job(&job);
    settle();
    clock_advance_ms(10);
    settle();
    CHECK_EQ_INT(job.err, ERR_DEADLINE);
    for (int i = 0; i < 40; i++) /* 2.5 MiB: a quarter is given back */
        peer_send((struct frame){
            .kind = FRAME_DATA, .call = 1, .payload = pattern_slice(0, 64 * 1024) });
    settle_and_take();
    CHECK_EQ_U64(link_credit, LIMIT_link_credit_bytes + 2 * MIB);
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

TEST(a_message_of_many_frames_becomes_whole)
{
    start_flow();
    struct job job = small_job();
    start_job(&job);
    settle();
    take_all();
    const uint64_t total = LIMIT_message_bytes_max;
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = 1,
                              .message_bytes = (uint32_t)total,
                              .payload_bytes = total + 10 });
    uint64_t sent = 0;
    while (sent < total + 10) {
        give_bytes(1, &sent, total + 10, 60000); /* one frame holds the end and the beginning */
        turn();
        take_all();
    }
    settle();
    CHECK(job.is_done);
    CHECK_EQ_INT(job.message_len, total);
    CHECK_EQ_INT(job.message[200], pattern(200));
    CHECK_EQ_U64(job.body_bytes, 10);
    stop();
}

TEST(a_reader_that_gives_up_cancels_the_rest)
{
    start_flow();
    struct job job = small_job();
    job.timeout_ms = 100;
    start_job(&job);
    settle();
    begin_long_reply(1, MIB);
    settle();
    clock_advance_ms(100);
    CHECK_EQ_U64(peer_expect(FRAME_CANCEL).call, 1);
    CHECK_OK(job.err);
    CHECK_EQ_INT(job.body_err, ERR_DEADLINE);
    stop();
}

/* --- open ends ---------------------------------------------------------------------------------*/

TEST(an_open_ended_reply_ends_with_its_end)
{
    start_flow();
    struct job job = small_job();
    start_job(&job);
    settle();
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = 1,
                              .message_bytes = 0,
                              .open_ended = true,
                              .payload = pattern_slice(0, 100) });
    settle();
    CHECK(!job.is_done);
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 1, .payload = pattern_slice(100, 100) });
    peer_send((struct frame){ .kind = FRAME_END, .call = 1 });
    settle();
    CHECK(job.is_done);
    CHECK_EQ_INT(job.announced, -1);
    CHECK_EQ_U64(job.body_bytes, 200);
    CHECK_OK(job.body_err);
    CHECK(!job.body_is_wrong);
    CHECK_EQ_INT(peer_count(FRAME_CANCEL), 0);
    stop();
}

TEST(an_open_ended_reply_may_break_off)
{
    start_flow();
    struct job job = small_job();
    start_job(&job);
    settle();
    peer_send((struct frame){
        .kind = FRAME_RESPONSE, .call = 1, .open_ended = true, .payload = pattern_slice(0, 100) });
    peer_send((struct frame){
        .kind = FRAME_END, .call = 1, .has_status = true, .status = { .code = GRPC_DATA_LOSS } });
    settle();
    CHECK_OK(job.err);
    CHECK_EQ_INT(job.body_err, ERR_PLUGIN_FAILED);
    CHECK_EQ_U64(job.body_bytes, 100);
    stop();
}

TEST(data_after_the_end_ends_the_link)
{
    start_flow();
    struct job job = small_job();
    job.reads_slowly = true;
    start_job(&job);
    settle();
    peer_send((struct frame){ .kind = FRAME_RESPONSE, .call = 1, .open_ended = true });
    peer_send((struct frame){ .kind = FRAME_END, .call = 1 });
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 1, .payload = SLICE("x") });
    check_lost("more payload than announced");
    permit(&job, 1);
    settle();
    CHECK_OK(job.body_err);
    stop();
}

/* A stream both ways: one task writes, another reads what comes back. */
struct echo {
    struct link_call call;
    uint64_t total;
    uint64_t written;
    err_t write_err;
    err_t open_err;
    err_t read_err;
    uint64_t read;
    bool is_wrong;
    bool has_written;
    bool has_read;
};

static void
run_writer(struct task *t, void *arg)
{
    struct echo *echo = arg;
    while (echo->write_err == OK && echo->written < echo->total) {
        echo->write_err = link_call_write(t, &echo->call, pattern_slice(echo->written, 100000));
        echo->written += 100000;
    }
    if (echo->write_err == OK)
        echo->write_err = link_call_end(&echo->call);
    echo->has_written = true;
}

static void
run_echo(struct task *t, void *arg)
{
    struct echo *echo = arg;
    echo->open_err = link_call_open(
        t, link_, &(struct link_args){ .method = 241, .open_ended = true }, &echo->call);
    if (echo->open_err == OK)
        echo->open_err = link_call_reply(t, &echo->call);
    REQUIRE(task_spawn(&worker, "writer", run_writer, echo) != NULL);
    struct slice chunk = SLICE_EMPTY;
    do {
        echo->read_err = link_call_body(t, &echo->call, &chunk);
        if (echo->read_err != OK)
            break;
        echo->is_wrong = echo->is_wrong || !is_pattern(echo->read, chunk);
        echo->read += chunk.len;
    } while (chunk.len > 0);
    while (!echo->has_written)
        task_yield(t);
    link_call_finish(&echo->call);
    echo->has_read = true;
}

TEST(a_stream_goes_both_ways_at_once)
{
    start_flow();
    struct echo echo = { .total = 20 * 1000 * 1000 };
    REQUIRE(task_spawn(&worker, "echo", run_echo, &echo) != NULL);
    CHECK(peer_expect(FRAME_REQUEST).open_ended);
    peer_send((struct frame){ .kind = FRAME_RESPONSE, .call = 1, .open_ended = true });
    uint64_t sent = 0;
    bool is_over = false;
    for (int i = 0; i < TURNS_MAX && !echo.has_read; i++) {
        turn();
        uint32_t kind;
        while ((kind = take_frame(NULL)) != 0)
            is_over = is_over || kind == FRAME_END;
        give_bytes(1, &sent, received[1], 50000);
        if (is_over && sent == received[1]) {
            peer_send((struct frame){ .kind = FRAME_END, .call = 1 });
            is_over = false;
        }
    }
    CHECK(echo.has_read);
    CHECK_OK(echo.open_err);
    CHECK_OK(echo.write_err);
    CHECK_OK(echo.read_err);
    CHECK_EQ_U64(received[1], echo.total);
    CHECK_EQ_U64(echo.read, echo.total);
    CHECK(!echo.is_wrong && !is_wrong);
    CHECK_EQ_INT(peer_count(FRAME_CANCEL), 0);
    stop();
}

TEST(a_plugin_may_end_a_stream_early)
{
    start_flow();
    struct echo echo = { .total = 20 * 1000 * 1000 };
    REQUIRE(task_spawn(&worker, "echo", run_echo, &echo) != NULL);
    (void)peer_expect(FRAME_REQUEST);
    peer_send((struct frame){ .kind = FRAME_RESPONSE, .call = 1, .open_ended = true });
    while (received[1] < MIB) {
        turn();
        take_all();
    }
    peer_send((struct frame){ .kind = FRAME_END, .call = 1 });
    settle_and_take();
    CHECK(echo.has_read);
    CHECK_EQ_INT(echo.write_err, ERR_CLOSED);
    CHECK_OK(echo.read_err);
    CHECK(received[1] < 4 * MIB);
    CHECK_EQ_INT(lost_count, 0);
    stop();
}
