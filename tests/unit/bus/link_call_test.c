/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to a plugin that answers well, badly, late or not at all. */
#include "unit/bus/link_driver.h"

/* --- answers -----------------------------------------------------------------------------------*/

TEST(a_call_carries_what_it_was_given_and_returns_the_answer)
{
    start_ready();
    const struct slice parts[] = { SLICE("bo"), SLICE_EMPTY, SLICE("dy") };
    struct job job = { .args = { .method = 32,
                                 .component = 5,
                                 .depth = 2,
                                 .message = SLICE("question"),
                                 .body_parts = parts,
                                 .body_part_count = 3,
                                 .request_id = SLICE("0123456789abcdef"),
                                 .traceparent = SLICE("00-1-2-01"),
                                 .tracestate = SLICE("a=b") },
                       .timeout_ms = 250 };
    start_job(&job);
    struct frame request = peer_expect(FRAME_REQUEST);
    CHECK_EQ_U64(request.call, 1);
    CHECK_EQ_INT(request.epoch, EPOCH);
    CHECK_EQ_INT(request.method, 32);
    CHECK_EQ_INT(request.component, 5);
    CHECK_EQ_INT(request.depth, 2);
    CHECK_EQ_U64(request.timeout_ms, 250);
    CHECK_EQ_INT(request.message_bytes, 8);
    CHECK_EQ_U64(request.payload_bytes, 12);
    CHECK(!request.open_ended);
    CHECK_SLICE_IS(request.payload, "questionbody");
    CHECK_SLICE_IS(request.request_id, "0123456789abcdef");
    CHECK_SLICE_IS(request.traceparent, "00-1-2-01");
    CHECK_SLICE_IS(request.tracestate, "a=b");
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = 1,
                              .message_bytes = 6,
                              .payload_bytes = 6,
                              .payload = SLICE("answer") });
    settle();
    CHECK(job.is_done);
    CHECK_OK(job.err);
    CHECK_EQ_MEM(job.message, job.message_len, "answer", 6);
    CHECK_EQ_INT(job.announced, 0);
    CHECK_EQ_INT(job.body_bytes, 0);
    CHECK_EQ_INT(answered_count, 1);
    CHECK_EQ_INT(peer_count(FRAME_CANCEL), 0);
    job = small_job();
    start_job(&job);
    peer_answer(peer_expect(FRAME_REQUEST).call, SLICE("again"));
    settle();
    CHECK(job.is_done);
    CHECK_EQ_INT(link_->answered_count, 2);
    CHECK_EQ_INT(answered_count, 1);
    stop();
}

TEST(a_call_without_a_deadline_says_so)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    CHECK_EQ_U64(peer_expect(FRAME_REQUEST).timeout_ms, 0);
    peer_answer(1, SLICE("x"));
    settle();
    CHECK(job.is_done);
    stop();
}

TEST(trace_contexts_that_are_too_long_are_left_out)
{
    start_ready();
    struct job job = small_job();
    job.args.traceparent = pattern_slice(0, FRAME_TRACEPARENT_MAX + 1);
    job.args.tracestate = pattern_slice(0, FRAME_TRACESTATE_MAX + 1);
    start_job(&job);
    struct frame request = peer_expect(FRAME_REQUEST);
    CHECK_EQ_INT(request.traceparent.len, 0);
    CHECK_EQ_INT(request.tracestate.len, 0);
    peer_answer(1, SLICE("x"));
    settle();
    CHECK_OK(job.err);
    stop();
}

TEST(an_empty_answer_is_an_answer)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_answer(1, SLICE_EMPTY);
    settle();
    CHECK(job.is_done);
    CHECK_OK(job.err);
    CHECK_EQ_INT(job.message_len, 0);
    CHECK_EQ_INT(job.status.code, 0);
    stop();
}

TEST(what_the_plugin_says_went_wrong_is_delivered)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = 1,
                              .has_status = true,
                              .status = { .code = GRPC_ABORTED,
                                          .message = SLICE("etag mismatch"),
                                          .reason = SLICE("ETAG_MISMATCH"),
                                          .effect = 2 } });
    settle();
    CHECK_OK(job.err);
    CHECK_EQ_INT(job.status.code, GRPC_ABORTED);
    CHECK_EQ_INT(job.status.effect, 2);
    CHECK_EQ_STR(job.status_message, "etag mismatch");
    stop();
}

