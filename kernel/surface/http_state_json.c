/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of the state API; see http_state_json.h. The reference checks the syntax of the whole body
 * before it looks at types, and reports the first wrong type; so a wrong type is remembered here
 * and the rest is still read.
 */
#include "surface/http_state_json.h"

#include <assert.h>

#include "base/limits.h"
#include "surface/body_json.h"

static void
read_options(struct body_parser *p, struct state_item *item)
{
    enum json_type type = json_peek(&p->json);
    if (type != JSON_OBJECT) {
        if (type != JSON_NULL)
            body_wrong_field(p, type, "options", "state.SetStateOption");
        body_skip(p);
        return;
    }
    struct slice name;
    json_enter(&p->json);
    while (json_object_next(&p->json, p->rq->arena, &name)) {
        if (slice_eq_nocase(name, SLICE("concurrency")))
            (void)body_read_text(p, "options.concurrency", &item->concurrency); /* null: unset */
        else if (slice_eq_nocase(name, SLICE("consistency")))
            (void)body_read_text(p, "options.consistency", &item->consistency);
        else
            body_skip(p);
    }
}

static void
read_item_field(struct body_parser *p, struct slice name, struct state_item *item)
{
    struct pair *pairs = NULL;
    if (slice_eq_nocase(name, SLICE("key"))) {
        (void)body_read_text(p, "key", &item->key); /* null: empty, refused later */
    } else if (slice_eq_nocase(name, SLICE("value"))) {
        (void)json_skip(&p->json, &item->value); /* the parser remembers a failure */
    } else if (slice_eq_nocase(name, SLICE("etag"))) {
        item->has_etag = body_read_text(p, "etag", &item->etag) && item->etag.len > 0;
    } else if (slice_eq_nocase(name, SLICE("metadata"))) {
        body_read_metadata(p, &pairs, &item->metadata_count);
        item->metadata = pairs;
    } else if (slice_eq_nocase(name, SLICE("contentType"))) {
        (void)body_read_text(p, "contentType", &item->content_type); /* null: unset */
    } else if (slice_eq_nocase(name, SLICE("options"))) {
        read_options(p, item);
    } else {
        body_skip(p);
    }
}

/* One item that json_peek() saw to be an object. */
static struct state_item
read_item(struct body_parser *p)
{
    struct state_item item = { .key = SLICE_EMPTY,
                               .value = SLICE("null"),
                               .is_json = true,
                               .etag = SLICE_EMPTY,
                               .concurrency = SLICE_EMPTY,
                               .consistency = SLICE_EMPTY,
                               .content_type = SLICE_EMPTY };
    struct slice name;
    json_enter(&p->json);
    while (json_object_next(&p->json, p->rq->arena, &name))
        read_item_field(p, name, &item);
    return item;
}

static err_t
too_many(struct request *rq)
{
    return fail(rq, ERR_MALFORMED_REQUEST, "a request is limited to %d items",
                LIMIT_state_items_max);
}

static err_t
need_keys(struct request *rq, const struct state_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].key.len == 0)
            return fail(rq, ERR_MALFORMED_REQUEST, "\"key\" is a required field");
    return OK;
}

err_t
parse_state_items(struct request *rq, struct slice body, struct save_request *ret_save)
{
    struct body_parser p = body_parser_of(rq, body, "SetRequest");
    struct state_item *items = NULL;
    size_t count = 0, capacity = 0;
    enum json_type type = json_peek(&p.json);
    if (type != JSON_ARRAY) {
        if (type != JSON_NULL && type != JSON_NONE)
            body_wrong_value(&p, type, "[]state.SetRequest");
        body_skip(&p);
    } else {
        json_enter(&p.json);
        while (json_array_next(&p.json)) {
            if (count == LIMIT_state_items_max)
                return too_many(rq);
            items = body_grow(rq->arena, items, count, &capacity, sizeof *items);
            enum json_type item_type = json_peek(&p.json);
            if (item_type == JSON_OBJECT) {
                items[count++] = read_item(&p);
                continue;
            }
            if (item_type != JSON_NULL && item_type != JSON_NONE)
                body_wrong_value(&p, item_type, "state.SetRequest");
            items[count++] = (struct state_item){ .key = SLICE_EMPTY };
            body_skip(&p);
        }
    }
    err_t err = body_verdict(&p, "");
    if (err == OK)
        err = need_keys(rq, items, count);
    *ret_save = (struct save_request){ .items = items, .count = count };
    return err;
}

