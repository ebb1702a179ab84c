/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of a plugin into the kernel: collected, served on a task, answered exactly once. */
#include "base/inject.h"
#include "unit/bus/link_driver.h"

enum { MIB = 1024 * 1024 };

/* What the last service saw. */
static int served;
static uint64_t served_id, served_left_ms;
static uint32_t served_method, served_depth;
static struct buf served_message, served_body;
static char served_trace[FRAME_TRACEPARENT_MAX + FRAME_TRACESTATE_MAX + 2];

static void
note(struct task *t, struct host_call *call)
{
    served++;
    served_id = call->id;
    served_method = call->method;
    served_depth = call->depth;
    served_left_ms = task_time_left_ms(t);
    snprintf(served_trace, sizeof served_trace, SLICE_FMT " " SLICE_FMT,
             SLICE_ARG(call->traceparent), SLICE_ARG(call->tracestate));
    buf_init(&served_message, 16 * MIB);
    buf_init(&served_body, 16 * MIB);
    CHECK(buf_append(&served_message, host_call_message(call)));
    CHECK(buf_append(&served_body, host_call_body(call)));
}

static void
forget(void)
{
    buf_fini(&served_message);
    buf_fini(&served_body);
}

static void
serve_at_once(struct task *t, struct host_call *call)
{
    note(t, call);
    host_call_reply(t, call, NULL, SLICE("re"), SLICE("ply"));
    forget();
}

/* Waits until told, or asked to end, and says which. */
static struct wait *held_wait;

static void
serve_later(struct task *t, struct host_call *call)
{
    note(t, call);
    forget();
    struct wait wait;
    wait_init(&wait, t, NULL);
    held_wait = &wait;
    err_t err = TASK_WAIT(t, &wait);
    held_wait = NULL;
    struct frame_status status = { .code = (uint32_t)err_info(err)->grpc,
                                   .message = slice_str(err_info(err)->name),
                                   .reason = SLICE_EMPTY };
    host_call_reply(t, call, err == OK ? NULL : &status, SLICE("late"), SLICE_EMPTY);
}

static void
start_host(void (*fn)(struct task *t, struct host_call *call))
{
    start_ready();
    serve = fn;
    served = 0;
    held_wait = NULL;
}

static void
peer_request(uint64_t id, struct slice payload)
{
    peer_send((struct frame){ .kind = FRAME_REQUEST,
                              .call = id,
                              .method = 256,
                              .message_bytes = (uint32_t)payload.len,
                              .payload_bytes = payload.len,
                              .payload = payload });
}

static void
check_refused(uint64_t id, uint32_t code)
{
    struct frame reply = peer_expect(FRAME_RESPONSE);
    CHECK_EQ_U64(reply.call, id);
    CHECK(reply.has_status);
    CHECK_EQ_INT(reply.status.code, code);
    CHECK(reply.status.message.len > 0);
    CHECK_EQ_INT(lost_count, 0);
}

/* --- served ------------------------------------------------------------------------------------*/

TEST(a_host_call_is_served_and_answered)
{
    start_host(serve_at_once);
    peer_send((struct frame){ .kind = FRAME_REQUEST,
                              .call = 2,
                              .method = 257,
                              .depth = 3,
                              .timeout_ms = 400,
                              .traceparent = SLICE("parent"),
                              .tracestate = SLICE("a=1"),
                              .message_bytes = 4,
                              .payload_bytes = 7,
                              .payload = SLICE("askbody") });
    struct frame reply = peer_expect(FRAME_RESPONSE);
    CHECK_EQ_U64(reply.call, 2);
    CHECK_EQ_INT(reply.message_bytes, 2);
    CHECK_EQ_U64(reply.payload_bytes, 5);
    CHECK_SLICE_IS(reply.payload, "reply");
    CHECK(!reply.has_status);
    CHECK_EQ_INT(served, 1);
    CHECK_EQ_INT(served_method, 257);
    CHECK_EQ_INT(served_depth, 3);
    CHECK_EQ_STR(served_trace, "parent a=1");
    CHECK_EQ_U64(served_left_ms, 400);
    stop();
}

