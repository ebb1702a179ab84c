/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between sidecars, compared with what protobuf-c makes of the same bytes. */
#include "peer/message.h"

#include "base/limits.h"
#include "base/pb.h"
#include "dapr/proto/internals/v1/service_invocation.pb-c.h"
#include "test.h"

typedef Dapr__Proto__Internals__V1__InternalInvokeRequest pb_request;
typedef Dapr__Proto__Internals__V1__InternalInvokeRequestStream pb_request_stream;
typedef Dapr__Proto__Internals__V1__InternalInvokeResponse pb_response;

static struct arena arena;

static const struct http_header headers[] = {
    { SLICE("X-One"), SLICE("1") },
    { SLICE("X-Many"), SLICE("a") },
    { SLICE("Empty"), SLICE("") },
    { SLICE("x-many"), SLICE("b") },
};

static struct slice
value_of(const struct http_header *list, size_t count, const char *name, size_t nth)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(list[i].name, slice_str(name)) && nth-- == 0)
            return list[i].value;
    return (struct slice){ 0 };
}

TEST(a_request_is_what_protobuf_says)
{
    arena_init(&arena);
    const struct peer_request request = { .method = SLICE("orders/1"),
                                          .verb = SLICE("PUT"),
                                          .query = SLICE("a=b&c"),
                                          .content_type = SLICE("text/plain"),
                                          .type_url = SLICE("t/x"),
                                          .data = SLICE("da\0ta"),
                                          .headers = headers,
                                          .header_count = ARRAY_LEN(headers) };
    struct slice bytes = peer_request_pack(&arena, &request);
    pb_request *pb = dapr__proto__internals__v1__internal_invoke_request__unpack(
        NULL, bytes.len, (const uint8_t *)bytes.data);
    REQUIRE(pb != NULL);
    CHECK_EQ_INT(pb->ver, DAPR__PROTO__INTERNALS__V1__APIVERSION__V1);
    CHECK_EQ_INT(pb->n_metadata, 3); /* a name is a key once */
    CHECK(strcmp(pb->metadata[1]->key, "X-Many") == 0);
    CHECK_EQ_INT(pb->metadata[1]->value->n_values, 2);
    CHECK(strcmp(pb->metadata[1]->value->values[1], "b") == 0);
    CHECK(strcmp(pb->message->method, "orders/1") == 0);
    CHECK(strcmp(pb->message->http_extension->querystring, "a=b&c") == 0);
    CHECK_EQ_INT(pb->message->http_extension->verb, 4);
    CHECK_EQ_INT(pb->message->data->value.len, 5);
    dapr__proto__internals__v1__internal_invoke_request__free_unpacked(pb, NULL);

    struct peer_request back;
    CHECK(peer_request_unpack(&arena, bytes, &back));
    CHECK(slice_eq(back.method, request.method));
    CHECK(slice_eq(back.verb, request.verb));
    CHECK(slice_eq(back.query, request.query));
    CHECK(slice_eq(back.content_type, request.content_type));
    CHECK(slice_eq(back.type_url, request.type_url));
    CHECK(slice_eq(back.data, request.data));
    CHECK_EQ_INT(back.header_count, 4);
    CHECK(slice_eq(value_of(back.headers, back.header_count, "x-many", 1), SLICE("b")));
    CHECK(slice_eq(value_of(back.headers, back.header_count, "empty", 0), SLICE("")));
    arena_fini(&arena);
}

TEST(a_verb_without_a_number_travels_by_name)
{
    arena_init(&arena);
    const struct peer_request request = { .method = SLICE("m"),
                                          .verb = SLICE("PURGE"),
                                          .query = SLICE_EMPTY,
                                          .content_type = SLICE_EMPTY,
                                          .type_url = SLICE_EMPTY,
                                          .data = SLICE_EMPTY,
                                          .headers = headers,
                                          .header_count = 1 };
    struct peer_request back;
    CHECK(peer_request_unpack(&arena, peer_request_pack(&arena, &request), &back));
    CHECK(slice_eq(back.verb, SLICE("PURGE")));
    CHECK_EQ_INT(back.header_count, 1);
    arena_fini(&arena);
}

