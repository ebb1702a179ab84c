/* SPDX-License-Identifier: Apache-2.0 */
/* The connection: handshake, what ends it, epochs, log lines. Calls have tests of their own. */
#include "unit/bus/link_driver.h"

TEST(a_right_hello_makes_the_link_ready)
{
    start_greeting();
    peer_greet();
    peer_hello(TOKEN, 1);
    struct frame frame = peer_expect(FRAME_HELLO_ACK);
    struct arena arena;
    arena_init(&arena);
    const Remora__Plugin__V1__HelloAck *ack = pb_unpack(
        &arena, &remora__plugin__v1__hello_ack__descriptor, frame.payload, 16, 65536);
    REQUIRE(ack != NULL);
    CHECK(ack->status == NULL);
    CHECK_EQ_INT(ack->epoch, EPOCH);
    CHECK_EQ_INT(ack->protocol_major, 1);
    CHECK_EQ_INT(ack->frame_bytes_max, 262144);
    CHECK_EQ_INT(ack->call_credit_bytes, 65536);
    CHECK_EQ_INT(ack->link_credit_bytes, 8388608);
    CHECK_EQ_STR(ack->app_id, "app");
    CHECK_EQ_INT(ack->n_host_services, 1);
    CHECK_EQ_STR(ack->host_services[0], "state");
    arena_fini(&arena);
    CHECK_EQ_INT(ready_count, 1);
    CHECK_EQ_INT(lost_count, 0);
    clock_advance_ms(LIMIT_handshake_ms + 1);
    settle();
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

static void
check_refused(const char *reason)
{
    struct frame frame = peer_expect(FRAME_HELLO_ACK);
    struct arena arena;
    arena_init(&arena);
    const Remora__Plugin__V1__HelloAck *ack = pb_unpack(
        &arena, &remora__plugin__v1__hello_ack__descriptor, frame.payload, 16, 65536);
    REQUIRE(ack != NULL && ack->status != NULL);
    CHECK_EQ_INT(ack->status->code, GRPC_PERMISSION_DENIED);
    CHECK_EQ_STR(ack->status->message, reason);
    arena_fini(&arena);
    CHECK_EQ_INT(ready_count, 0);
    check_lost(reason);
    stop();
}

TEST(a_wrong_token_is_refused)
{
    start_greeting();
    peer_greet();
    peer_hello("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdee", 1);
    check_refused("wrong token");
}

TEST(a_short_token_is_refused)
{
    start_greeting();
    peer_greet();
    peer_hello("", 1);
    check_refused("wrong token");
}

TEST(another_major_version_is_refused)
{
    start_greeting();
    peer_greet();
    peer_hello(TOKEN, 2);
    check_refused("protocol version is not 1.x");
}

TEST(the_owner_may_refuse_a_hello)
{
    start_greeting();
    hello_refusal = "not my plugin";
    peer_greet();
    peer_hello(TOKEN, 1);
    check_refused("not my plugin");
}

TEST(a_malformed_hello_is_refused)
{
    start_greeting();
    peer_greet();
    peer_send((struct frame){ .kind = FRAME_HELLO, .payload = SLICE("\xff\xff\xff") });
    check_refused("malformed hello");
}

TEST(a_hello_may_come_byte_by_byte)
{
    start_greeting();
    peer_greet();
    peer_hello(TOKEN, 1);
    struct buf whole = peer.out;
    buf_init(&peer.out, whole.max);
    while (whole.len > 0) {
        peer_write(buf_slice(&whole).data, 1);
        buf_consume(&whole, 1);
        turn();
    }
    buf_fini(&whole);
    settle();
    CHECK_EQ_INT(ready_count, 1);
    stop();
}

TEST(garbage_ends_the_link_at_its_first_wrong_byte)
{
    start_greeting();
    peer_write("G", 1);
    check_lost("bad handshake");
    stop();
}

TEST(another_protocol_of_the_family_ends_the_link)
{
    start_greeting();
    char bytes[SP_HANDSHAKE_BYTES];
    sp_handshake(SP_REQ0, bytes);
    peer_write(bytes, sizeof bytes);
    check_lost("bad handshake");
    stop();
}

TEST(a_peer_that_says_nothing_is_given_up_in_time)
{
    start_greeting();
    clock_advance_ms(LIMIT_handshake_ms - 1);
    settle();
    CHECK_EQ_INT(lost_count, 0);
    clock_advance_ms(1);
    check_lost("no handshake in time");
    stop();
}

TEST(a_peer_that_only_greets_is_given_up_in_time)
{
    start_greeting();
    peer_greet();
    settle();
    clock_advance_ms(LIMIT_handshake_ms);
    check_lost("no handshake in time");
    stop();
}

TEST(a_peer_that_leaves_before_its_hello_is_noticed)
{
    start_greeting();
    peer_greet();
    settle();
    REQUIRE(shutdown(peer.fd, SHUT_WR) == 0);
    settle();
    CHECK_EQ_STR(lost_reason, "the plugin closed the connection");
    stop();
}

TEST(the_first_frame_must_be_a_hello)
{
    start_greeting();
    peer_greet();
    peer_send((struct frame){ .kind = FRAME_LOG });
    check_lost("the first frame is no hello");
    stop();
}

TEST(a_second_hello_ends_the_link)
{
    start_ready();
    peer.epoch = 0;
    peer_hello(TOKEN, 1);
    check_lost("a second hello");
    stop();
}

TEST(an_oversized_frame_ends_the_link_by_its_header)
{
    start_ready();
    char header[SP_HEADER_BYTES];
    sp_header(LIMIT_frame_bytes_max + 1, header);
    peer_write(header, sizeof header);
    check_lost("message too large");
    stop();
}

TEST(a_length_near_the_top_of_64_bits_ends_the_link)
{
    start_ready();
    char header[SP_HEADER_BYTES];
    sp_header(UINT64_MAX, header);
    peer_write(header, sizeof header);
    check_lost("message too large");
    stop();
}

TEST(a_message_that_does_not_begin_with_01_ends_the_link)
{
    start_ready();
    peer_write("\x02", 1);
    check_lost("bad message type");
    stop();
}

TEST(a_frame_that_is_no_protobuf_ends_the_link)
{
    start_ready();
    char header[SP_HEADER_BYTES];
    sp_header(4, header);
    peer_write(header, sizeof header);
    peer_write("\xff\xff\xff\xff", 4);
    check_lost("malformed frame");
    stop();
}

TEST(the_largest_frame_is_taken)
{
    start_ready();
    peer_send((struct frame){ .kind = FRAME_EVENT, .payload = pattern_slice(0, 256 * 1024 - 64) });
    peer_send((struct frame){ .kind = FRAME_EVENT, .payload = pattern_slice(0, 256 * 1024 - 64) });
    settle();
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

TEST(frames_of_unknown_kinds_are_passed_over)
{
    start_ready();
    peer_send((struct frame){ .kind = 0 });
    peer_send((struct frame){ .kind = 77, .call = 5, .payload = SLICE("later version") });
    peer_send((struct frame){ .kind = FRAME_EVENT });
    peer_send((struct frame){ .kind = FRAME_HELLO_ACK });
    settle();
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

TEST(frames_of_another_epoch_are_dropped)
{
    start_ready();
    peer.epoch = EPOCH - 1;
    peer_answer(99, SLICE("would end the link"));
    peer.epoch = 0;
    peer_send((struct frame){ .kind = FRAME_REQUEST, .call = 3 });
    settle();
    CHECK_EQ_INT(lost_count, 0);
    CHECK_EQ_INT(link_->intake.window_bytes, LIMIT_link_credit_bytes);
    peer.epoch = EPOCH;
    peer_answer(99, SLICE("ends it"));
    check_lost("an answer to a call that was never made");
    stop();
}

TEST(the_owner_may_close_as_soon_as_the_link_is_ready)
{
    start_greeting();
    close_when_ready = true;
    peer_greet();
    peer_hello(TOKEN, 1);
    peer_send((struct frame){ .kind = FRAME_LOG });
    check_lost("closed by on_ready");
    stop();
}

TEST(a_reference_outlives_the_connection)
{
    start_ready();
    struct link *held = link_ref(link_);
    link_close(link_, "by hand");
    link_close(link_, "twice is once");
    CHECK_EQ_INT(lost_count, 1);
    CHECK(!link_is_ready(held));
    link_unref(held);
    stop();
}

TEST(the_peer_is_checked_by_user_and_process_group)
{
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    CHECK(link_peer_is(fds[0], getpgrp()));
    CHECK(!link_peer_is(fds[0], getpgrp() + 1));
    close(fds[0]);
    close(fds[1]);
    CHECK(!link_peer_is(fds[0], getpgrp()));
}

/* --- log lines ---------------------------------------------------------------------------------*/

static void
peer_log(uint32_t level, const char *text)
{
    struct arena arena;
    arena_init(&arena);
    Remora__Plugin__V1__LogEntry entry = REMORA__PLUGIN__V1__LOG_ENTRY__INIT;
    entry.level = (Remora__Plugin__V1__LogEntry__Level)level;
    entry.message = pb_string(&arena, slice_str(text));
    peer_send((struct frame){ .kind = FRAME_LOG, .payload = pb_pack(&arena, &entry.base) });
    arena_fini(&arena);
}

TEST(log_lines_arrive)
{
    start_ready();
    peer_log(3, "disk is almost full");
    settle();
    CHECK_EQ_INT(log_count, 1);
    CHECK_EQ_INT(last_level, 3);
    CHECK_EQ_STR(last_log, "disk is almost full");
    stop();
}

TEST(log_lines_that_are_malformed_too_long_or_no_text_are_dropped)
{
    start_ready();
    static char text[6000];
    memset(text, 'x', sizeof text - 1);
    peer_log(2, text);
    text[LIMIT_log_entry_bytes_max + 1] = '\0';
    peer_log(2, text);
    peer_log(2, "\xff\xfe");
    peer_send((struct frame){ .kind = FRAME_LOG, .payload = SLICE("\xff\xff") });
    settle();
    CHECK_EQ_INT(log_count, 0);
    text[LIMIT_log_entry_bytes_max] = '\0';
    peer_log(2, text);
    settle();
    CHECK_EQ_INT(log_count, 1);
    CHECK_EQ_INT(strlen(last_log), LIMIT_log_entry_bytes_max);
    CHECK_EQ_INT(lost_count, 0);
    stop();
}

TEST(a_flood_of_log_lines_is_cut_to_so_many_a_second)
{
    start_ready();
    for (int i = 0; i < 10 * LIMIT_log_lines_per_s; i++)
        peer_log(2, "again");
    settle();
    CHECK_EQ_INT(log_count, LIMIT_log_lines_per_s);
    CHECK_EQ_INT(link_->logs_dropped, 9 * LIMIT_log_lines_per_s);
    CHECK(link_->in.capacity <= 1024 * 1024);
    clock_advance_ms(1000);
    peer_log(2, "a second later");
    settle();
    CHECK_EQ_INT(log_count, LIMIT_log_lines_per_s + 1);
    CHECK_EQ_INT(link_->logs_dropped, 0);
    stop();
}