TEST(an_empty_host_call_is_served)
{
    start_host(serve_at_once);
    peer_request(2, SLICE_EMPTY);
    struct frame reply = peer_expect(FRAME_RESPONSE);
    CHECK_SLICE_IS(reply.payload, "reply");
    CHECK_EQ_U64(served_left_ms, UINT64_MAX);
    stop();
}

static bool body_was_right;

static void
serve_large(struct task *t, struct host_call *call)
{
    struct slice body = host_call_body(call);
    body_was_right = slice_eq(host_call_message(call), SLICE("m"));
    for (size_t at = 0; at < body.len && body_was_right; at += 65536)
        body_was_right = is_pattern(at, slice_first(slice_from(body, at), 65536));
    host_call_reply(t, call, NULL, SLICE_EMPTY, body);
}

TEST(a_large_host_call_and_its_large_answer_go_under_credits)
{
    const uint64_t total = 5 * MIB;
    uint64_t sent = 0, got = 0, credit = LIMIT_call_credit_bytes - 1;
    bool is_wrong = false;
    start_host(serve_large);
    peer_send((struct frame){ .kind = FRAME_REQUEST,
                              .call = 2,
                              .message_bytes = 1,
                              .payload_bytes = 1 + total,
                              .payload = SLICE("m") });
    for (int i = 0; i < TURNS_MAX && got < total; i++) {
        uint64_t bytes = total - sent < 50000 ? total - sent : 50000;
        if (bytes > 0 && credit >= bytes) {
            peer_send((struct frame){
                .kind = FRAME_DATA, .call = 2, .payload = pattern_slice(sent, (size_t)bytes) });
            sent += bytes;
            credit -= bytes;
        }
        turn();
        struct frame frame;
        while (peer_next(&frame)) {
            if (frame.kind == FRAME_CREDIT && frame.call == 2)
                credit += frame.credit_bytes;
            if (frame.kind != FRAME_RESPONSE && frame.kind != FRAME_DATA)
                continue;
            is_wrong = is_wrong || !is_pattern(got, frame.payload);
            got += frame.payload.len;
            peer_send((struct frame){
                .kind = FRAME_CREDIT, .call = 2, .credit_bytes = frame.payload.len });
            peer_send((struct frame){ .kind = FRAME_CREDIT, .credit_bytes = frame.payload.len });
        }
        CHECK(stream_queued(&link_->stream) <= LIMIT_call_credit_bytes + 4096);
    }
    settle();
    CHECK_EQ_U64(got, total);
    CHECK(!is_wrong);
    CHECK(body_was_right);
    CHECK_EQ_INT(link_->host_call_count, 0);
    stop();
}

static void
serve_nothing(struct task *t, struct host_call *call)
{
    (void)t;
    (void)call;
}

TEST(a_service_that_forgets_to_answer_is_answered_for)
{
    start_host(serve_nothing);
    peer_request(2, SLICE("x"));
    check_refused(2, GRPC_INTERNAL);
    stop();
}

static void
serve_with_long_words(struct task *t, struct host_call *call)
{
    static char words[FRAME_STATUS_MESSAGE_MAX + 100];
    for (size_t i = 0; i + 1 < sizeof words; i += 2) /* é */
        memcpy(words + i, "\xc3\xa9", 2);
    memmove(words + 1, words, sizeof words - 1);
    words[0] = 'x';
    host_call_reply(t, call,
                    &(struct frame_status){ .code = GRPC_INTERNAL,
                                            .message = slice_of(words, sizeof words),
                                            .reason = slice_of(words, 200) },
                    SLICE_EMPTY, SLICE_EMPTY);
}

TEST(words_that_are_too_long_are_cut_between_characters)
{
    start_host(serve_with_long_words);
    peer_request(2, SLICE_EMPTY);
    struct frame reply = peer_expect(FRAME_RESPONSE);
    CHECK_EQ_INT(reply.status.message.len, FRAME_STATUS_MESSAGE_MAX - 1);
    CHECK(slice_is_utf8(reply.status.message));
    CHECK_EQ_INT(reply.status.reason.len, FRAME_STATUS_REASON_MAX - 1);
    CHECK(slice_is_utf8(reply.status.reason));
    stop();
}

