/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of the state API. Error texts are those of the reference, from recordings/http-api.json:
 * users' scripts compare them.
 */
#include "surface/http_state_json.h"

#include "tests/lib/test.h"

struct fixture {
    struct arena arena;
    struct request rq;
};

static void
begin(struct fixture *f)
{
    arena_init(&f->arena);
    f->rq = (struct request){ .arena = &f->arena };
}

static void
finish(struct fixture *f)
{
    arena_fini(&f->arena);
}

static void
check_save_error(const char *body, const char *message)
{
    struct fixture f;
    struct save_request save;
    begin(&f);
    err_t err = parse_state_items(&f.rq, slice_str(body), &save);
    CHECK_EQ_INT(err, ERR_MALFORMED_REQUEST);
    CHECK_SLICE_IS(f.rq.error.message, message);
    CHECK_EQ_INT(f.rq.error.http, 400);
    finish(&f);
}

TEST(values_are_spans_of_the_body_with_exact_bytes)
{
    struct fixture f;
    struct save_request save;
    const char *body = " [ {\"key\":\"a\",\"value\":  { \"b\" : 1.0e2, \"b\":\"\\u00fc<\" }  } ]";
    begin(&f);
    REQUIRE_OK(parse_state_items(&f.rq, slice_str(body), &save));
    REQUIRE(save.count == 1);
    CHECK_SLICE_IS(save.items[0].key, "a");
    CHECK_SLICE_IS(save.items[0].value, "{ \"b\" : 1.0e2, \"b\":\"\\u00fc<\" }");
    CHECK(save.items[0].value.data > body && save.items[0].value.data < body + strlen(body));
    CHECK(save.items[0].is_json);
    CHECK(!save.items[0].has_etag);
    finish(&f);
}

TEST(all_fields_of_an_item_are_read_in_any_case)
{
    struct fixture f;
    struct save_request save;
    const char *body = "[{\"KEY\":\"k\",\"Value\":1,\"etag\":\"7\",\"options\":{\"concurrency\":"
                       "\"first-write\",\"consistency\":\"strong\",\"zz\":1},\"metadata\":{\"a\":"
                       "\"b\",\"c\":\"d\"},\"colour\":[{}]}]";
    begin(&f);
    REQUIRE_OK(parse_state_items(&f.rq, slice_str(body), &save));
    REQUIRE(save.count == 1);
    CHECK(save.items[0].has_etag);
    CHECK_SLICE_IS(save.items[0].etag, "7");
    CHECK_SLICE_IS(save.items[0].concurrency, "first-write");
    CHECK_SLICE_IS(save.items[0].consistency, "strong");
    REQUIRE(save.items[0].metadata_count == 2);
    CHECK_SLICE_IS(save.items[0].metadata[1].name, "c");
    CHECK_SLICE_IS(save.items[0].metadata[1].value, "d");
    finish(&f);
}

TEST(a_missing_value_is_null_and_a_null_or_empty_etag_is_none)
{
    struct fixture f;
    struct save_request save;
    begin(&f);
    REQUIRE_OK(parse_state_items(
        &f.rq, SLICE("[{\"key\":\"a\",\"etag\":null},{\"key\":\"b\",\"etag\":\"\"}]"), &save));
    REQUIRE(save.count == 2);
    CHECK_SLICE_IS(save.items[0].value, "null");
    CHECK(!save.items[0].has_etag);
    CHECK(!save.items[1].has_etag);
    finish(&f);
}

TEST(empty_lists_and_null_are_no_items)
{
    static const char *const bodies[] = { "[]", "null", " [ ] " };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct fixture f;
        struct save_request save = { .count = 1 };
        begin(&f);
        CHECK_OK(parse_state_items(&f.rq, slice_str(bodies[i]), &save));
        CHECK_EQ_INT(save.count, 0);
        finish(&f);
    }
}