TEST(many_calls_are_answered_in_any_order)
{
    enum { COUNT = 2000 };
    static struct job jobs[COUNT];
    static char texts[COUNT][16];
    start_ready();
    for (int i = 0; i < COUNT; i++) {
        jobs[i] = small_job();
        snprintf(texts[i], sizeof texts[i], "%d", i);
        jobs[i].args.message = slice_str(texts[i]);
        start_job(&jobs[i]);
    }
    settle();
    CHECK_EQ_INT(link_->call_count, COUNT);
    /* 1009 is prime to 2000: each is answered once, in no order. */
    for (int i = 0; i < COUNT; i++) {
        int which = (i * 1009) % COUNT;
        peer_answer(1 + 2 * (uint64_t)which, slice_str(texts[which]));
    }
    settle();
    int wrong = 0;
    for (int i = 0; i < COUNT; i++)
        wrong += !jobs[i].is_done || jobs[i].err != OK ||
                 !slice_eq(slice_of(jobs[i].message, jobs[i].message_len), slice_str(texts[i]));
    CHECK_EQ_INT(wrong, 0);
    stop();
}

TEST(a_second_answer_is_ignored)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_answer(1, SLICE("first"));
    peer_answer(1, SLICE("second"));
    settle();
    peer_answer(1, SLICE("third"));
    settle();
    CHECK_EQ_MEM(job.message, job.message_len, "first", 5);
    CHECK_EQ_INT(link_->answered_count, 1);
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

TEST(a_second_answer_while_the_first_is_under_way_is_ignored)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_send((struct frame){
        .kind = FRAME_RESPONSE, .call = 1, .message_bytes = 10, .payload_bytes = 10 });
    peer_answer(1, SLICE("second"));
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 1, .payload = SLICE("0123456789") });
    settle();
    CHECK_OK(job.err);
    CHECK_EQ_MEM(job.message, job.message_len, "0123456789", 10);
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

TEST(an_answer_to_a_call_never_made_ends_the_link)
{
    start_ready();
    peer_answer(1, SLICE("x"));
    check_lost("an answer to a call that was never made");
    stop();
}

TEST(an_answer_to_a_plugins_own_number_ends_the_link)
{
    start_ready();
    peer_answer(2, SLICE("x"));
    check_lost("an answer to a call that was never made");
    stop();
}

TEST(data_before_the_response_ends_the_link)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 1, .payload = SLICE("x") });
    check_lost("data without a response");
    CHECK_EQ_INT(job.err, ERR_PLUGIN_UNKNOWN);
    stop();
}

TEST(more_payload_than_announced_ends_the_link)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_send((struct frame){
        .kind = FRAME_RESPONSE, .call = 1, .payload_bytes = 2, .payload = SLICE("123") });
    check_lost("more payload than announced");
    CHECK_EQ_INT(job.err, ERR_PLUGIN_UNKNOWN);
    stop();
}

TEST(more_data_than_announced_ends_the_link)
{
    start_ready();
    struct job job = small_job();
    job.reads_slowly = true;
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_send((struct frame){
        .kind = FRAME_RESPONSE, .call = 1, .payload_bytes = 4, .payload = pattern_slice(0, 3) });
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 1, .payload = SLICE("45") });
    check_lost("more payload than announced");
    permit(&job, 10);
    settle();
    CHECK_EQ_INT(job.body_err, ERR_PLUGIN_UNKNOWN);
    stop();
}

TEST(data_after_the_whole_payload_ends_the_link)
{
    start_ready();
    struct job job = small_job();
    job.reads_slowly = true;
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_answer(1, SLICE("whole"));
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 1 });
    check_lost("more payload than announced");
    permit(&job, 10);
    settle();
    CHECK_OK(job.err);
    CHECK_OK(job.body_err); /* it was whole */
    stop();
}

