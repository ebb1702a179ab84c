/* SPDX-License-Identifier: Apache-2.0 */
/* State operations and replies: our hand-written codecs against the golden frames and protobuf-c.
 */
#include "base/pb.h"
#include "sdk-plugin/c/src/sdk.h"
#include "test.h"

#define TEXT_IS(a, text) CHECK_SLICE_IS(from_remora(a), text)

static struct slice
read_golden(struct arena *arena, const char *name)
{
    const char *path = arena_printf(arena, "sdk-plugin/golden/%s.bin", name).data;
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        test_give_up();
    }
    char *bytes = arena_alloc(arena, 65536);
    const size_t len = fread(bytes, 1, 65536, f);
    (void)fclose(f); /* opened for reading only */
    return slice_of(bytes, len);
}

/* A call that holds the payload of a golden frame. */
static struct remora_call *
call_of(const char *name)
{
    struct remora_call *call = calloc(1, sizeof *call);
    REQUIRE(call != NULL);
    arena_init(&call->arena);
    struct frame frame;
    REQUIRE_OK(frame_decode(read_golden(&call->arena, name), &frame));
    call->message = slice_first(frame.payload, frame.message_bytes);
    call->body = slice_from(frame.payload, frame.message_bytes);
    return call;
}

static void
drop(struct remora_call *call)
{
    arena_fini(&call->arena);
    free(call);
}

/* Decoders refuse a message that is cut anywhere but between fields, and never read beyond it. */
#define CHECK_CUT(call, decode)                                                                    \
    for (size_t full = (call)->message.len, cut = 0; cut < full; cut++) {                          \
        char *exact = malloc(cut + 1);                                                             \
        memcpy(exact, (call)->message.data, cut);                                                  \
        const struct slice kept = (call)->message;                                                 \
        (call)->message = slice_of(exact, cut);                                                    \
        (void)(decode);                                                                            \
        (call)->message = kept;                                                                    \
        free(exact);                                                                               \
    }

TEST(a_get_is_decoded)
{
    struct remora_call *call = call_of("state_get");
    const struct remora_state_get *get;
    REQUIRE(state_decode_get(call, &get));
    TEXT_IS(get->key, "shop||ключ");
    CHECK_EQ_INT(get->consistency, REMORA_STRONG);
    REQUIRE(get->metadata_count == 1);
    TEXT_IS(get->metadata[0].name, "partitionKey");
    TEXT_IS(get->metadata[0].value, "p");
    CHECK_CUT(call, state_decode_get(call, &get));
    drop(call);
}

TEST(a_set_is_decoded_with_its_values)
{
    struct remora_call *call = call_of("state_set");
    struct remora_state_set *sets;
    size_t count;
    REQUIRE(state_decode_sets(call, &sets, &count));
    REQUIRE(count == 3);
    TEXT_IS(sets[0].key, "shop||a");
    TEXT_IS(sets[0].value, "{\"a\":1}");
    CHECK(sets[0].json && sets[0].has_etag && sets[0].has_ttl);
    TEXT_IS(sets[0].etag, "5");
    CHECK_EQ_INT(sets[0].ttl_seconds, -1);
    CHECK_EQ_INT(sets[0].concurrency, REMORA_FIRST_WRITE);
    CHECK_EQ_INT(sets[0].consistency, REMORA_EVENTUAL);
    REQUIRE(sets[0].metadata_count == 1);
    TEXT_IS(sets[0].metadata[0].value, "-1");
    CHECK_EQ_INT(sets[1].value.len, 256);
    CHECK_EQ_INT((unsigned char)sets[1].value.data[255], 255);
    CHECK(!sets[1].json && !sets[1].has_etag && sets[1].has_ttl);
    CHECK_EQ_INT(sets[1].ttl_seconds, 0);
    CHECK(sets[2].has_etag && sets[2].etag.len == 0 && !sets[2].has_ttl && sets[2].value.len == 0);
    CHECK_CUT(call, state_decode_sets(call, &sets, &count));
    drop(call);
}

TEST(values_that_do_not_fill_the_body_are_refused)
{
    struct remora_call *call = call_of("state_set");
    struct remora_state_set *sets;
    size_t count;
    call->body.len--;
    CHECK(!state_decode_sets(call, &sets, &count));
    call->body = slice_of("", 0);
    CHECK(!state_decode_sets(call, &sets, &count));
    drop(call);
    call = call_of("state_get");
    const struct remora_state_get *get;
    call->body = SLICE("x");
    CHECK(!state_decode_get(call, &get));
    drop(call);
}

TEST(deletes_and_bulk_gets_are_decoded)
{
    struct remora_call *call = call_of("state_delete");
    struct remora_state_delete *deletes;
    size_t count;
    REQUIRE(state_decode_deletes(call, &deletes, &count));
    REQUIRE(count == 2);
    CHECK(deletes[0].has_etag && !deletes[1].has_etag);
    CHECK_EQ_INT(deletes[0].concurrency, REMORA_LAST_WRITE);
    CHECK_EQ_INT(deletes[0].metadata_count, 1);
    TEXT_IS(deletes[1].key, "shop||b");
    CHECK_CUT(call, state_decode_deletes(call, &deletes, &count));
    drop(call);
    call = call_of("state_bulk_get");
    struct remora_state_get *gets;
    uint32_t parallelism;
    REQUIRE(state_decode_gets(call, &gets, &count, &parallelism));
    CHECK_EQ_INT(count, 2);
    CHECK_EQ_INT(parallelism, 4);
    TEXT_IS(gets[1].key, "shop||b");
    drop(call);
}

