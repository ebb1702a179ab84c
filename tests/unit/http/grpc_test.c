/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's framing: messages in any pieces, compressed or not; what is refused and how. */
#include "http/grpc.h"

#include <zlib.h>

#include "h2_client.h"
#include "http/gzip.h"

enum { MESSAGE_MAX = 100000 };

static uint64_t timeout_ms;
static unsigned messages;

/* Sends every message back, then says OK. */
static void
handle(struct http_exchange *x)
{
    struct grpc_call call;
    if (!grpc_begin(x, MESSAGE_MAX, &call))
        return;
    timeout_ms = call.timeout_ms;
    struct slice message;
    bool has_message;
    while (grpc_read(&call, &message, &has_message)) {
        if (!has_message) {
            grpc_end(&call, slice_eq(call.method, SLICE("Fail")) ? GRPC_NOT_FOUND : GRPC_OK,
                     slice_eq(call.method, SLICE("Fail")) ? SLICE("100% ü") : SLICE_EMPTY,
                     slice_eq(call.method, SLICE("Fail")) ? SLICE("\x08\x05") : SLICE_EMPTY);
            return;
        }
        messages++;
        if (slice_eq(call.method, SLICE("Large"))) {
            static const char large[MESSAGE_MAX + 1];
            CHECK_EQ_INT(grpc_send(&call, slice_of(large, sizeof large)), ERR_TOO_LARGE);
            return;
        }
        if (slice_eq(call.method, SLICE("Pieces"))) {
            CHECK_OK(grpc_message_begin(&call, message.len));
            for (size_t i = 0; i < message.len; i += 7)
                CHECK_OK(grpc_message_write(&call, slice_first(slice_from(message, i), 7)));
            continue;
        }
        if (grpc_send(&call, message) != OK)
            return;
        if (slice_eq(call.method, SLICE("Cut"))) {
            CHECK(grpc_message_begin(&call, 10) == OK);
            CHECK(grpc_message_write(&call, SLICE("abc")) == OK);
            grpc_end(&call, GRPC_OK, SLICE_EMPTY, SLICE_EMPTY);
            return;
        }
    }
    grpc_end(&call, call.code, call.message, SLICE_EMPTY);
}

static struct rig rig;
static struct h2_client client;

static void
start(void)
{
    timeout_ms = messages = 0;
    rig_start(&rig, NULL, handle, NULL);
    h2_client_start(&client, &rig);
}

static void
stop(void)
{
    h2_client_stop(&client);
    rig_stop(&rig);
}

static struct h2_answer *
call(const char *path, struct slice body, const nghttp2_nv *more, size_t more_count)
{
    nghttp2_nv nva[8] = { H2_NV("content-type", "application/grpc+proto"),
                          H2_NV("te", "trailers") };
    for (size_t i = 0; i < more_count; i++)
        nva[2 + i] = more[i];
    int32_t id = h2_client_ask(&client, "POST", path, &body, nva, 2 + more_count);
    struct h2_answer *answer = h2_answer_of(&client, id);
    H2_UNTIL(&client, answer->is_closed);
    return answer;
}

#define NO_METADATA NULL, 0
#define OK_HEADERS "content-type: application/grpc\n"

TEST(messages_come_back_with_a_status_behind_them)
{
    start();
    struct h2_answer *answer = call("/a.B/Echo", SLICE("\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\1z"),
                                    NO_METADATA);
    CHECK_EQ_INT(answer->status, 200);
    CHECK_EQ_STR(answer->headers, OK_HEADERS);
    CHECK_EQ_MEM(answer->body, answer->body_len, "\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\1z", 19);
    CHECK_EQ_STR(answer->trailers, "grpc-status: 0\n");
    CHECK_EQ_U64(timeout_ms, UINT64_MAX);
    CHECK_EQ_U64(messages, 3);
    stop();
}

TEST(a_message_of_many_pieces_is_put_together)
{
    start();
    static char body[5 + 90000];
    body[2] = (char)(90000 >> 16);
    body[3] = (char)(90000 >> 8);
    body[4] = (char)90000;
    struct h2_answer *answer = call("/a.B/Echo", slice_of(body, sizeof body), NO_METADATA);
    CHECK_EQ_U64(answer->body_len, sizeof body);
    CHECK_EQ_STR(answer->trailers, "grpc-status: 0\n");
    stop();
}

TEST(a_status_without_messages_is_in_the_head)
{
    start();
    struct h2_answer *answer = call("/a.B/Fail", SLICE_EMPTY, NO_METADATA);
    CHECK_EQ_STR(answer->headers, OK_HEADERS "grpc-status: 5\n"
                                             "grpc-message: 100%25 %C3%BC\n"
                                             "grpc-status-details-bin: CAU\n");
    CHECK(answer->is_ended && answer->body_len == 0);
    stop();
}