TEST(impossible_lengths_end_the_link)
{
    const struct frame bad[] = {
        { .kind = FRAME_RESPONSE, .call = 1, .message_bytes = 5, .payload_bytes = 4 },
        { .kind = FRAME_RESPONSE,
          .call = 1,
          .message_bytes = LIMIT_message_bytes_max + 1,
          .payload_bytes = LIMIT_message_bytes_max + 1 },
        { .kind = FRAME_RESPONSE,
          .call = 1,
          .message_bytes = UINT32_MAX,
          .payload_bytes = UINT64_MAX },
        { .kind = FRAME_RESPONSE, .call = 1, .payload_bytes = UINT64_MAX },
        { .kind = FRAME_RESPONSE, .call = 1, .payload_bytes = 1 + (uint64_t)INT64_MAX },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        start_ready();
        struct job job = small_job();
        start_job(&job);
        (void)peer_expect(FRAME_REQUEST);
        peer_send(bad[i]);
        check_lost("impossible lengths in a response");
        CHECK_EQ_INT(job.err, ERR_PLUGIN_UNKNOWN);
        stop();
    }
}

TEST(an_end_where_none_belongs_ends_the_link)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_send((struct frame){ .kind = FRAME_END, .call = 1 });
    check_lost("an end where none belongs");
    stop();
}

TEST(too_large_a_message_is_refused_before_it_is_sent)
{
    start_ready();
    struct job job = small_job();
    job.args.message.len = LIMIT_message_bytes_max + 1;
    start_job(&job);
    settle();
    CHECK_EQ_INT(job.err, ERR_TOO_LARGE);
    CHECK_EQ_INT(peer_count(FRAME_REQUEST), 0);
    stop();
}

/* --- deadlines and cancelling ------------------------------------------------------------------*/

TEST(a_silent_plugin_costs_the_caller_no_more_than_its_deadline)
{
    start_ready();
    struct job job = small_job();
    job.timeout_ms = 100;
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    clock_advance_ms(99);
    settle();
    CHECK(!job.is_done);
    clock_advance_ms(1);
    CHECK_EQ_U64(peer_expect(FRAME_CANCEL).call, 1);
    CHECK_EQ_INT(job.err, ERR_DEADLINE);
    peer_answer(1, SLICE("too late"));
    settle();
    CHECK_EQ_INT(lost_count, 0);
    CHECK_EQ_INT(link_->answered_count, 0);
    stop();
}

static void
run_late(struct task *t, void *arg)
{
    struct job *job = arg;
    (void)task_deadline_push(t, 10);
    clock_advance_ms(10);
    struct link_call call;
    job->err = link_call(t, link_, &job->args, &call);
    link_call_finish(&call);
    job->is_done = true;
}

TEST(a_call_whose_time_is_over_is_not_sent)
{
    start_ready();
    struct job job = small_job();
    REQUIRE(task_spawn(&worker, "late", run_late, &job) != NULL);
    settle();
    CHECK_EQ_INT(job.err, ERR_DEADLINE);
    CHECK_EQ_INT(peer_count(FRAME_REQUEST) + peer_count(FRAME_CANCEL), 0);
    CHECK_EQ_INT(link_->credit.free, LIMIT_link_credit_bytes);
    stop();
}

static void
cancel_in_turn(struct mail *mail)
{
    struct job *job = *(struct job **)(mail + 1);
    if (job->task != NULL)
        task_cancel(job->task);
    free(mail);
}

/* Cancels the task on its own worker, as the rules want it. */
static void
cancel(struct job *job)
{
    struct mail *mail = malloc(sizeof *mail + sizeof job);
    REQUIRE(mail != NULL);
    memcpy(mail + 1, &job, sizeof job);
    worker_post(&worker, mail, cancel_in_turn);
    settle();
}

TEST(cancelling_the_caller_cancels_the_call)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    cancel(&job);
    CHECK(job.is_done);
    CHECK_EQ_INT(job.err, ERR_CANCELLED);
    CHECK_EQ_U64(peer_expect(FRAME_CANCEL).call, 1);
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = 1,
                              .has_status = true,
                              .status = { .code = GRPC_CANCELLED } });
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 1, .payload = SLICE("late") });
    peer_send((struct frame){ .kind = FRAME_END, .call = 1 });
    peer_send((struct frame){ .kind = FRAME_CREDIT, .call = 1, .credit_bytes = 1 });
    settle();
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