/* --- refused -----------------------------------------------------------------------------------*/

TEST(calls_nested_too_deeply_are_refused)
{
    start_host(serve_at_once);
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 2, .depth = LIMIT_host_depth_max });
    CHECK(!peer_expect(FRAME_RESPONSE).has_status);
    peer_send(
        (struct frame){ .kind = FRAME_REQUEST, .call = 4, .depth = LIMIT_host_depth_max + 1 });
    check_refused(4, GRPC_RESOURCE_EXHAUSTED);
    CHECK_EQ_INT(served, 1);
    stop();
}

TEST(impossible_requests_are_refused)
{
    const struct frame bad[] = {
        { .kind = FRAME_REQUEST, .call = 2, .open_ended = true },
        { .kind = FRAME_REQUEST, .call = 2, .message_bytes = 2, .payload_bytes = 1 },
        { .kind = FRAME_REQUEST, .call = 2, .payload_bytes = 1, .payload = { "ab", 2 } },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        start_host(serve_at_once);
        peer_send(bad[i]);
        check_refused(2, GRPC_INVALID_ARGUMENT);
        /* What follows for it is passed over. */
        peer_send((struct frame){ .kind = FRAME_DATA, .call = 2, .payload = SLICE("more") });
        peer_send((struct frame){ .kind = FRAME_END, .call = 2 });
        peer_send((struct frame){ .kind = FRAME_CANCEL, .call = 2 });
        settle();
        CHECK_EQ_INT(lost_count, 0);
        CHECK_EQ_INT(served, 0);
        stop();
    }
}

TEST(a_payload_beyond_the_limit_is_refused_by_its_announcement)
{
    start_host(serve_at_once);
    peer_send((struct frame){
        .kind = FRAME_REQUEST, .call = 2, .payload_bytes = LIMIT_message_bytes_max + 1 });
    check_refused(2, GRPC_RESOURCE_EXHAUSTED);
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 4, .payload_bytes = UINT64_MAX });
    check_refused(4, GRPC_RESOURCE_EXHAUSTED);
    stop();
}

TEST(open_host_calls_are_bounded_in_number)
{
    start_host(serve_at_once);
    uint64_t id = 0;
    for (int i = 0; i < LIMIT_host_calls_max; i++) /* never whole, so never served */
        peer_send((struct frame){ .kind = FRAME_REQUEST, .call = id += 2, .payload_bytes = 1 });
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = id += 2, .payload_bytes = 1 });
    check_refused(id, GRPC_RESOURCE_EXHAUSTED);
    CHECK_EQ_INT(link_->host_call_count, LIMIT_host_calls_max);
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 2, .payload = SLICE("x") });
    CHECK_EQ_U64(peer_expect(FRAME_RESPONSE).call, 2);
    settle();
    peer_request(id + 2, SLICE("x"));
    CHECK(!peer_expect(FRAME_RESPONSE).has_status);
    stop();
}

TEST(open_host_calls_are_bounded_in_bytes)
{
    start_host(serve_at_once);
    uint64_t id = 0;
    for (int i = 0; i < LIMIT_host_bytes_max / LIMIT_message_bytes_max; i++)
        peer_send((struct frame){
            .kind = FRAME_REQUEST, .call = id += 2, .payload_bytes = LIMIT_message_bytes_max });
    settle();
    CHECK_EQ_U64(link_->host_bytes, LIMIT_host_bytes_max);
    peer_request(id += 2, SLICE("x"));
    check_refused(id, GRPC_RESOURCE_EXHAUSTED);
    peer_send((struct frame){ .kind = FRAME_CANCEL, .call = 2 });
    check_refused(2, GRPC_CANCELLED);
    peer_request(id + 2, SLICE("x"));
    CHECK(!peer_expect(FRAME_RESPONSE).has_status);
    stop();
}

