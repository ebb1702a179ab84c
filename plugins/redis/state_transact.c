/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions: one script, all or nothing. In a cluster one for each slot, since a server knows
 * nothing of the others: so it is looked first whether all of them can be done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state_write.h"

enum { OPERATION_ARGS = 5 };

static const struct remora_failure *
judge_transaction(struct write *write, int64_t answer)
{
    if (answer == 0)
        return NULL;
    uint64_t which = answer < 0 ? 0 - (uint64_t)answer : (uint64_t)answer;
    if (which > (write->count - 3) / (OPERATION_ARGS + 1))
        return failure_new(write->call, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN,
                           "redis answered a script with something else");
    const struct remora_state_operation *op = &write->ops[which - 1];
    struct remora_slice key = op->is_delete ? op->del.key : op->set.key;
    if (answer < 0)
        return write_bad_version(write->call, key);
    return write_with_reason(op->is_delete
                                 ? failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                                               WRITE_DELETE_CONFLICT, write_shown(key), key.data)
                                 : failure_new(write->call, REMORA_ABORTED, REMORA_EFFECT_FAILED,
                                               WRITE_SET_CONFLICT, write_shown(key), key.data),
                             REMORA_REASON_ETAG_MISMATCH);
}

static struct remora_failure *
put_set(struct write *write, const struct remora_state_set *set, struct remora_slice *args)
{
    struct write_terms terms = { .expected = remora_call_alloc(write->call, WRITE_NUMBER_BYTES),
                                 .expiry = remora_call_alloc(write->call, WRITE_NUMBER_BYTES) };
    struct remora_failure *failure = write_read_terms(write->store, write->call, set, &terms);
    if (failure != NULL)
        return failure;
    bool is_document = write->wants_documents ||
                       store_wants_document(write->store, set->metadata, set->metadata_count);
    args[0] = write_text(is_document ? "doc" : "set");
    args[1] = write_text(terms.expected);
    args[2] = set->value;
    args[3] = write_text(terms.first);
    args[4] = write_text(terms.expiry);
    return NULL;
}

static void
put_delete(const struct remora_state_delete *del, struct remora_slice *args)
{
    args[0] = write_text("del");
    args[1] = write_has_etag(del->has_etag, del->etag) ? del->etag : write_text("0");
    args[2] = args[3] = args[4] = write_text("");
}

static struct remora_failure *
put_operations(struct write *write, size_t count)
{
    struct remora_slice *keys = write->args + 3, *args = keys + count;
    for (size_t i = 0; i < count; i++, args += OPERATION_ARGS) {
        const struct remora_state_operation *op = &write->ops[i];
        struct remora_failure *failure = NULL;
        keys[i] = op->is_delete ? op->del.key : op->set.key;
        if (op->is_delete)
            put_delete(&op->del, args);
        else
            failure = put_set(write, &op->set, args);
        if (failure != NULL)
            return failure;
        enum remora_consistency wanted = op->is_delete ? op->del.consistency : op->set.consistency;
        write->strong = write->strong || write_is_strong(write, wanted);
    }
    return NULL;
}

/* One script, which needs all keys to be at one server. */
static struct remora_failure *
prepare_transaction(struct write *write, const struct remora_state_operation *ops, size_t count)
{
    write->ops = ops;
    write->key = ops[0].is_delete ? ops[0].del.key : ops[0].set.key;
    write->script = write->store->has_json ? &script_documents : &script_transact;
    write->judge = judge_transaction;
    write->count = 3 + count * (1 + OPERATION_ARGS);
    write->args = remora_call_alloc(write->call, (write->count + 1) * sizeof write->args[0]);
    char *number = remora_call_alloc(write->call, WRITE_NUMBER_BYTES);
    snprintf(number, WRITE_NUMBER_BYTES, "%zu", count);
    write->args[0] = write_text("EVALSHA");
    write->args[1] = write_text(write->script->sha);
    write->args[2] = write_text(number);
    return put_operations(write, count);
}

/* --- all or nothing, for each slot of a cluster ------------------------------------------------*/

struct placed {
    int slot;
    size_t index; /* of the operation */
};

/* A transaction whose keys are in several slots: a server does a part whole or not at all. */
struct parts {
    remora_call *call;
    struct write *writes;
    size_t count, left, done;
    bool is_looking;                      /* whether they could be done: nothing is written yet */
    const struct remora_failure *failure; /* of one that failed */
    enum remora_effect effect;            /* the worst of those that failed */
};

static enum remora_effect
worse(enum remora_effect one, enum remora_effect other)
{
    if (one == REMORA_EFFECT_UNKNOWN || other == REMORA_EFFECT_UNKNOWN)
        return REMORA_EFFECT_UNKNOWN;
    return one == REMORA_EFFECT_NOT_SENT ? other : one;
}

