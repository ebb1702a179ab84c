/* SPDX-License-Identifier: Apache-2.0 */
/* The state API over HTTP: one handler a row of methods.def. */
#include "api/state.h"
#include "async/offload.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/limits.h"
#include "surface/http_state_json.h"
#include "surface/http_surface.h"

/* The store named in the path; false: the answer has been given. */
static bool
find_store(struct http_call *call, struct component **ret_store)
{
    if (state_store_find(&call->rq, call->params[0], ret_store) == OK)
        return true;
    http_fail(call);
    return false;
}

/* --- get ---------------------------------------------------------------------------------------*/

/* In whole seconds, as the reference shows it. */
static struct slice
expiry_text(int64_t expires_unix_ms, char ret_text[CLOCK_RFC3339_BYTES])
{
    return clock_rfc3339(expires_unix_ms - expires_unix_ms % 1000, ret_text);
}

static size_t
value_headers(struct http_call *call, const struct state_value *value,
              struct http_header headers[HTTP_OWN_HEADERS_MAX])
{
    size_t count = 0;
    headers[count++] = (struct http_header){ SLICE("Content-Type"), SLICE("application/json") };
    if (value->has_etag)
        headers[count++] = (struct http_header){ SLICE("Etag"), value->etag };
    if (value->expires_unix_ms != 0) {
        char *text = arena_alloc(call->rq.arena, CLOCK_RFC3339_BYTES);
        headers[count++] = (struct http_header){ SLICE("Metadata.ttlexpiretime"),
                                                 expiry_text(value->expires_unix_ms, text) };
    }
    return count;
}

/* A value that came in one piece is answered at once; a larger one flows through. */
static void
answer_value(struct http_call *call, const struct state_value *value, struct state_body *body)
{
    struct http_header headers[HTTP_OWN_HEADERS_MAX];
    size_t count = value_headers(call, value, headers);
    struct slice chunk;
    err_t err = state_body_read(&call->rq, body, &chunk);
    if (err != OK) {
        (void)fail(&call->rq, ERR_STATE_GET,
                   "fail to get " SLICE_FMT " from state store " SLICE_FMT
                   ": the plugin was lost while it answered",
                   SLICE_ARG(call->params[1]), SLICE_ARG(call->params[0]));
        http_fail(call);
        return;
    }
    if ((int64_t)chunk.len == value->value_bytes) {
        http_answer(call, 200, headers, count, chunk);
        return;
    }
    err = http_answer_start(call, 200, headers, count, value->value_bytes);
    while (err == OK && chunk.len > 0) {
        err = http_reply_write(call->x, chunk);
        if (err == OK)
            err = state_body_read(&call->rq, body, &chunk);
    }
    if (err == OK)
        (void)http_reply_end(call->x); /* otherwise the client must see a cut answer */
}

void
http_state_get(struct http_call *call)
{
    struct component *store;
    struct state_value value;
    struct state_body body;
    if (!find_store(call, &store) || http_admit(call->x) != OK)
        return;
    struct state_get get = { .key = call->params[1] };
    /* An unknown word is ignored here, as the reference does. */
    if (!state_consistency_from(http_option(call, "consistency"), &get.consistency))
        get.consistency = CONSISTENCY_DEFAULT;
    http_query_metadata(call, &get.metadata, &get.metadata_count);
    if (state_get(&call->rq, store, &get, &value, &body) != OK)
        http_fail(call);
    else if (!value.found)
        http_no_content(call);
    else
        answer_value(call, &value, &body);
    state_body_end(&call->rq, &body);
}

/* --- save and delete ---------------------------------------------------------------------------*/

static err_t
parse_save(struct request *rq, struct slice body, void *ret)
{
    return parse_state_items(rq, body, ret);
}

void
http_state_save(struct http_call *call)
{
    struct component *store;
    struct save_request save;
    const struct pair *metadata;
    size_t metadata_count;
    if (!find_store(call, &store) || !http_parse(call, parse_save, &save))
        return;
    http_query_metadata(call, &metadata, &metadata_count);
    for (size_t i = 0; i < save.count; i++)
        merge_metadata(call->rq.arena, metadata, metadata_count, &save.items[i].metadata,
                       &save.items[i].metadata_count);
    if (state_save(&call->rq, store, save.items, save.count) == OK)
        http_no_content(call);
    else
        http_fail(call);
}

