/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the state API: save, bulk get and transaction from one input. What is accepted is
 * well-formed JSON whose values are exact spans of the body; what is refused says why; and the same
 * body is always read the same way. */
#include "surface/http_state_json.h"

#include <assert.h>

#include "base/json.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct arena arena;
    struct request rq;
    err_t err;
};

static void
begin(struct reading *reading)
{
    arena_init(&reading->arena);
    reading->rq = (struct request){ .arena = &reading->arena };
}

static void
finish(struct reading *reading)
{
    arena_fini(&reading->arena);
}

/* Both readings of a body end alike, and a refusal is one a client can be told. */
static void
assert_same_end(const struct reading *one, const struct reading *other)
{
    assert(one->err == other->err);
    assert(slice_eq(one->rq.error.message, other->rq.error.message));
    if (one->err != OK) {
        assert(one->rq.error.http == 400);
        assert(one->rq.error.message.len > 0);
    }
}

/* A body that was read is JSON, and all of it. The empty body is read as null. */
static void
assert_well_formed(const struct reading *reading, struct slice body)
{
    if (reading->err == OK)
        assert(slice_trim(body).len == 0 || json_is_valid(slice_trim(body)));
}

static void
assert_text(struct slice text)
{
    assert(text.len == 0 || slice_find_byte(text, '\0') < 0);
    assert(slice_is_utf8(text));
}

static void
assert_pairs(const struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_text(pairs[i].name);
        assert_text(pairs[i].value);
    }
}

/* A member that was left out is null, whatever the body holds. */
static void
assert_item(const struct state_item *item, struct slice body)
{
    assert(item->key.len > 0);
    assert_text(item->key);
    assert_text(item->etag);
    assert(!item->has_etag || item->etag.len > 0);
    assert_text(item->concurrency);
    assert_text(item->consistency);
    assert_pairs(item->metadata, item->metadata_count);
    if (!item->is_json)
        return; /* of a deletion without a request object */
    bool is_span = item->value.data >= body.data &&
                   item->value.data + item->value.len <= body.data + body.len;
    assert(is_span || slice_eq(item->value, SLICE("null")));
    assert(json_is_valid(item->value));
}

static void
check_save(struct slice body)
{
    struct reading one, other;
    struct save_request save, again;
    begin(&one);
    begin(&other);
    one.err = parse_state_items(&one.rq, body, &save);
    other.err = parse_state_items(&other.rq, body, &again);
    assert_same_end(&one, &other);
    assert_well_formed(&one, body);
    if (one.err == OK) {
        assert(save.count == again.count && save.count <= LIMIT_state_items_max);
        for (size_t i = 0; i < save.count; i++) {
            assert_item(&save.items[i], body);
            assert(slice_eq(save.items[i].key, again.items[i].key));
            assert(slice_eq(save.items[i].value, again.items[i].value));
        }
    }
    finish(&other);
    finish(&one);
}

static void
check_bulk(struct slice body)
{
    struct reading one, other;
    struct bulk_request bulk, again;
    begin(&one);
    begin(&other);
    one.err = parse_state_bulk(&one.rq, body, &bulk);
    other.err = parse_state_bulk(&other.rq, body, &again);
    assert_same_end(&one, &other);
    assert_well_formed(&one, body);
    if (one.err == OK) {
        assert(bulk.key_count == again.key_count && bulk.key_count <= LIMIT_state_items_max);
        assert(bulk.parallelism == again.parallelism && bulk.parallelism <= UINT16_MAX);
        for (size_t i = 0; i < bulk.key_count; i++)
            assert_text(bulk.keys[i]);
        assert_pairs(bulk.metadata, bulk.metadata_count);
    }
    finish(&other);
    finish(&one);
}

static void
check_transaction(struct slice body)
{
    struct reading one, other;
    struct transaction_request transaction, again;
    begin(&one);
    begin(&other);
    one.err = parse_state_transaction(&one.rq, body, &transaction);
    other.err = parse_state_transaction(&other.rq, body, &again);
    assert_same_end(&one, &other);
    assert_well_formed(&one, body);
    if (one.err == OK) {
        assert(transaction.count == again.count && transaction.count <= LIMIT_state_items_max);
        for (size_t i = 0; i < transaction.count; i++) {
            assert_item(&transaction.operations[i].item, body);
            assert(transaction.operations[i].is_delete == again.operations[i].is_delete);
        }
        assert_pairs(transaction.metadata, transaction.metadata_count);
    }
    finish(&other);
    finish(&one);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = slice_of((const char *)data, size);
    check_save(body);
    check_bulk(body);
    check_transaction(body);
    return 0;
}