/* --- bulk --------------------------------------------------------------------------------------*/

static err_t
read_keys(struct body_parser *p, struct bulk_request *bulk)
{
    enum json_type type = json_peek(&p->json);
    size_t capacity = 0;
    bulk->keys = NULL; /* of two members of that name the last counts */
    bulk->key_count = 0;
    if (type != JSON_ARRAY) {
        if (type != JSON_NULL)
            body_wrong_field(p, type, "keys", "[]string");
        body_skip(p);
        return OK;
    }
    json_enter(&p->json);
    while (json_array_next(&p->json)) {
        if (bulk->key_count == LIMIT_state_items_max)
            return too_many(p->rq);
        struct slice key = SLICE_EMPTY;
        (void)body_read_text(p, "keys", &key); /* null: the empty key */
        bulk->keys = body_grow(p->rq->arena, bulk->keys, bulk->key_count, &capacity, sizeof key);
        bulk->keys[bulk->key_count++] = key;
    }
    return OK;
}

static void
read_parallelism(struct body_parser *p, uint32_t *ret_parallelism)
{
    enum json_type type = json_peek(&p->json);
    struct slice raw;
    int64_t value;
    if (type != JSON_NUMBER) {
        if (type != JSON_NULL)
            body_wrong_field(p, type, "parallelism", "int");
        body_skip(p);
    } else if (json_scalar(&p->json, &raw)) {
        if (!slice_to_i64(raw, &value)) {
            body_wrong_field(p, type, "parallelism", "int");
            return;
        }
        *ret_parallelism = value <= 0 ? 0 : value > UINT16_MAX ? UINT16_MAX : (uint32_t)value;
    }
}

err_t
parse_state_bulk(struct request *rq, struct slice body, struct bulk_request *ret_bulk)
{
    struct body_parser p = body_parser_of(rq, body, "BulkGetRequest");
    struct slice name;
    *ret_bulk = (struct bulk_request){ 0 };
    enum json_type type = json_peek(&p.json);
    if (type != JSON_OBJECT) {
        if (type != JSON_NULL && type != JSON_NONE)
            body_wrong_value(&p, type, "http.BulkGetRequest");
        body_skip(&p);
    } else {
        json_enter(&p.json);
        while (json_object_next(&p.json, rq->arena, &name)) {
            err_t err = OK;
            if (slice_eq_nocase(name, SLICE("keys")))
                err = read_keys(&p, ret_bulk);
            else if (slice_eq_nocase(name, SLICE("parallelism")))
                read_parallelism(&p, &ret_bulk->parallelism);
            else if (slice_eq_nocase(name, SLICE("metadata")))
                body_read_metadata(&p, &ret_bulk->metadata, &ret_bulk->metadata_count);
            else
                body_skip(&p);
            if (err != OK)
                return err;
        }
    }
    return body_verdict(&p, "failed deserializing HTTP body: ");
}

/* --- transaction -------------------------------------------------------------------------------*/

/* The reference decodes `request` a second time, with a library that words type errors its own
 * way. */
static void
wrong_request(struct body_parser *p, enum json_type type)
{
    static const char *const go_types[] = {
        [JSON_NONE] = "nothing",   [JSON_NULL] = "nothing",  [JSON_BOOL] = "bool",
        [JSON_NUMBER] = "float64", [JSON_STRING] = "string", [JSON_ARRAY] = "slice",
        [JSON_OBJECT] = "map",
    };
    if (p->wrong.len == 0)
        p->wrong = arena_printf(p->rq->arena, "'' expected a map, got '%s'", go_types[type]);
}

static void
read_operation(struct body_parser *p, struct state_operation *operation, struct slice *ret_kind)
{
    struct slice name;
    operation->item = (struct state_item){ .key = SLICE_EMPTY };
    json_enter(&p->json);
    while (json_object_next(&p->json, p->rq->arena, &name)) {
        if (slice_eq_nocase(name, SLICE("operation"))) {
            (void)body_read_text(p, "operation", ret_kind); /* null: empty, refused later */
        } else if (slice_eq_nocase(name, SLICE("request"))) {
            enum json_type type = json_peek(&p->json);
            if (type == JSON_OBJECT) {
                operation->item = read_item(p);
                continue;
            }
            if (type != JSON_NULL && type != JSON_NONE)
                wrong_request(p, type);
            body_skip(p);
        } else {
            body_skip(p);
        }
    }
}