void
http_state_delete(struct http_call *call)
{
    struct component *store;
    if (!find_store(call, &store))
        return;
    struct slice etag = http_header_get(call->x, SLICE("If-Match"));
    struct state_item item = { .key = call->params[1],
                               .has_etag = etag.data != NULL && etag.len > 0,
                               .etag = etag,
                               .concurrency = http_option(call, "concurrency"),
                               .consistency = http_option(call, "consistency") };
    http_query_metadata(call, &item.metadata, &item.metadata_count);
    if (state_delete(&call->rq, store, &item) == OK)
        http_no_content(call);
    else
        http_fail(call);
}

/* --- bulk get and query ------------------------------------------------------------------------*/

/* The next `bytes` of the body in one piece. */
static err_t
read_exactly(struct http_call *call, struct state_body *body, struct slice *pending, size_t bytes,
             struct buf *out)
{
    buf_clear(out);
    while (out->len < bytes) {
        if (pending->len == 0) {
            err_t err = state_body_read(&call->rq, body, pending); /* suspends */
            if (err != OK)
                return err;
            if (pending->len == 0)
                return ERR_PLUGIN_PROTOCOL;
        }
        struct slice part = slice_first(*pending, bytes - out->len);
        if (!buf_append(out, part))
            return ERR_TOO_LARGE;
        *pending = slice_from(*pending, part.len);
    }
    return OK;
}

static struct slice
base64_of(struct arena *arena, struct slice bytes)
{
    size_t len = base64_encoded_len(bytes.len);
    char *text = arena_alloc(arena, len);
    base64_encode(bytes, text);
    return slice_of(text, len);
}

static err_t
check_json(void *arg)
{
    return json_is_valid(*(const struct slice *)arg) ? OK : ERR_MALFORMED;
}

/* Large values are looked at on another thread, for the same reason as large bodies. Suspends. */
static bool
is_json(struct http_json_writer *writer, struct slice value)
{
    err_t err = ERR_OVERLOADED;
    if (value.len > LIMIT_parse_here_bytes)
        err = offload_run(writer->call->rq.task, check_json, &value);
    return err == ERR_OVERLOADED ? json_is_valid(value) : err == OK;
}

/* A value that is no JSON (bytes saved over gRPC) is shown as a string, base64 if it is no text. */
static void
put_value(struct http_json_writer *writer, struct slice value)
{
    if (value.len == 0)
        return;
    http_json_put(writer, SLICE(",\"data\":"));
    if (is_json(writer, value))
        http_json_put(writer, slice_trim(value));
    else if (slice_is_utf8(value))
        http_json_put_string(writer, value);
    else
        http_json_put_string(writer, base64_of(writer->call->rq.arena, value));
}

static void
put_item(struct http_json_writer *writer, const struct state_bulk_item *item, struct slice value)
{
    http_json_put(writer, SLICE("{\"key\":"));
    http_json_put_string(writer, item->key);
    if (item->value.found)
        put_value(writer, value);
    if (item->value.has_etag) {
        http_json_put(writer, SLICE(",\"etag\":"));
        http_json_put_string(writer, item->value.etag);
    }
    if (item->value.expires_unix_ms != 0) {
        char text[CLOCK_RFC3339_BYTES];
        http_json_put(writer, SLICE(",\"metadata\":{\"ttlExpireTime\":"));
        http_json_put_string(writer, expiry_text(item->value.expires_unix_ms, text));
        http_json_put(writer, SLICE("}"));
    }
    if (item->error.len > 0) {
        http_json_put(writer, SLICE(",\"error\":"));
        http_json_put_string(writer, item->error);
    }
    http_json_put(writer, SLICE("}"));
}

/* `[item,item]`, each value read as it is its turn. */
static err_t
put_items(struct http_json_writer *writer, const struct state_bulk_item *items, size_t count,
          struct state_body *body)
{
    struct slice pending = SLICE_EMPTY;
    struct buf value;
    err_t err = OK;
    buf_init(&value, SIZE_MAX / 2); /* as large as what the store accepted before */
    http_json_put(writer, SLICE("["));
    for (size_t i = 0; i < count && err == OK && writer->err == OK; i++) {
        size_t bytes = (size_t)items[i].value.value_bytes;
        err = read_exactly(writer->call, body, &pending, bytes, &value);
        if (err != OK)
            break;
        if (i > 0)
            http_json_put(writer, SLICE(","));
        put_item(writer, &items[i], buf_slice(&value));
    }
    http_json_put(writer, SLICE("]"));
    buf_fini(&value);
    return err;
}

