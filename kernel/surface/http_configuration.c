/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration API over HTTP: one handler a row of methods.def. */
#include "api/configuration.h"
#include "api/configuration_app.h"
#include "api/configuration_watch.h"
#include "base/limits.h"
#include "http/query.h"
#include "surface/http_surface.h"
#include "surface/observe.h"

enum { ITEM_BYTES_MAX = 32 * 1024 * 1024 };

/* `key` as often as it is there, and `metadata.NAME`. False: the request has been answered. */
static bool
read_query(struct http_call *call, struct configuration_query *ret_query)
{
    struct slice rest = call->x->query, name, value;
    size_t count = 0, room = 0;
    struct slice *keys = NULL;
    while (query_next(&rest, call->rq.arena, &name, &value)) {
        if (!slice_eq(name, SLICE("key")))
            continue;
        if (slice_find_byte(value, '\0') >= 0) {
            (void)fail(&call->rq, ERR_MALFORMED_REQUEST, "a key holds a NUL");
            http_fail(call);
            return false;
        }
        if (count == room) {
            keys = arena_grow(call->rq.arena, keys, room * sizeof *keys,
                              (room * 2 + 8) * sizeof *keys);
            room = room * 2 + 8;
        }
        keys[count++] = value;
    }
    ret_query->keys = keys;
    ret_query->key_count = count;
    http_query_metadata(call, &ret_query->metadata, &ret_query->metadata_count);
    return true;
}

static bool
put_item(struct http_json_writer *writer, struct buf *scratch,
         const struct configuration_item *item)
{
    buf_clear(scratch);
    bool ok = configuration_put_json(scratch, item);
    http_json_put_string(writer, item->key);
    http_json_put(writer, SLICE(":"));
    http_json_put(writer, ok ? buf_slice(scratch) : SLICE("{}"));
    return ok;
}

static void
answer_items(struct http_call *call, const struct configuration_item *items, size_t count)
{
    struct http_json_writer writer;
    struct buf scratch;
    buf_init(&scratch, ITEM_BYTES_MAX);
    http_json_writer_init(&writer, call);
    http_json_put(&writer, SLICE("{"));
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        if (i > 0)
            http_json_put(&writer, SLICE(","));
        ok = put_item(&writer, &scratch, &items[i]);
    }
    http_json_put(&writer, SLICE("}\n"));
    http_json_writer_end(&writer);
    buf_fini(&scratch);
}

void
http_configuration_get(struct http_call *call)
{
    struct component *store;
    struct configuration_query query;
    struct configuration_item *items = NULL;
    size_t count = 0;
    if (configuration_store_find(&call->rq, call->params[0], &store) != OK) {
        http_fail(call);
        return;
    }
    if (!read_query(call, &query))
        return;
    if (configuration_get(&call->rq, store, &query, &items, &count) != OK) /* suspends */
        http_fail(call);
    else if (count == 0)
        http_no_content(call);
    else
        answer_items(call, items, count);
}

void
http_configuration_subscribe(struct http_call *call)
{
    struct component *store;
    struct configuration_query query;
    struct slice id;
    if (configuration_store_find(&call->rq, call->params[0], &store) != OK) {
        http_fail(call);
        return;
    }
    if (!read_query(call, &query))
        return;
    if (configuration_app_subscribe(&call->rq, store, &query, &id) != OK) { /* suspends */
        http_fail(call);
        return;
    }
    http_json(call, 200,
              arena_printf(call->rq.arena, "{\"id\":\"" SLICE_FMT "\"}\n", SLICE_ARG(id)));
}

/* The reference answers a failure without a code. */
void
http_configuration_unsubscribe(struct http_call *call)
{
    struct component *store;
    struct slice id = call->params[1];
    if (configuration_store_find(&call->rq, call->params[0], &store) != OK) {
        http_fail(call);
        return;
    }
    if (configuration_unsubscribe(id)) {
        http_json(call, 200, SLICE("{\"ok\":true}\n"));
        return;
    }
    (void)fail(&call->rq, ERR_CONFIGURATION_UNSUBSCRIBE,
               "failed to unsubscribe to configuration request " SLICE_FMT
               ": subscription with id " SLICE_FMT " does not exist",
               SLICE_ARG(id), SLICE_ARG(id));
    observe_error(&call->rq);
    struct http_json_writer writer;
    http_json_writer_init(&writer, call);
    http_json_put(&writer, SLICE("{\"message\":"));
    http_json_put_string(&writer, call->rq.error.message);
    http_json_put(&writer, SLICE("}\n"));
    http_json(call, call->rq.error.http, arena_dup(call->rq.arena, buf_slice(&writer.buf)));
    buf_fini(&writer.buf);
}