TEST(without_a_task_a_host_call_is_refused)
{
    start_host(serve_at_once);
    REQUIRE(inject_setup("task_spawn_fail:#1"));
    peer_request(2, SLICE("x"));
    check_refused(2, GRPC_RESOURCE_EXHAUSTED);
    peer_request(4, SLICE("x"));
    CHECK(!peer_expect(FRAME_RESPONSE).has_status);
    stop();
}

TEST(a_refusal_that_cannot_be_sent_ends_the_link_once)
{
    start_host(serve_at_once);
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 2, .payload_bytes = 1 });
    settle();
    REQUIRE(inject_setup("task_spawn_fail:#1,link_write_fail:#1"));
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 2, .payload = SLICE("x") });
    check_lost("the plugin does not read");
    stop();

    start_host(serve_at_once);
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 2, .payload_bytes = 1 });
    settle();
    REQUIRE(inject_setup("link_write_fail:#1"));
    peer_send((struct frame){ .kind = FRAME_CANCEL, .call = 2 });
    check_lost("the plugin does not read");
    stop();
}

/* --- numbers -----------------------------------------------------------------------------------*/

TEST(odd_and_zero_numbers_end_the_link)
{
    const uint64_t bad[] = { 0, 1, 3, UINT64_MAX };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        start_host(serve_at_once);
        peer_request(bad[i], SLICE("x"));
        check_lost("a plugin's call must have an even number");
        CHECK_EQ_INT(served, 0);
        stop();
    }
}

TEST(a_number_used_again_ends_the_link)
{
    start_host(serve_at_once);
    peer_request(4, SLICE("x"));
    (void)peer_expect(FRAME_RESPONSE);
    peer_request(4, SLICE("x"));
    check_lost("the numbers of a plugin's calls must grow");
    CHECK_EQ_INT(served, 1);
    stop();
}

TEST(data_for_a_call_never_opened_ends_the_link)
{
    start_host(serve_at_once);
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 2, .payload = SLICE("x") });
    check_lost("data without a request");
    stop();
}

TEST(more_payload_than_a_request_announced_ends_the_link)
{
    start_host(serve_at_once);
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 2, .payload_bytes = 3 });
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 2, .payload = SLICE("four") });
    check_lost("more payload than announced");
    CHECK_EQ_INT(served, 0);
    stop();
}

TEST(data_for_a_call_being_served_ends_the_link)
{
    start_host(serve_later);
    peer_request(2, SLICE("x"));
    settle();
    CHECK_EQ_INT(served, 1);
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 2, .payload = SLICE("x") });
    check_lost("more payload than announced");
    stop();
}

/* --- cancelling, deadlines, loss ---------------------------------------------------------------*/

TEST(a_cancelled_host_call_is_answered)
{
    start_host(serve_later);
    peer_request(2, SLICE("x"));
    settle();
    peer_send((struct frame){ .kind = FRAME_CANCEL, .call = 2 });
    check_refused(2, GRPC_CANCELLED);
    CHECK_EQ_INT(peer_count(FRAME_RESPONSE), 0);
    stop();
}

TEST(a_host_call_cancelled_before_it_is_whole_is_answered)
{
    start_host(serve_at_once);
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 2, .payload_bytes = 100 });
    peer_send((struct frame){ .kind = FRAME_CANCEL, .call = 2 });
    peer_send((struct frame){ .kind = FRAME_DATA, .call = 2, .payload = SLICE("late") });
    peer_send((struct frame){ .kind = FRAME_CANCEL, .call = 2 });
    check_refused(2, GRPC_CANCELLED);
    CHECK_EQ_INT(served, 0);
    CHECK_EQ_INT(peer_count(FRAME_RESPONSE), 0);
    stop();
}

TEST(a_host_call_ends_at_its_own_deadline)
{
    start_host(serve_later);
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 2, .timeout_ms = 50 });
    settle();
    clock_advance_ms(50);
    check_refused(2, GRPC_DEADLINE_EXCEEDED);
    stop();
}

TEST(an_answer_after_the_deadline_waits_for_credit_like_any_other)
{
    start_host(serve_later);
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 2, .timeout_ms = 50 });
    settle();
    link_->credit.free = 0;
    clock_advance_ms(50);
    settle(); /* the answer has a message, and no credit to go out with */
    CHECK_EQ_INT(lost_count, 0);
    CHECK_EQ_INT(peer_count(FRAME_RESPONSE), 0);
    peer_send((struct frame){ .kind = FRAME_CREDIT, .credit_bytes = 100 });
    check_refused(2, GRPC_DEADLINE_EXCEEDED);
    stop();
}