TEST(a_caller_cancelled_before_it_ran_sends_nothing)
{
    start_ready();
    struct job job = small_job();
    job.args.is_write = true;
    start_job(&job);
    cancel(&job);
    CHECK_EQ_INT(job.err, ERR_CANCELLED);
    CHECK_EQ_INT(peer_count(FRAME_REQUEST), 0);
    stop();
}

TEST(a_write_that_was_sent_is_not_cancelled_by_a_client_that_leaves)
{
    start_ready();
    struct job job = small_job();
    job.args.is_write = true;
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    cancel(&job);
    CHECK(!job.is_done);
    CHECK_EQ_INT(peer_count(FRAME_CANCEL), 0);
    peer_answer(1, SLICE("done"));
    settle();
    CHECK(job.is_done);
    CHECK_OK(job.err);
    stop();
}

TEST(a_write_that_was_sent_still_ends_at_its_deadline)
{
    start_ready();
    struct job job = small_job();
    job.args.is_write = true;
    job.timeout_ms = 50;
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    clock_advance_ms(50);
    settle();
    CHECK_EQ_INT(job.err, ERR_DEADLINE);
    stop();
}

/* --- the link is lost --------------------------------------------------------------------------*/

TEST(calls_on_a_lost_link_were_sent_or_not)
{
    start_ready();
    struct job sent = small_job(), unsent = small_job(), later = small_job();
    start_job(&sent);
    (void)peer_expect(FRAME_REQUEST);
    link_->credit.free = 0; /* as if others had used it up */
    start_job(&unsent);
    settle();
    REQUIRE(shutdown(peer.fd, SHUT_RDWR) == 0);
    settle();
    CHECK_EQ_INT(sent.err, ERR_PLUGIN_UNKNOWN);
    CHECK_EQ_INT(unsent.err, ERR_PLUGIN_NOT_SENT);
    start_job(&later);
    settle();
    CHECK_EQ_INT(later.err, ERR_PLUGIN_NOT_SENT);
    stop();
}

TEST(an_answer_that_arrived_before_the_link_was_lost_counts)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_answer(1, SLICE("done"));
    peer_write("\x02", 1); /* ends the link in the same turn */
    settle();
    CHECK_EQ_STR(lost_reason, "bad message type");
    CHECK_OK(job.err);
    CHECK_EQ_MEM(job.message, job.message_len, "done", 4);
    CHECK_OK(job.body_err);
    stop();
}

TEST(an_answer_that_was_not_read_when_writing_failed_counts)
{
    start_ready();
    struct job job = small_job(), next = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    start_job(&next);
    peer_answer(1, SLICE("done"));
    peer_flush();
    /* It no longer listens; the kernel learns that by writing, before it has read the answer. */
    REQUIRE(shutdown(peer.fd, SHUT_RD) == 0);
    stream_pause(&link_->stream);
    worker_turn(&worker, 0);
    settle();
    CHECK_EQ_STR(lost_reason, "the plugin closed the connection");
    CHECK_OK(job.err);
    CHECK_EQ_INT(next.err, ERR_PLUGIN_UNKNOWN);
    stop();
}

TEST(a_body_cut_off_by_the_loss_of_the_link_is_an_error)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_send((struct frame){ .kind = FRAME_RESPONSE,
                              .call = 1,
                              .payload_bytes = 1000,
                              .payload = pattern_slice(0, 500) });
    settle();
    CHECK(!job.is_done);
    REQUIRE(shutdown(peer.fd, SHUT_RDWR) == 0);
    settle();
    CHECK_OK(job.err);
    CHECK_EQ_INT(job.body_err, ERR_PLUGIN_UNKNOWN);
    CHECK_EQ_INT(job.body_bytes, 500);
    stop();
}

