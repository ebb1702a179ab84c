/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State management, for every surface: get, save, delete, bulk get, transaction, query, on whatever
 * store a component names. Values are opaque bytes here. Keys are the application's own; the
 * store's prefix is put on and taken off in this file's implementation.
 *
 * All functions suspend. Texts and slices given in must live until the call returns; results live
 * in the request's arena, bodies until state_body_end().
 */
#ifndef API_STATE_H
#define API_STATE_H

#include "api/request.h"

enum state_consistency { CONSISTENCY_DEFAULT, CONSISTENCY_EVENTUAL, CONSISTENCY_STRONG };
enum state_concurrency { CONCURRENCY_DEFAULT, CONCURRENCY_FIRST_WRITE, CONCURRENCY_LAST_WRITE };

/* "eventual", "strong" or "" / "first-write", "last-write" or "". False for other words. */
bool state_consistency_from(struct slice text, enum state_consistency *ret_value);
bool state_concurrency_from(struct slice text, enum state_concurrency *ret_value);

/* The store of that name, held until the request ends, or the error for it recorded. Surfaces ask
 * before they read a body. */
err_t
state_store_find(struct request *rq, struct slice name, struct component **ret_store) WARN_UNUSED;

/* Options arrive as words; what a word means is checked here, so that all surfaces say the same. */
struct state_item {
    struct slice key;
    struct slice value;
    bool is_json; /* the value is a JSON text: what HTTP clients send */
    bool is_bare; /* the kernel's own: stored without prefix and encryption */
    bool has_etag;
    struct slice etag;
    struct slice concurrency;
    struct slice consistency;
    struct slice content_type; /* as it stands beside the value; empty: not given */
    const struct pair *metadata;
    size_t metadata_count;
};

/* One value on its way from a store: read it with state_body_read(). */
struct state_value {
    bool found;
    bool has_etag;
    struct slice etag;
    int64_t expires_unix_ms; /* 0: never, or the store does not say */
    int64_t value_bytes;
};

struct state_get {
    struct slice key;
    bool is_bare; /* as in state_item */
    enum state_consistency consistency;
    const struct pair *metadata;
    size_t metadata_count;
};

/* The open answer of a store whose body follows. */
struct state_body {
    struct component_call call;
    bool is_decrypted; /* then all of it is here */
    struct slice decrypted;
};

err_t state_get(struct request *rq, struct component *store, const struct state_get *in,
                struct state_value *ret_value, struct state_body *ret_body) WARN_UNUSED;

/* Next bytes of the body; empty at its end. A failure here comes after the answer has begun. */
err_t
state_body_read(struct request *rq, struct state_body *body, struct slice *ret_chunk) WARN_UNUSED;
/* All of it in the request's arena; ERR_TOO_LARGE beyond bytes_max. */
err_t state_body_all(struct request *rq, struct state_body *body, size_t bytes_max,
                     struct slice *ret_bytes) WARN_UNUSED;
/* Always, also after an error. */
void state_body_end(struct request *rq, struct state_body *body);

err_t state_save(struct request *rq, struct component *store, const struct state_item *items,
                 size_t count) WARN_UNUSED;
/* `item` without a value. */
err_t state_delete(struct request *rq, struct component *store,
                   const struct state_item *item) WARN_UNUSED;

/* One after the other; the first failure ends it. */
err_t state_bulk_delete(struct request *rq, struct component *store, const struct state_item *items,
                        size_t count) WARN_UNUSED;

struct state_bulk_item {
    struct slice key; /* the application's */
    struct state_value value;
    struct slice error; /* not empty: this one failed */
};

/* The values follow in the body, in the order of the items, value_bytes each. */
err_t state_bulk_get(struct request *rq, struct component *store, const struct state_get *gets,
                     size_t count, uint32_t parallelism, struct state_bulk_item **ret_items,
                     struct state_body *ret_body) WARN_UNUSED;

struct state_operation {
    bool is_delete;
    struct state_item item;
};

/* Together with messages, if the store has an outbox. */
err_t state_transact(struct request *rq, struct component *store,
                     const struct state_operation *operations, size_t count,
                     const struct pair *metadata, size_t metadata_count) WARN_UNUSED;

struct state_query_result {
    struct state_bulk_item *items;
    size_t count;
    struct slice token;
    struct pair *metadata;
    size_t metadata_count;
};

/* `query` is the JSON document of the query API. */
err_t state_query(struct request *rq, struct component *store, struct slice query,
                  const struct pair *metadata, size_t metadata_count,
                  struct state_query_result *ret_result, struct state_body *ret_body) WARN_UNUSED;

#endif
