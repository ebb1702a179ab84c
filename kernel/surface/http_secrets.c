/* SPDX-License-Identifier: Apache-2.0 */
/* The secrets API over HTTP: one handler a row of methods.def. */
#include <stdlib.h>

#include "api/secrets.h"
#include "surface/http_surface.h"

static int
compare_pairs(const void *a, const void *b)
{
    return slice_cmp(((const struct secret_pair *)a)->name, ((const struct secret_pair *)b)->name);
}

/* `{"name":"value"}`, names in byte order as the reference writes maps. */
static void
put_pairs(struct http_json_writer *writer, const struct secret *secret)
{
    if (secret->pair_count > 1)
        qsort(secret->pairs, secret->pair_count, sizeof *secret->pairs, compare_pairs);
    http_json_put(writer, SLICE("{"));
    for (size_t i = 0; i < secret->pair_count; i++) {
        if (i > 0)
            http_json_put(writer, SLICE(","));
        http_json_put_string(writer, secret->pairs[i].name);
        http_json_put(writer, SLICE(":"));
        http_json_put_string(writer, secret->pairs[i].value);
    }
    http_json_put(writer, SLICE("}"));
}

void
http_secret_get(struct http_call *call)
{
    struct component *store;
    struct secret secret = { .name = SLICE_EMPTY };
    const struct pair *metadata;
    size_t metadata_count;
    http_query_metadata(call, &metadata, &metadata_count);
    if (secret_store_find(&call->rq, call->params[0], &store) != OK ||
        secret_get(&call->rq, store, call->params[1], metadata, metadata_count, &secret) != OK) {
        http_fail(call);
        return;
    }
    struct http_json_writer writer;
    http_json_writer_init(&writer, call);
    put_pairs(&writer, &secret);
    http_json_put(&writer, SLICE("\n"));
    http_json_writer_end(&writer);
}

void
http_secret_get_all(struct http_call *call)
{
    struct component *store;
    struct secret *secrets = NULL;
    size_t count = 0;
    const struct pair *metadata;
    size_t metadata_count;
    http_query_metadata(call, &metadata, &metadata_count);
    if (secret_store_find(&call->rq, call->params[0], &store) != OK ||
        secret_get_all(&call->rq, store, metadata, metadata_count, &secrets, &count) != OK) {
        http_fail(call);
        return;
    }
    struct http_json_writer writer;
    http_json_writer_init(&writer, call);
    http_json_put(&writer, SLICE("{"));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            http_json_put(&writer, SLICE(","));
        http_json_put_string(&writer, secrets[i].name);
        http_json_put(&writer, SLICE(":"));
        put_pairs(&writer, &secrets[i]);
    }
    http_json_put(&writer, SLICE("}\n"));
    http_json_writer_end(&writer);
}