TEST(a_plugin_that_does_not_take_its_answer_loses_the_link)
{
    start_host(serve_at_once);
    link_->credit.free = 0;
    peer_request(2, SLICE("x"));
    settle();
    CHECK_EQ_INT(lost_count, 0);
    clock_advance_ms(LIMIT_host_reply_ms);
    check_lost("the plugin does not take its answer");
    stop();
}

static void
serve_endlessly(struct task *t, struct host_call *call)
{
    static char zeroes[4 * MIB];
    host_call_reply(t, call, NULL, SLICE_EMPTY, slice_of(zeroes, sizeof zeroes));
}

TEST(cancel_ends_an_answer_that_waits_for_credit)
{
    start_host(serve_endlessly);
    peer_request(2, SLICE("x"));
    settle();
    CHECK_EQ_INT(link_->host_call_count, 1);
    peer_send((struct frame){ .kind = FRAME_CANCEL, .call = 2 });
    settle();
    CHECK_EQ_INT(link_->host_call_count, 0);
    CHECK_EQ_INT(lost_count, 0);
    CHECK_EQ_INT(peer_count(FRAME_RESPONSE), 1);
    stop();
}

TEST(a_lost_link_cancels_the_services_it_asked_for)
{
    start_host(serve_later);
    peer_request(2, SLICE("x"));
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 4, .payload_bytes = 10 });
    settle();
    CHECK_EQ_INT(link_->host_call_count, 2);
    REQUIRE(shutdown(peer.fd, SHUT_RDWR) == 0);
    settle();
    CHECK_EQ_INT(lost_count, 1);
    CHECK_EQ_INT(link_->host_call_count, 0);
    stop();
}

static void
serve_by_closing(struct task *t, struct host_call *call)
{
    link_close(call->link, "closed by a service");
    host_call_reply(t, call, NULL, SLICE("nobody hears it"), SLICE_EMPTY);
}

TEST(a_service_may_close_the_link_it_came_from)
{
    start_host(serve_by_closing);
    peer_request(2, SLICE("x"));
    peer_request(4, SLICE("x"));
    peer_request(6, SLICE("x"));
    check_lost("closed by a service");
    stop();
}

/* A cycle: the service calls the plugin, which has asked for it. */
static void
serve_by_calling_back(struct task *t, struct host_call *call)
{
    struct link_call back;
    err_t err = link_call(
        t, call->link,
        &(struct link_args){ .method = 32, .depth = call->depth + 1, .message = SLICE("back") },
        &back);
    CHECK_OK(err);
    host_call_reply(t, call, NULL, err == OK ? back.message : SLICE_EMPTY, SLICE_EMPTY);
    link_call_finish(&back);
}

TEST(plugin_and_kernel_may_call_each_other_in_a_cycle)
{
    start_host(serve_by_calling_back);
    peer_request(2, SLICE("x"));
    struct frame request = peer_expect(FRAME_REQUEST);
    CHECK_EQ_INT(request.depth, 1);
    peer_answer(request.call, SLICE("from the plugin"));
    struct frame reply = peer_expect(FRAME_RESPONSE);
    CHECK_EQ_U64(reply.call, 2);
    CHECK_SLICE_IS(reply.payload, "from the plugin");
    settle();
    stop();
}

TEST(host_calls_are_answered_in_any_order)
{
    enum { COUNT = 500 };
    start_host(serve_at_once);
    for (uint64_t i = 1; i <= COUNT; i++)
        peer_request(2 * i, SLICE("x"));
    uint64_t sum = 0;
    for (int i = 0; i < COUNT; i++)
        sum += peer_expect(FRAME_RESPONSE).call;
    CHECK_EQ_U64(sum, (uint64_t)COUNT * (COUNT + 1));
    CHECK_EQ_INT(served, COUNT);
    stop();
}