TEST(malformed_saves_are_refused_in_the_words_of_the_reference)
{
    check_save_error("", "EOF");
    check_save_error("[", "unexpected EOF");
    check_save_error("{nope", "invalid character 'n' looking for beginning of object key string");
    check_save_error("{\"key\":\"a\"}",
                     "json: cannot unmarshal object into Go value of type []state.SetRequest");
    check_save_error("[1]", "json: cannot unmarshal number into Go value of type state.SetRequest");
    check_save_error("[{\"key\":\"a\",\"value\":1},]",
                     "invalid character ']' looking for beginning of value");
    check_save_error("[{\"value\":1}]", "\"key\" is a required field");
    check_save_error("[{\"key\":\"\",\"value\":1}]", "\"key\" is a required field");
    check_save_error("[{\"key\":1,\"value\":1}]", "json: cannot unmarshal number into Go struct "
                                                  "field SetRequest.key of type string");
    check_save_error("[{\"key\":\"k1\",\"value\":1,\"etag\":1}]",
                     "json: cannot unmarshal number into Go struct field SetRequest.etag of type "
                     "string");
    check_save_error("[{\"key\":\"k1\",\"value\":1,\"options\":\"x\"}]",
                     "json: cannot unmarshal string into Go struct field SetRequest.options of "
                     "type state.SetStateOption");
    check_save_error("[{\"key\":\"k1\",\"value\":1,\"metadata\":{\"a\":1}}]",
                     "json: cannot unmarshal number into Go struct field SetRequest.metadata of "
                     "type string");
}

TEST(of_two_lists_of_one_name_the_last_counts)
{
    struct fixture f;
    struct bulk_request bulk;
    struct transaction_request transaction;
    begin(&f);
    REQUIRE_OK(parse_state_bulk(
        &f.rq, SLICE("{\"keys\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"],\"keys\":[\"a\"]}"), &bulk));
    REQUIRE(bulk.key_count == 1);
    CHECK_SLICE_IS(bulk.keys[0], "a");
    REQUIRE_OK(parse_state_bulk(&f.rq, SLICE("{\"keys\":[\"1\"],\"keys\":null}"), &bulk));
    CHECK_EQ_U64(bulk.key_count, 0);
    static const char twice[] =
        "{\"operations\":[{\"operation\":\"delete\",\"request\":{\"key\":\"1\"}},"
        "{\"operation\":\"delete\",\"request\":{\"key\":\"2\"}}],"
        "\"operations\":[{\"operation\":\"upsert\",\"request\":{\"key\":\"a\"}}]}";
    REQUIRE_OK(parse_state_transaction(&f.rq, slice_str(twice), &transaction));
    REQUIRE(transaction.count == 1);
    CHECK(!transaction.operations[0].is_delete);
    CHECK_SLICE_IS(transaction.operations[0].item.key, "a");
    finish(&f);
}

TEST(metadata_that_null_takes_back_is_gone)
{
    struct fixture f;
    struct save_request save;
    begin(&f);
    REQUIRE_OK(parse_state_items(
        &f.rq, SLICE("[{\"key\":\"a\",\"metadata\":{\"n\":\"v\"},\"metadata\":null}]"), &save));
    CHECK(save.items[0].metadata == NULL);
    CHECK_EQ_U64(save.items[0].metadata_count, 0);
    finish(&f);
}

TEST(what_follows_the_body_is_not_dropped)
{
    struct fixture f;
    struct bulk_request bulk;
    check_save_error("[{\"key\":\"a\",\"value\":1}] [{\"key\":\"b\",\"value\":2}]",
                     "invalid character '[' after top-level value");
    begin(&f);
    CHECK_EQ_INT(parse_state_bulk(&f.rq, SLICE("{\"keys\":[\"a\"]}}"), &bulk),
                 ERR_MALFORMED_REQUEST);
    finish(&f);
}

TEST(broken_syntax_counts_before_a_wrong_type)
{
    check_save_error("[{\"key\":1},", "unexpected EOF");
}

TEST(a_key_with_nul_cannot_be_saved)
{
    check_save_error("[{\"key\":\"a\\u0000b\",\"value\":1}]",
                     "names, ETags and metadata must not hold the NUL character");
}