TEST(a_message_that_is_cut_is_never_followed_by_a_status)
{
    start();
    struct h2_answer *answer = call("/a.B/Cut", SLICE("\0\0\0\0\1x"), NO_METADATA);
    CHECK_EQ_STR(answer->trailers, "");
    CHECK_EQ_U64(answer->code, NGHTTP2_INTERNAL_ERROR);
    stop();
}

/* Clients on Node hang otherwise: they read no answer before that. */
TEST(a_message_that_is_too_large_is_taken_to_its_end)
{
    static char body[5 + 0x400000] = "\0\0\x40\0";
    start();
    struct h2_answer *answer = call("/a.B/Echo", slice_of(body, sizeof body), NO_METADATA);
    CHECK(strstr(answer->headers, "grpc-status: 8\n") != NULL);
    CHECK_EQ_U64(client.body_sent, sizeof body);
    CHECK_EQ_U64(answer->code, NGHTTP2_NO_ERROR);
    stop();
}

TEST(what_is_too_large_or_malformed_is_refused_by_name)
{
    start();
    CHECK_EQ_STR(call("/a.B/Echo", SLICE("\0\0\1\x86\xa1"), NO_METADATA)->headers,
                 OK_HEADERS "grpc-status: 8\n"
                            "grpc-message: grpc: received message larger than max (100001 vs. "
                            "100000)\n");
    CHECK_EQ_STR(call("/a.B/Echo", SLICE("\2\0\0\0\1x"), NO_METADATA)->headers,
                 OK_HEADERS "grpc-status: 13\n"
                            "grpc-message: grpc: received unexpected payload format 2\n");
    CHECK_EQ_STR(call("/a.B/Echo", SLICE("\1\0\0\0\1x"), NO_METADATA)->headers,
                 OK_HEADERS "grpc-status: 13\n"
                            "grpc-message: grpc: compressed flag set with identity or empty "
                            "encoding\n");
    CHECK_EQ_STR(call("/a.B/Echo", SLICE("\0\0\0\0\5abc"), NO_METADATA)->headers,
                 OK_HEADERS "grpc-status: 13\n"
                            "grpc-message: the request ends inside a message\n");
    CHECK_EQ_STR(call("/a.B/Echo", SLICE("\0\0"), NO_METADATA)->headers,
                 OK_HEADERS "grpc-status: 13\n"
                            "grpc-message: the request ends inside a message\n");
    CHECK_EQ_STR(call("/nothing", SLICE_EMPTY, NO_METADATA)->headers,
                 OK_HEADERS "grpc-status: 12\n"
                            "grpc-message: malformed method name: \"/nothing\"\n");
    const nghttp2_nv zip = H2_NV("grpc-encoding", "zip");
    CHECK_EQ_STR(call("/a.B/Echo", SLICE_EMPTY, &zip, 1)->headers,
                 OK_HEADERS "grpc-accept-encoding: gzip\ngrpc-status: 12\n"
                            "grpc-message: grpc: Decompressor is not installed for grpc-encoding "
                            "\"zip\"\n");
    CHECK_EQ_INT(h2_client_get(&client, "/a.B/Echo")->status, 405);
    stop();
}

/* The gzip form, in static memory. */
static struct slice
gzipped(struct slice text)
{
    static char out[200000];
    z_stream z = { .next_in = (unsigned char *)(uintptr_t)text.data,
                   .avail_in = (unsigned)text.len,
                   .next_out = (unsigned char *)out + 5,
                   .avail_out = sizeof out - 5 };
    REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
    REQUIRE(deflateEnd(&z) == Z_OK);
    size_t len = sizeof out - 5 - z.avail_out;
    out[0] = 1;
    out[1] = 0;
    out[2] = (char)(len >> 16);
    out[3] = (char)(len >> 8);
    out[4] = (char)len;
    return slice_of(out, len + 5);
}

/* The answer's message, unpacked; it must be one compressed message. */
static size_t
unzipped_len(const struct h2_answer *answer)
{
    static char out[200000];
    REQUIRE(answer->body_len > 5 && answer->body_len <= sizeof answer->body);
    CHECK_EQ_INT(answer->body[0], 1);
    z_stream z = { .next_in = (unsigned char *)(uintptr_t)answer->body + 5,
                   .avail_in = (unsigned)answer->body_len - 5,
                   .next_out = (unsigned char *)out,
                   .avail_out = sizeof out };
    REQUIRE(inflateInit2(&z, 31) == Z_OK);
    REQUIRE(inflate(&z, Z_FINISH) == Z_STREAM_END);
    REQUIRE(inflateEnd(&z) == Z_OK);
    return sizeof out - z.avail_out;
}

#define GZIP_HEADERS OK_HEADERS "grpc-encoding: gzip\n"