static err_t
read_operations(struct body_parser *p, struct transaction_request *transaction,
                struct slice **ret_kinds)
{
    enum json_type type = json_peek(&p->json);
    size_t capacity = 0, kind_capacity = 0;
    transaction->operations = NULL; /* of two members of that name the last counts */
    transaction->count = 0;
    *ret_kinds = NULL;
    if (type != JSON_ARRAY) {
        if (type != JSON_NULL)
            body_wrong_field(p, type, "operations", "[]http.stateTransactionRequestBodyOperation");
        body_skip(p);
        return OK;
    }
    json_enter(&p->json);
    while (json_array_next(&p->json)) {
        if (transaction->count == LIMIT_state_items_max)
            return too_many(p->rq);
        size_t at = transaction->count++;
        transaction->operations = body_grow(p->rq->arena, transaction->operations, at, &capacity,
                                            sizeof *transaction->operations);
        *ret_kinds = body_grow(p->rq->arena, *ret_kinds, at, &kind_capacity, sizeof **ret_kinds);
        transaction->operations[at] = (struct state_operation){ .item = { .key = SLICE_EMPTY } };
        (*ret_kinds)[at] = SLICE_EMPTY;
        enum json_type operation_type = json_peek(&p->json);
        if (operation_type == JSON_OBJECT) {
            read_operation(p, &transaction->operations[at], &(*ret_kinds)[at]);
            continue;
        }
        if (operation_type != JSON_NULL && operation_type != JSON_NONE)
            body_wrong_field(p, operation_type, "operations",
                             "http.stateTransactionRequestBodyOperation");
        body_skip(p);
    }
    return OK;
}

static err_t
check_operations(struct request *rq, struct transaction_request *transaction,
                 const struct slice *kinds)
{
    assert(kinds != NULL || transaction->count == 0);
    for (size_t i = 0; i < transaction->count; i++) {
        struct state_operation *operation = &transaction->operations[i];
        operation->is_delete = slice_eq(kinds[i], SLICE("delete"));
        if (!operation->is_delete && !slice_eq(kinds[i], SLICE("upsert")))
            return fail(rq, ERR_STATE_OPERATION, "operation type " SLICE_FMT " not supported",
                        SLICE_ARG(kinds[i]));
        if (operation->item.key.len == 0)
            return fail(rq, ERR_MALFORMED_REQUEST, "\"key\" is a required field");
    }
    return OK;
}

err_t
parse_state_transaction(struct request *rq, struct slice body,
                        struct transaction_request *ret_transaction)
{
    struct body_parser p = body_parser_of(rq, body, "stateTransactionRequestBody");
    struct slice *kinds = NULL, name;
    *ret_transaction = (struct transaction_request){ 0 };
    enum json_type type = json_peek(&p.json);
    if (type != JSON_OBJECT) {
        if (type != JSON_NULL && type != JSON_NONE)
            body_wrong_value(&p, type, "http.stateTransactionRequestBody");
        body_skip(&p);
    } else {
        json_enter(&p.json);
        while (json_object_next(&p.json, rq->arena, &name)) {
            err_t err = OK;
            if (slice_eq_nocase(name, SLICE("operations")))
                err = read_operations(&p, ret_transaction, &kinds);
            else if (slice_eq_nocase(name, SLICE("metadata")))
                body_read_metadata(&p, &ret_transaction->metadata,
                                   &ret_transaction->metadata_count);
            else
                body_skip(&p);
            if (err != OK)
                return err;
        }
    }
    err_t err = body_verdict(&p, "failed deserializing HTTP body: ");
    return err != OK ? err : check_operations(rq, ret_transaction, kinds);
}

void
merge_metadata(struct arena *arena, const struct pair *over, size_t over_count,
               const struct pair **pairs, size_t *count)
{
    if (over_count == 0)
        return;
    struct pair *merged = ARENA_ARRAY(arena, struct pair, over_count + *count);
    size_t merged_count = 0;
    for (size_t i = 0; i < *count; i++) {
        bool is_replaced = false;
        for (size_t j = 0; j < over_count && !is_replaced; j++)
            is_replaced = slice_eq((*pairs)[i].name, over[j].name);
        if (!is_replaced)
            merged[merged_count++] = (*pairs)[i];
    }
    memcpy(merged + merged_count, over, over_count * sizeof *over);
    *pairs = merged;
    *count = merged_count + over_count;
}