static void
parts_reply(const struct parts *parts)
{
    const struct remora_failure *one = parts->failure;
    enum remora_effect effect = parts->effect;
    if (one == NULL) {
        remora_reply_ok(parts->call);
        return;
    }
    if (parts->is_looking && effect == REMORA_EFFECT_UNKNOWN)
        effect = REMORA_EFFECT_FAILED;
    bool is_half = !parts->is_looking && parts->done > 0;
    struct remora_failure *failure = failure_new(
        parts->call, one->code, is_half ? REMORA_EFFECT_UNKNOWN : effect, "%s%s", one->message,
        is_half ? " (what the transaction does in other slots of the cluster is done)" : "");
    remora_reply_failure(parts->call, write_with_reason(failure, one->reason));
}

static void
send_parts(struct parts *parts)
{
    parts->left = parts->count;
    parts->done = 0;
    for (struct write *write = parts->writes, *next; write != NULL; write = next) {
        next = write->next; /* the last one's end is that of all */
        write_send(write);
    }
}

/* All of them can be done, or could a moment ago. */
static void
do_parts(struct parts *parts)
{
    parts->is_looking = false;
    for (struct write *write = parts->writes; write != NULL; write = write->next) {
        write->args[0] = write_text("EVALSHA");
        write->args[1] = write_text(write->script->sha);
        write->count--;
        write->strong = write->strong_later;
    }
    send_parts(parts);
}

static void
look_at_parts(struct parts *parts)
{
    parts->is_looking = true;
    for (struct write *write = parts->writes; write != NULL; write = write->next) {
        write->args[write->count++] = write_text("look");
        write->strong_later = write->strong;
        write->strong = false;
    }
    send_parts(parts);
}

static void
finish_part(struct write *write, const struct remora_failure *failure)
{
    struct parts *parts = write->parts;
    if (failure == NULL) {
        parts->done++;
    } else {
        parts->effect = parts->failure == NULL ? failure->effect
                                               : worse(parts->effect, failure->effect);
        parts->failure = parts->failure == NULL ? failure : parts->failure;
    }
    if (--parts->left > 0)
        return;
    if (parts->is_looking && parts->failure == NULL)
        do_parts(parts);
    else
        parts_reply(parts);
}

static int
compare_placed(const void *a, const void *b)
{
    const struct placed *left = a, *right = b;
    if (left->slot != right->slot)
        return left->slot < right->slot ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static int
slot_of_operation(const struct store *store, const struct remora_state_operation *op)
{
    return link_slot(store->link, op->is_delete ? op->del.key : op->set.key);
}

/* The operations of one slot after those of another; as they are if there is one slot. */
static const struct remora_state_operation *
sort_by_slot(remora_call *call, const struct store *store, const struct remora_state_operation *ops,
             size_t count)
{
    size_t same = 1;
    while (same < count && slot_of_operation(store, &ops[same]) == slot_of_operation(store, ops))
        same++;
    if (same == count)
        return ops;
    struct placed *placed = remora_call_alloc(call, count * sizeof *placed);
    struct remora_state_operation *sorted = remora_call_alloc(call, count * sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        placed[i] = (struct placed){ slot_of_operation(store, &ops[i]), i };
    qsort(placed, count, sizeof *placed, compare_placed);
    for (size_t i = 0; i < count; i++)
        sorted[i] = ops[placed[i].index];
    return sorted;
}

void
state_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
               size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    if (count == 0) {
        remora_reply_ok(call);
        return;
    }
    struct store *store = self;
    const struct remora_state_operation *sorted = sort_by_slot(call, store, ops, count);
    struct parts *parts = remora_call_alloc(call, sizeof *parts);
    *parts = (struct parts){ .call = call };
    for (size_t i = 0, next; i < count; i = next) {
        int slot = slot_of_operation(store, &sorted[i]);
        for (next = i + 1; next < count && slot_of_operation(store, &sorted[next]) == slot; next++)
            ;
        struct write *write = write_new(call, store);
        write->wants_documents = store_wants_document(store, metadata, metadata_count);
        write->finish = finish_part;
        write->parts = parts;
        write->next = parts->writes;
        parts->writes = write;
        parts->count++;
        struct remora_failure *failure = prepare_transaction(write, sorted + i, next - i);
        if (failure != NULL) { /* nothing has been sent */
            remora_reply_failure(call, failure);
            return;
        }
    }
    if (parts->count > 1)
        look_at_parts(parts);
    else
        send_parts(parts);
}
