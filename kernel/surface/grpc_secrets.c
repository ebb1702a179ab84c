/* SPDX-License-Identifier: Apache-2.0 */
/* The secrets API over gRPC: one handler a row of methods.def. */
#include "api/secrets.h"
#include "base/wire.h"
#include "dapr/proto/runtime/v1/secret.pb-c.h"
#include "surface/grpc_surface.h"

/* map<string, string> data = 1, of GetSecretResponse, and of SecretResponse as `secrets`. */
static size_t
pairs_len(const struct secret *secret)
{
    size_t len = 0;
    for (size_t i = 0; i < secret->pair_count; i++) {
        const struct secret_pair *pair = &secret->pairs[i];
        size_t entry = wire_bytes_len(1, pair->name) + wire_bytes_len(2, pair->value);
        len += 1 + wire_varint_len(entry) + entry;
    }
    return len;
}

static char *
put_pairs(char *at, const struct secret *secret)
{
    for (size_t i = 0; i < secret->pair_count; i++) {
        const struct secret_pair *pair = &secret->pairs[i];
        at = wire_put_head(at, 1, wire_bytes_len(1, pair->name) + wire_bytes_len(2, pair->value));
        at = wire_put_bytes(at, 1, pair->name);
        at = wire_put_bytes(at, 2, pair->value);
    }
    return at;
}

static void
send(struct rpc *rpc, const char *from, const char *at)
{
    if (grpc_send(&rpc->call, slice_of(from, (size_t)(at - from))) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

void
grpc_secret_get(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__GetSecretRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__get_secret_request__descriptor);
    struct component *store;
    struct secret secret = { .name = SLICE_EMPTY };
    const struct pair *metadata;
    if (in == NULL)
        return;
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &metadata);
    if (secret_store_find(&rpc->rq, slice_str(in->store_name), &store) != OK ||
        secret_get(&rpc->rq, store, slice_str(in->key), metadata, in->n_metadata, &secret) != OK) {
        rpc_fail(rpc);
        return;
    }
    char *from = arena_alloc(rpc->rq.arena, pairs_len(&secret));
    send(rpc, from, put_pairs(from, &secret));
}

/* GetBulkSecretResponse { map<string, SecretResponse> data = 1 } */
static void
answer_all(struct rpc *rpc, const struct secret *secrets, size_t count)
{
    size_t *lens = ARENA_ARRAY(rpc->rq.arena, size_t, count + 1);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        lens[i] = pairs_len(&secrets[i]);
        bytes += wire_bytes_len(1, secrets[i].name) + lens[i] + 3 * WIRE_HEAD_MAX;
    }
    char *from = arena_alloc(rpc->rq.arena, bytes), *at = from;
    for (size_t i = 0; i < count; i++) {
        at = wire_put_head(
            at, 1, wire_bytes_len(1, secrets[i].name) + 1 + wire_varint_len(lens[i]) + lens[i]);
        at = wire_put_bytes(at, 1, secrets[i].name);
        at = put_pairs(wire_put_head(at, 2, lens[i]), &secrets[i]);
    }
    send(rpc, from, at);
}

void
grpc_secret_get_all(struct rpc *rpc)
{
    const Dapr__Proto__Runtime__V1__GetBulkSecretRequest *in = rpc_request(
        rpc, &dapr__proto__runtime__v1__get_bulk_secret_request__descriptor);
    struct component *store;
    struct secret *secrets = NULL;
    size_t count = 0;
    const struct pair *metadata;
    if (in == NULL)
        return;
    RPC_PAIRS(rpc->rq.arena, in->metadata, in->n_metadata, &metadata);
    if (secret_store_find(&rpc->rq, slice_str(in->store_name), &store) != OK ||
        secret_get_all(&rpc->rq, store, metadata, in->n_metadata, &secrets, &count) != OK)
        rpc_fail(rpc);
    else
        answer_all(rpc, secrets, count);
}