TEST(a_transaction_is_decoded_in_order)
{
    struct remora_call *call = call_of("state_transact");
    struct state_transact t;
    REQUIRE(state_decode_transact(call, &t));
    REQUIRE(t.count == 3);
    CHECK(!t.operations[0].is_delete && t.operations[1].is_delete && !t.operations[2].is_delete);
    TEXT_IS(t.operations[0].set.value, "aa");
    TEXT_IS(t.operations[1].del.etag, "3");
    TEXT_IS(t.operations[2].set.value, "c");
    CHECK_EQ_INT(t.metadata_count, 1);
    CHECK_CUT(call, state_decode_transact(call, &t));
    call->message = SLICE("\x0a\x00"); /* an operation that is neither */
    call->body = SLICE_EMPTY;
    CHECK(!state_decode_transact(call, &t));
    drop(call);
}

TEST(queries_prefixes_and_patterns_are_decoded)
{
    struct remora_call *call = call_of("state_query");
    struct state_query query;
    REQUIRE(state_decode_query(call, &query));
    TEXT_IS(query.query, "{\"filter\":{\"EQ\":{\"a\":1}}}");
    TEXT_IS(query.key_prefix, "shop||");
    CHECK_EQ_INT(query.metadata_count, 1);
    drop(call);
    call = call_of("state_delete_prefix");
    struct remora_slice prefix;
    REQUIRE(state_decode_prefix(call, &prefix));
    TEXT_IS(prefix, "shop||a");
    drop(call);
    call = call_of("state_keys_like");
    struct state_like like;
    REQUIRE(state_decode_like(call, &like));
    TEXT_IS(like.pattern, "shop||%");
    CHECK_EQ_INT(like.page_size, 100);
    TEXT_IS(like.token, "shop||k");
    drop(call);
}

TEST(more_items_than_allowed_are_refused)
{
    struct remora_call *call = call_of("state_set");
    const size_t count_max = LIMIT_state_items_max;
    char *message = calloc(count_max + 1, 2); /* empty items */
    REQUIRE(message != NULL);
    for (size_t i = 0; i <= count_max; i++)
        message[2 * i] = 0x0a;
    struct remora_state_set *sets;
    size_t count;
    call->body = SLICE_EMPTY;
    call->message = slice_of(message, 2 * count_max);
    CHECK(state_decode_sets(call, &sets, &count));
    CHECK_EQ_INT(count, count_max);
    call->message.len += 2;
    CHECK(!state_decode_sets(call, &sets, &count));
    drop(call);
    free(message);
}

/* --- replies: the golden message is what comes out
 * ----------------------------------------------*/

static void
check_message(struct remora_call *call, struct slice made)
{
    CHECK_EQ_SLICE(made, call->message);
}

static struct remora_slice
text(const char *string)
{
    return to_remora(slice_str(string));
}

TEST(values_are_encoded)
{
    struct remora_call *call = call_of("state_value");
    check_message(call, state_encode_value(call, &(struct remora_state_value){
                                                     .found = true,
                                                     .has_etag = true,
                                                     .etag = text("1"),
                                                     .expires_unix_ms = 1795622400000 }));
    drop(call);
    call = call_of("state_value_missing");
    check_message(call, state_encode_value(call, &(struct remora_state_value){ .found = false }));
    drop(call);
    call = call_of("state_value_empty_etag");
    check_message(call, state_encode_value(
                            call, &(struct remora_state_value){ .found = true, .has_etag = true }));
    drop(call);
}

TEST(lists_of_values_are_encoded)
{
    struct remora_call *call = call_of("state_values");
    const struct remora_failure failure = { .code = REMORA_INTERNAL,
                                            .effect = REMORA_EFFECT_NOT_SENT,
                                            .message = "disk" };
    const struct remora_state_value values[] = {
        { .found = true,
          .has_etag = true,
          .etag = text("9"),
          .value = { .data = "abc", .len = 3 },
          .expires_unix_ms = 1795622400000 },
        { .found = false },
        { .failure = &failure },
    };
    check_message(call, state_encode_values(call, values, ARRAY_LEN(values)));
    drop(call);
    call = call_of("state_query_reply");
    const struct remora_state_value rows[] = {
        { .key = text("shop||a"),
          .has_etag = true,
          .etag = text("1"),
          .value = { .data = "{}", .len = 2 } },
        { .key = text("shop||b") },
    };
    check_message(call, state_encode_query(call, rows, ARRAY_LEN(rows), text("2")));
    drop(call);
}

TEST(failures_counts_and_keys_are_encoded)
{
    struct remora_call *call = call_of("state_write_reply");
    const struct remora_failure mismatch = { .code = REMORA_ABORTED,
                                             .reason = REMORA_REASON_ETAG_MISMATCH,
                                             .message = "mismatch" };
    const struct remora_failure gone = { .code = REMORA_UNAVAILABLE,
                                         .effect = REMORA_EFFECT_UNKNOWN,
                                         .message = "gone" };
    const struct remora_failure *const failures[] = { &mismatch, NULL, &gone };
    check_message(call, state_encode_failures(call, failures, ARRAY_LEN(failures)));
    drop(call);
    call = call_of("state_delete_prefix_reply");
    check_message(call, state_encode_count(call, 300));
    drop(call);
    call = call_of("state_keys_like_reply");
    const struct remora_slice keys[] = { text("shop||a"), text(""), text("shop||ü") };
    check_message(call, state_encode_keys(call, keys, ARRAY_LEN(keys), text("shop||ü")));
    drop(call);
}