TEST(who_sends_gzip_is_answered_in_gzip)
{
    start();
    static char zeros[80000];
    const nghttp2_nv gzip[] = { H2_NV("grpc-encoding", "gzip"),
                                H2_NV("grpc-accept-encoding", "identity, deflate, gzip") };
    struct h2_answer *answer = call("/a.B/Echo", gzipped(slice_of(zeros, 50000)), gzip, 2);
    CHECK_EQ_STR(answer->headers, GZIP_HEADERS);
    CHECK_EQ_U64(unzipped_len(answer), 50000);
    answer = call("/a.B/Echo", gzipped(slice_of(zeros, sizeof zeros)), gzip, 2); /* elsewhere */
    CHECK_EQ_U64(unzipped_len(answer), sizeof zeros);
    answer = call("/a.B/Pieces", gzipped(slice_of(zeros, 1000)), gzip, 2);
    CHECK_EQ_STR(answer->headers, GZIP_HEADERS);
    CHECK_EQ_U64(unzipped_len(answer), 1000);
    CHECK_EQ_STR(answer->trailers, "grpc-status: 0\n");
    answer = call("/a.B/Fail", SLICE_EMPTY, gzip, 2);
    CHECK(strstr(answer->headers, "grpc-encoding") == NULL);
    answer = call("/a.B/Echo", SLICE("\0\0\0\0\0"), gzip, 2);
    CHECK_EQ_MEM(answer->body, answer->body_len, "\0\0\0\0\0", 5);
    stop();
}

TEST(a_message_larger_than_messages_may_be_is_not_sent)
{
    start();
    struct h2_answer *answer = call("/a.B/Large", SLICE("\0\0\0\0\1x"), NO_METADATA);
    CHECK_EQ_STR(answer->headers,
                 OK_HEADERS "grpc-status: 8\ngrpc-message: grpc: trying to send message larger "
                            "than max (100001 vs. 100000)\n");
    stop();
}

TEST(compressed_messages_are_unpacked_within_the_limit)
{
    start();
    const nghttp2_nv gzip[] = { H2_NV("grpc-encoding", "gzip"),
                                H2_NV("grpc-accept-encoding", "identity") };
    static char zeros[20 * 1024 * 1024];
    struct h2_answer *answer = call("/a.B/Echo", gzipped(slice_of(zeros, 50000)), gzip, 2);
    CHECK_EQ_STR(answer->headers, OK_HEADERS);
    CHECK_EQ_STR(answer->trailers, "grpc-status: 0\n");
    CHECK_EQ_U64(answer->body_len, 50005);
    answer = call("/a.B/Echo", gzipped(slice_of(zeros, sizeof zeros)), gzip, 2);
    CHECK_EQ_STR(answer->headers, OK_HEADERS "grpc-status: 8\ngrpc-message: grpc: received message "
                                             "after decompression larger than max 100000\n");
    answer = call("/a.B/Echo", SLICE("\1\0\0\0\3abc"), gzip, 2);
    CHECK_EQ_STR(answer->headers, OK_HEADERS "grpc-status: 13\ngrpc-message: grpc: failed to "
                                             "decompress the received message\n");
    stop();
}

TEST(timeouts_are_read_in_every_unit)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = { { "1H", 3600000 },
                 { "2M", 120000 },
                 { "3S", 3000 },
                 { "100m", 100 },
                 { "1u", 1 },
                 { "1n", 1 },
                 { "99999999H", UINT64_C(359999996400000) },
                 { "0S", 0 },
                 { "1500u", 2 } };
    static const char *const bad[] = { "", "1", "S", "1s", "-1S", "123456789S", "1.5S", " 1S" };
    uint64_t ms;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        CHECK(grpc_timeout_parse(slice_str(good[i].text), &ms));
        CHECK_EQ_U64(ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!grpc_timeout_parse(slice_str(bad[i]), &ms));
    start();
    const nghttp2_nv timeout = H2_NV("grpc-timeout", "7S");
    CHECK_EQ_STR(call("/a.B/Echo", SLICE("\0\0\0\0\0"), &timeout, 1)->trailers, "grpc-status: 0\n");
    CHECK_EQ_U64(timeout_ms, 7000);
    stop();
}

TEST(http_1_is_told_that_this_is_not_for_it)
{
    start();
    int fd = rig_connect(&rig);
    rig_send(&rig, fd, "POST /a.B/Echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    rig_expect(&rig, fd, "HTTP/1.1 505 HTTP Version Not Supported\r\n");
    (void)close(fd);
    stop();
}

/* A blank at either end is no part of a header's value, and strict peers reset a stream for it. */
TEST(words_of_a_status_have_no_blank_at_their_ends)
{
    struct arena arena;
    arena_init(&arena);
    CHECK_SLICE_IS(grpc_message_encode(&arena, SLICE("verb: ")), "verb:%20");
    CHECK_SLICE_IS(grpc_message_encode(&arena, SLICE(" a  b ")), "%20a  b%20");
    CHECK_SLICE_IS(grpc_message_encode(&arena, SLICE(" ")), "%20");
    CHECK_SLICE_IS(grpc_message_encode(&arena, SLICE("100%\n")), "100%25%0A");
    CHECK_SLICE_IS(grpc_message_encode(&arena, SLICE("")), "");
    arena_fini(&arena);
}
