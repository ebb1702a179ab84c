/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state store: one configured component of type `state.redis`. store.c has its life,
 * state_read.c, state_write.c and state_transact.c its operations, state_wait.c the wait for
 * replicas, state_keys.c the search for keys. All on the plugin's thread.
 */
#ifndef REDIS_STORE_H
#define REDIS_STORE_H

#include "failure.h"
#include "scripts.h"
#include "server.h"

struct waiters;

/* How long a strong write waits for the replicas; the reference waits as long. */
enum { STORE_WAIT_MS = 1000 };

struct store {
    struct server server;
    struct link *link; /* strongly consistent writes take LINK_WAITING: they end with a WAIT */
    bool was_ready, is_down;
    bool has_json; /* the server has the JSON module */

    remora_call *init; /* to be answered, or NULL */
    int64_t retries_left;
    char last_why[CONN_WHY_BYTES]; /* the latest failed attempt of init; empty if none */

    struct waiters *waiters; /* strong writes that are done, by connection; see state_wait.c */
};

extern const struct remora_state_ops store_ops;

void store_init(remora_call *call, const struct remora_config *config);
void store_close(void *self);

/* The item asks to be kept as a JSON document, and the server can. */
bool store_wants_document(const struct store *store, const struct remora_pair *metadata,
                          size_t metadata_count);
/* How long a command of this call may wait for a connection. */
uint64_t store_wait_ms(const remora_call *call);

/* failure_of_result(), and turns away from a server that has become a replica. */
struct remora_failure *
failure_of(struct store *store, remora_call *call, const struct conn_result *result, bool is_write,
           const char *prefix);

/* --- operations --------------------------------------------------------------------------------*/

void state_get(remora_call *call, void *self, const struct remora_state_get *get);
void state_get_many(remora_call *call, void *self, const struct remora_state_get *gets,
                    size_t count, uint32_t parallelism);
void state_set(remora_call *call, void *self, const struct remora_state_set *set);
void
state_set_many(remora_call *call, void *self, const struct remora_state_set *sets, size_t count);
void state_delete(remora_call *call, void *self, const struct remora_state_delete *del);
void state_delete_many(remora_call *call, void *self, const struct remora_state_delete *dels,
                       size_t count);
void state_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
                    size_t count, const struct remora_pair *metadata, size_t metadata_count);
/* Writes that wait for replicas are forgotten. */
void state_forget_waiters(struct store *store);
void state_query(remora_call *call, void *self, struct remora_slice query,
                 struct remora_slice key_prefix, const struct remora_pair *metadata,
                 size_t metadata_count);
void state_keys_like(remora_call *call, void *self, struct remora_slice pattern, uint32_t page_size,
                     struct remora_slice token);

/* SQL LIKE on UTF-8: % any run, _ one character, \ escapes. */
bool state_key_is_like(struct remora_slice key, struct remora_slice pattern);

#endif