TEST(a_plugin_that_stops_reading_costs_bounded_memory)
{
    enum { COUNT = 400 };
    static struct job jobs[COUNT];
    start_ready();
    peer.is_deaf = true;
    const struct slice body = pattern_slice(0, 200 * 1024);
    for (int i = 0; i < COUNT; i++) { /* 78 MiB */
        jobs[i] = small_job();
        jobs[i].args.body_parts = &body;
        jobs[i].args.body_part_count = 1;
        jobs[i].timeout_ms = 1000;
        start_job(&jobs[i]);
    }
    for (int i = 0; i < 200; i++)
        turn();
    CHECK(link_->stream.out.capacity <= LIMIT_link_output_bytes_max);
    CHECK(stream_queued(&link_->stream) <= LIMIT_link_credit_bytes + 1024 * 1024);
    CHECK_EQ_INT(link_->credit.free, 0);
    clock_advance_ms(1000);
    settle();
    int late = 0;
    for (int i = 0; i < COUNT; i++)
        late += jobs[i].is_done && jobs[i].err == ERR_DEADLINE;
    CHECK_EQ_INT(late, COUNT);
    CHECK_EQ_INT(link_->call_count, 0);
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

TEST(output_that_nobody_reads_ends_the_link_at_its_bound)
{
    start_ready();
    peer.is_deaf = true;
    static char message[3000];
    static struct job jobs[200];
    size_t largest = 0;
    /* Calls that time out are no longer open: only the queue itself bounds what they leave. */
    for (int round = 0; round < 200 && lost_count == 0; round++) {
        link_->credit.free =
            LIMIT_link_credit_bytes; /* as if the plugin gave it and did not read */
        for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
            jobs[i] = small_job();
            jobs[i].args.message = slice_of(message, sizeof message);
            jobs[i].timeout_ms = 10;
            start_job(&jobs[i]);
        }
        settle();
        clock_advance_ms(10);
        settle();
        if (link_->stream.out.capacity > largest)
            largest = link_->stream.out.capacity;
    }
    CHECK_EQ_STR(lost_reason, "the plugin does not read");
    CHECK(largest <= LIMIT_link_output_bytes_max);
    stop();
}

/* --- signs of life -----------------------------------------------------------------------------*/

TEST(a_plugin_that_says_nothing_while_a_call_is_open_is_pinged_and_given_up)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    for (int i = 1; i < LIMIT_link_silent_checks_max; i++) {
        clock_advance_ms(LIMIT_link_check_ms - 1);
        CHECK_EQ_INT(peer_count(FRAME_REQUEST), 0);
        clock_advance_ms(1);
        CHECK_EQ_INT(peer_expect(FRAME_REQUEST).method, 5);
    }
    CHECK_EQ_INT(lost_count, 0);
    clock_advance_ms(LIMIT_link_check_ms);
    check_lost("the plugin does not answer");
    CHECK_EQ_INT(job.err, ERR_PLUGIN_UNKNOWN);
    stop();
}

TEST(a_plugin_that_answers_pings_may_take_its_time)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    clock_advance_ms(LIMIT_link_check_ms);
    for (int i = 0; i < 20; i++) {
        peer_answer(peer_expect(FRAME_REQUEST).call, SLICE_EMPTY);
        settle();
        clock_advance_ms(LIMIT_link_check_ms); /* it was heard: no ping */
        CHECK_EQ_INT(peer_count(FRAME_REQUEST), 0);
        clock_advance_ms(LIMIT_link_check_ms);
    }
    CHECK_EQ_INT(lost_count, 0);
    peer_answer(1, SLICE("at last"));
    settle();
    CHECK_OK(job.err);
    stop();
}

TEST(an_idle_plugin_is_left_alone)
{
    start_ready();
    struct job job = small_job();
    start_job(&job);
    (void)peer_expect(FRAME_REQUEST);
    peer_answer(1, SLICE("x"));
    settle();
    for (int i = 0; i < 20; i++) {
        clock_advance_ms(LIMIT_link_check_ms);
        CHECK_EQ_INT(peer_count(FRAME_REQUEST), 0);
    }
    CHECK_EQ_INT(lost_count, 0);
    CHECK(!timer_is_set(&link_->check_timer));
    stop();
}

TEST(no_more_calls_are_open_than_the_limit)
{
    start_ready();
    link_->call_count = LIMIT_link_calls_max;
    struct job job = small_job();
    start_job(&job);
    settle();
    CHECK_EQ_INT(job.err, ERR_OVERLOADED);
    link_->call_count = 0;
    stop();
}