TEST(bulk_requests_are_read_and_refused_like_the_reference)
{
    struct fixture f;
    struct bulk_request bulk;
    begin(&f);
    REQUIRE_OK(parse_state_bulk(
        &f.rq, SLICE("{\"keys\":[\"a\",\"b\"],\"parallelism\":3,\"metadata\":{\"x\":\"y\"}}"),
        &bulk));
    CHECK_EQ_INT(bulk.key_count, 2);
    CHECK_EQ_INT(bulk.parallelism, 3);
    CHECK_EQ_INT(bulk.metadata_count, 1);
    REQUIRE_OK(parse_state_bulk(&f.rq, SLICE("{\"keys\":[],\"parallelism\":-1}"), &bulk));
    CHECK_EQ_INT(bulk.parallelism, 0);
    CHECK_EQ_INT(parse_state_bulk(&f.rq, SLICE("[]"), &bulk), ERR_MALFORMED_REQUEST);
    CHECK_SLICE_IS(f.rq.error.message,
                   "failed deserializing HTTP body: json: cannot unmarshal array into Go value of "
                   "type http.BulkGetRequest");
    CHECK_EQ_INT(parse_state_bulk(&f.rq, SLICE("{\"keys\":\"a\"}"), &bulk), ERR_MALFORMED_REQUEST);
    CHECK_SLICE_IS(f.rq.error.message,
                   "failed deserializing HTTP body: json: cannot unmarshal string into Go struct "
                   "field BulkGetRequest.keys of type []string");
    CHECK_EQ_INT(parse_state_bulk(&f.rq, SLICE(""), &bulk), ERR_MALFORMED_REQUEST);
    CHECK_SLICE_IS(f.rq.error.message, "failed deserializing HTTP body: EOF");
    finish(&f);
}

TEST(transactions_are_read_in_order_and_unknown_operations_refused)
{
    struct fixture f;
    struct transaction_request transaction;
    begin(&f);
    REQUIRE_OK(parse_state_transaction(
        &f.rq,
        SLICE(
            "{\"operations\":[{\"operation\":\"upsert\",\"request\":{\"key\":\"a\",\"value\":[1]}"
            "},{\"operation\":\"delete\",\"request\":{\"key\":\"b\",\"etag\":\"3\"}}],\"metadata\""
            ":{\"m\":\"n\"}}"),
        &transaction));
    REQUIRE(transaction.count == 2);
    CHECK(!transaction.operations[0].is_delete);
    CHECK_SLICE_IS(transaction.operations[0].item.value, "[1]");
    CHECK(transaction.operations[1].is_delete);
    CHECK(transaction.operations[1].item.has_etag);
    CHECK_EQ_INT(transaction.metadata_count, 1);
    CHECK_EQ_INT(parse_state_transaction(&f.rq,
                                         SLICE("{\"operations\":[{\"operation\":\"merge\","
                                               "\"request\":{\"key\":\"t1\"}}]}"),
                                         &transaction),
                 ERR_STATE_OPERATION);
    CHECK_SLICE_IS(f.rq.error.message, "operation type merge not supported");
    CHECK_EQ_INT(parse_state_transaction(
                     &f.rq,
                     SLICE("{\"operations\":[{\"operation\":\"upsert\",\"request\":\"x\"}]}"),
                     &transaction),
                 ERR_MALFORMED_REQUEST);
    CHECK_SLICE_IS(f.rq.error.message,
                   "failed deserializing HTTP body: '' expected a map, got 'string'");
    finish(&f);
}

TEST(metadata_of_the_query_string_wins)
{
    struct arena arena;
    const struct pair own[] = { { SLICE("a"), SLICE("1") }, { SLICE("b"), SLICE("2") } };
    const struct pair over[] = { { SLICE("b"), SLICE("9") } };
    const struct pair *pairs = own;
    size_t count = 2;
    arena_init(&arena);
    merge_metadata(&arena, over, 1, &pairs, &count);
    REQUIRE(count == 2);
    CHECK_SLICE_IS(pairs[0].value, "1");
    CHECK_SLICE_IS(pairs[1].value, "9");
    arena_fini(&arena);
}
