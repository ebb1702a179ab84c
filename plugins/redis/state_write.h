/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the three files of writing share; nobody else includes this. state_write.c has single writes
 * and many, each for itself; state_transact.c transactions; state_wait.c the wait for replicas.
 */
#ifndef REDIS_STATE_WRITE_H
#define REDIS_STATE_WRITE_H

#include <string.h>

#include "store.h"

/* The reference's own scripts raise these errors, and its users see them; ours answer with a number
 * instead, and the texts are kept so that applications and recordings find what they know. */
#define WRITE_SET_CONFLICT                                                                         \
    "ERR user_script:14: failed to set key "                                                       \
    "%.*s script: d908b9553add63a82e03589b5c6d01a7654ef0f2, on @user_script:14."
#define WRITE_DELETE_CONFLICT                                                                      \
    "ERR user_script:6: failed to delete "                                                         \
    "%.*s script: 2446db0de2c963f100727b388f03ead01d18c265, on @user_script:6."

enum {
    WRITE_KEY_SHOWN = 512,
    WRITE_PREFIX_BYTES = WRITE_KEY_SHOWN + 64,
    WRITE_NUMBER_BYTES = 24,
    WRITE_ARGS = 9
};

struct write;
typedef const struct remora_failure *judge_fn(struct write *write, int64_t answer);
typedef void finish_fn(struct write *write, const struct remora_failure *failure);

struct write {
    struct store *store;
    remora_call *call;
    /* The command. With a script, args[0] and args[1] say how to run it, and judge() what its
     * answer means. */
    const struct script *script;
    judge_fn *judge;
    struct remora_slice *args;
    size_t count;
    struct remora_slice key; /* of a transaction the first one: all are in its slot */
    const char *action;      /* "failed to set key ", or NULL: errors are told as they come */
    bool has_etag, strong, wants_documents;
    bool strong_later;  /* of a part that is only looked at: what it is afterwards */
    finish_fn *finish;  /* failure NULL: done */
    struct many *many;  /* or NULL */
    struct write *next; /* of those that wait for replicas, or of the parts before they go */
    const struct remora_state_operation *ops; /* of a transaction */
    struct parts *parts;                      /* of a transaction; or NULL */
    struct remora_slice own_args[WRITE_ARGS];
    char expected[WRITE_NUMBER_BYTES], expiry[WRITE_NUMBER_BYTES];
};

/* What the scripts take. */
struct write_terms {
    char *expected, *expiry; /* WRITE_NUMBER_BYTES each, to be filled */
    const char *first;
};

static inline struct remora_slice
write_text(const char *literal)
{
    return (struct remora_slice){ literal, strlen(literal) };
}

/* How much of a key users are shown. */
static inline int
write_shown(struct remora_slice key)
{
    return key.len > WRITE_KEY_SHOWN ? WRITE_KEY_SHOWN : (int)key.len;
}

static inline bool
write_has_etag(bool given, struct remora_slice etag)
{
    return given && etag.len > 0;
}

static inline struct remora_failure *
write_with_reason(struct remora_failure *failure, const char *reason)
{
    failure->reason = reason;
    return failure;
}

/* state_write.c */
/* In the call's memory; answers the call when it is done. */
struct write *write_new(remora_call *call, struct store *store);
/* Its args are complete. finish() follows, maybe at once. */
void write_send(struct write *write);
/* It has to wait for replicas, if there are any. */
bool write_is_strong(const struct write *write, enum remora_consistency wanted);
struct remora_failure *
write_read_terms(const struct store *store, remora_call *call, const struct remora_state_set *set,
                 struct write_terms *terms);
struct remora_failure *write_bad_version(remora_call *call, struct remora_slice key);

/* state_wait.c */
/* It is done, or not: finishes it, after its replicas have it too. `conn` carried it. */
void write_settle(struct write *write, const struct remora_failure *failure, struct conn *conn);

#endif
