/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of the state API as structs. Values are spans of the body: their bytes stay exactly as the
 * client sent them. Error texts are what Go's encoding/json says of the same body in the reference.
 */
#ifndef SURFACE_HTTP_STATE_JSON_H
#define SURFACE_HTTP_STATE_JSON_H

#include "api/state.h"

/* Each records ERR_MALFORMED_REQUEST (or a more fitting error) and returns it, or fills its result,
 * which lives in the request's arena and borrows from `body`. None suspends: http_parse() runs
 * them, on another thread if the body is large. */

struct save_request {
    struct state_item *items;
    size_t count;
};

err_t
parse_state_items(struct request *rq, struct slice body, struct save_request *ret_save) WARN_UNUSED;

struct bulk_request {
    struct slice *keys;
    size_t key_count;
    uint32_t parallelism;
    struct pair *metadata;
    size_t metadata_count;
};

err_t
parse_state_bulk(struct request *rq, struct slice body, struct bulk_request *ret_bulk) WARN_UNUSED;

struct transaction_request {
    struct state_operation *operations;
    size_t count;
    struct pair *metadata;
    size_t metadata_count;
};

err_t parse_state_transaction(struct request *rq, struct slice body,
                              struct transaction_request *ret_transaction) WARN_UNUSED;

/* `over` wins over `pairs` where both have a name, as metadata of the query string does. */
void merge_metadata(struct arena *arena, const struct pair *over, size_t over_count,
                    const struct pair **pairs, size_t *count);

#endif