static void
answer_bulk(struct http_call *call, const struct state_bulk_item *items, size_t count,
            struct state_body *body)
{
    struct http_json_writer writer;
    http_json_writer_init(&writer, call);
    if (put_items(&writer, items, count, body) != OK) {
        (void)fail(&call->rq, ERR_STATE_BULK_GET, "the plugin was lost while it answered");
        http_json_writer_abort(&writer);
        return;
    }
    http_json_put(&writer, SLICE("\n"));
    http_json_writer_end(&writer);
}

static err_t
parse_bulk(struct request *rq, struct slice body, void *ret)
{
    return parse_state_bulk(rq, body, ret);
}

void
http_state_bulk_get(struct http_call *call)
{
    struct component *store;
    struct bulk_request bulk;
    struct state_bulk_item *items = NULL;
    struct state_body body;
    const struct pair *metadata;
    size_t metadata_count;
    if (!find_store(call, &store) || !http_parse(call, parse_bulk, &bulk) ||
        http_admit(call->x) != OK)
        return;
    const struct pair *own = bulk.metadata;
    http_query_metadata(call, &metadata, &metadata_count);
    merge_metadata(call->rq.arena, metadata, metadata_count, &own, &bulk.metadata_count);
    struct state_get *gets = ARENA_ARRAY(call->rq.arena, struct state_get, bulk.key_count + 1);
    for (size_t i = 0; i < bulk.key_count; i++)
        gets[i] = (struct state_get){ .key = bulk.keys[i],
                                      .metadata = own,
                                      .metadata_count = bulk.metadata_count };
    if (state_bulk_get(&call->rq, store, gets, bulk.key_count, bulk.parallelism, &items, &body) !=
        OK)
        http_fail(call);
    else
        answer_bulk(call, items, bulk.key_count, &body);
    state_body_end(&call->rq, &body);
}

static void
answer_query(struct http_call *call, const struct state_query_result *result,
             struct state_body *body)
{
    struct http_json_writer writer;
    http_json_writer_init(&writer, call);
    http_json_put(&writer, SLICE("{\"results\":"));
    if (put_items(&writer, result->items, result->count, body) != OK) {
        (void)fail(&call->rq, ERR_STATE_QUERY,
                   "state store " SLICE_FMT " query failed: the plugin was lost",
                   SLICE_ARG(call->params[0]));
        http_json_writer_abort(&writer);
        return;
    }
    if (result->token.len > 0) {
        http_json_put(&writer, SLICE(",\"token\":"));
        http_json_put_string(&writer, result->token);
    }
    for (size_t i = 0; i < result->metadata_count; i++) {
        http_json_put(&writer, i == 0 ? SLICE(",\"metadata\":{") : SLICE(","));
        http_json_put_string(&writer, result->metadata[i].name);
        http_json_put(&writer, SLICE(":"));
        http_json_put_string(&writer, result->metadata[i].value);
    }
    http_json_put(&writer, result->metadata_count > 0 ? SLICE("}}") : SLICE("}"));
    http_json_writer_end(&writer);
}

void
http_state_query(struct http_call *call)
{
    struct component *store;
    struct slice query;
    struct state_query_result result;
    struct state_body body;
    const struct pair *metadata;
    size_t metadata_count;
    if (state_store_find(&call->rq, call->params[0], &store) != OK) {
        call->rq.error.info = NULL; /* the reference does not say the app id here */
        call->rq.error.info_count = 0;
        http_fail(call);
        return;
    }
    if (!http_read_body(call, &query) || http_admit(call->x) != OK)
        return;
    http_query_metadata(call, &metadata, &metadata_count);
    if (state_query(&call->rq, store, query, metadata, metadata_count, &result, &body) != OK)
        http_fail(call);
    else
        answer_query(call, &result, &body);
    state_body_end(&call->rq, &body);
}

/* --- transaction -------------------------------------------------------------------------------*/

static err_t
parse_transaction(struct request *rq, struct slice body, void *ret)
{
    return parse_state_transaction(rq, body, ret);
}

void
http_state_transact(struct http_call *call)
{
    struct component *store;
    struct transaction_request transaction;
    const struct pair *metadata;
    size_t metadata_count;
    if (!find_store(call, &store) || !http_parse(call, parse_transaction, &transaction))
        return;
    const struct pair *own = transaction.metadata;
    http_query_metadata(call, &metadata, &metadata_count);
    merge_metadata(call->rq.arena, metadata, metadata_count, &own, &transaction.metadata_count);
    if (state_transact(&call->rq, store, transaction.operations, transaction.count, own,
                       transaction.metadata_count) == OK) {
        http_no_content(call);
        return;
    }
    call->rq.error.violation_field = SLICE_EMPTY; /* the reference does not name the key here */
    http_fail(call);
}