TEST(an_answer_is_what_protobuf_says)
{
    arena_init(&arena);
    const struct peer_answer answer = { .code = 404,
                                        .text = SLICE("gone"),
                                        .details = SLICE_EMPTY,
                                        .headers = headers,
                                        .header_count = 1,
                                        .trailers = headers + 1,
                                        .trailer_count = 1,
                                        .content_type = SLICE("text/plain"),
                                        .type_url = SLICE_EMPTY,
                                        .data = SLICE("body") };
    struct slice bytes = peer_answer_pack(&arena, &answer);
    pb_response *pb = dapr__proto__internals__v1__internal_invoke_response__unpack(
        NULL, bytes.len, (const uint8_t *)bytes.data);
    REQUIRE(pb != NULL);
    CHECK_EQ_INT(pb->status->code, 404);
    CHECK(strcmp(pb->status->message, "gone") == 0);
    CHECK_EQ_INT(pb->n_headers, 1);
    CHECK_EQ_INT(pb->n_trailers, 1);
    CHECK(strcmp(pb->message->content_type, "text/plain") == 0);
    CHECK_EQ_INT(pb->message->data->value.len, 4);
    dapr__proto__internals__v1__internal_invoke_response__free_unpacked(pb, NULL);
    struct peer_answer back;
    CHECK(peer_answer_unpack(&arena, bytes, &back));
    CHECK_EQ_INT(back.code, 404);
    CHECK(slice_eq(back.data, SLICE("body")) && slice_eq(back.text, SLICE("gone")));
    CHECK_EQ_INT(back.trailer_count, 1);
    /* Negative numbers are no codes. */
    CHECK(peer_answer_unpack(&arena, SLICE("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                             &back));
    CHECK_EQ_INT(back.code, -1);
    CHECK(!peer_answer_unpack(&arena, SLICE(""), &back)); /* without a status it is none */
    arena_fini(&arena);
}

TEST(a_frame_around_a_piece_is_a_message_of_the_stream)
{
    static const size_t sizes[] = { 0, 1, 127, 128, 16383, 65536 };
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (unsigned with_head = 0; with_head < 2; with_head++) {
            struct peer_frame frame;
            struct slice head = with_head ? SLICE("\x08\x01") : SLICE_EMPTY;
            char *bytes = arena_zalloc(&arena, sizes[i] + 256);
            peer_frame(&arena, head, sizes[i], UINT64_MAX, true, &frame);
            size_t len = frame.front_len;
            memcpy(bytes, peer_frame_front(&frame).data, len);
            memset(bytes + len, 'x', sizes[i]);
            len += sizes[i];
            memcpy(bytes + len, frame.back, frame.back_len);
            len += frame.back_len;
            CHECK_EQ_INT(len, PEER_PREFIX_BYTES + frame.message_bytes);
            pb_request_stream *pb =
                dapr__proto__internals__v1__internal_invoke_request_stream__unpack(
                    NULL, frame.message_bytes, (const uint8_t *)bytes + PEER_PREFIX_BYTES);
            REQUIRE(pb != NULL);
            CHECK((pb->request != NULL) == (with_head == 1));
            CHECK((pb->payload != NULL) == (sizes[i] > 0));
            CHECK(pb->payload == NULL ||
                  (pb->payload->data.len == sizes[i] && pb->payload->seq == UINT64_MAX));
            dapr__proto__internals__v1__internal_invoke_request_stream__free_unpacked(pb, NULL);
            struct peer_part part;
            CHECK(
                peer_part_unpack(slice_of(bytes + PEER_PREFIX_BYTES, frame.message_bytes), &part));
            CHECK_EQ_INT(part.piece.len, sizes[i]);
            CHECK(part.has_head == (with_head == 1));
        }
    }
    arena_fini(&arena);
}

/* --- taking a body apart -----------------------------------------------------------------------*/

struct source {
    struct slice bytes;
    size_t at, step;
};

static err_t
read_source(void *arg, struct slice *ret_piece)
{
    struct source *source = arg;
    *ret_piece = slice_first(slice_from(source->bytes, source->at), source->step);
    source->at += ret_piece->len;
    return OK;
}

TEST(messages_are_found_whatever_the_pieces_of_the_body_are)
{
    static const char body[] = "\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\1z\0\0\0\0\12"
                               "0123456789";
    static const char *const wanted[] = { "abc", "", "z", "0123456789" };
    for (size_t step = 1; step < sizeof body; step++) {
        struct source source = { slice_of(body, sizeof body - 1), 0, step };
        struct peer_reader reader = { .read = read_source,
                                      .arg = &source,
                                      .message_bytes_max = 10 };
        struct slice message;
        bool has;
        for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
            CHECK_EQ_INT(peer_reader_next(&reader, &message, &has), OK);
            CHECK(has && slice_eq(message, slice_str(wanted[i])));
        }
        CHECK_EQ_INT(peer_reader_next(&reader, &message, &has), OK);
        CHECK(!has);
        peer_reader_fini(&reader);
    }
}

static err_t
read_one(struct slice body, size_t step)
{
    struct source source = { body, 0, step };
    struct peer_reader reader = { .read = read_source, .arg = &source, .message_bytes_max = 10 };
    struct slice message;
    bool has;
    err_t err = peer_reader_next(&reader, &message, &has);
    peer_reader_fini(&reader);
    return err;
}

TEST(what_is_no_framing_is_refused)
{
    for (size_t step = 1; step < 20; step++) {
        CHECK_EQ_INT(read_one(SLICE("\0\0\0\0\3ab"), step), ERR_PEER_PROTOCOL); /* cut */
        CHECK_EQ_INT(read_one(SLICE("\0\0\0"), step), ERR_PEER_PROTOCOL);       /* likewise */
        CHECK_EQ_INT(read_one(SLICE("\1\0\0\0\1a"), step), ERR_PEER_PROTOCOL);  /* compressed */
        CHECK_EQ_INT(read_one(SLICE("\0\0\0\0\13abcdefghijk"), step), ERR_TOO_LARGE);
    }
}

TEST(more_headers_than_there_may_be_are_refused)
{
    arena_init(&arena);
    size_t count = LIMIT_http_headers_max + 1;
    struct http_header *many = ARENA_ARRAY(&arena, struct http_header, count);
    struct peer_request back, request = { .method = SLICE("m"),
                                          .verb = SLICE("GET"),
                                          .query = SLICE_EMPTY,
                                          .content_type = SLICE_EMPTY,
                                          .type_url = SLICE_EMPTY,
                                          .data = SLICE_EMPTY,
                                          .headers = many };
    for (size_t i = 0; i < count; i++)
        many[i] = (struct http_header){ SLICE("a"), SLICE("b") };
    request.header_count = count - 1;
    CHECK(peer_request_unpack(&arena, peer_request_pack(&arena, &request), &back));
    request.header_count = count;
    CHECK(!peer_request_unpack(&arena, peer_request_pack(&arena, &request), &back));
    arena_fini(&arena);
}
