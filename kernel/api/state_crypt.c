/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption at rest of state; see state_crypt.h. */
#include "api/state_crypt.h"

#include "async/offload.h"
#include "base/json.h"
#include "base/limits.h"

/* Here, or on another thread if it is much. The arena is not touched meanwhile: the task sleeps. */
static err_t
run_job(struct request *rq, size_t bytes, offload_fn *fn, void *job)
{
    err_t err = ERR_OVERLOADED;
    if (bytes > LIMIT_parse_here_bytes)
        err = offload_run(rq->task, fn, job);
    return err == ERR_OVERLOADED ? fn(job) : err;
}

/* --- to the store ------------------------------------------------------------------------------*/

struct seal_job {
    struct arena *arena;
    const struct encryption *encryption;
    struct state_item **items;
    size_t count;
};

/* What is encrypted of a value. */
static struct slice
clear_text(struct arena *arena, const struct state_item *item)
{
    struct json json;
    struct slice text;
    json_init(&json, item->value);
    if (item->is_json && json_peek(&json) == JSON_STRING && json_string(&json, arena, &text))
        return text;
    return item->value;
}

static err_t
seal_all(void *arg)
{
    struct seal_job *job = arg;
    for (size_t i = 0; i < job->count; i++) {
        struct state_item *item = job->items[i];
        struct slice clear = clear_text(job->arena, item);
        if (!encryption_seal(job->encryption, job->arena, clear, &item->value))
            return ERR_INTERNAL;
        item->is_json = false;
    }
    return OK;
}

bool
state_crypt_seal(struct request *rq, const struct component *store, struct state_item **items,
                 size_t count, struct slice *ret_reason)
{
    struct component_facts *facts = component_facts_ref(store->facts);
    struct seal_job job = { rq->arena, facts->encryption, items, count };
    size_t bytes = 0;
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        bytes += items[i]->value.len;
        ok = ok && encryption_sealed_len(facts->encryption, items[i]->value.len) <=
                       LIMIT_state_encrypted_bytes_max;
    }
    *ret_reason = SLICE("the value is too large to be encrypted");
    if (ok && run_job(rq, bytes, seal_all, &job) != OK) {
        *ret_reason = SLICE("the value could not be encrypted");
        ok = false;
    }
    component_facts_unref(facts);
    return ok;
}

/* --- from the store ----------------------------------------------------------------------------*/

struct open_job {
    struct arena *arena;
    const struct encryption *encryption;
    struct slice store;
    const struct slice *stored;
    struct state_stored *values; /* those with an error are opened */
    size_t count;
};

static err_t
open_all(void *arg)
{
    struct open_job *job = arg;
    bool has_failed = false;
    for (size_t i = 0; i < job->count; i++) {
        struct state_stored *value = &job->values[i];
        struct slice error = SLICE_EMPTY;
        if (value->error.len == 0)
            continue;
        if (!encryption_open(job->encryption, job->arena, job->stored[i], &value->bytes, &error))
            has_failed = true;
        value->error = error.len == 0
                           ? error
                           : arena_printf(job->arena,
                                          "could not decrypt data for state store " SLICE_FMT
                                          ": " SLICE_FMT,
                                          SLICE_ARG(job->store), SLICE_ARG(error));
    }
    return has_failed ? ERR_MALFORMED : OK;
}

void
state_crypt_open(struct request *rq, const struct component *store,
                 const struct component_call *call, struct state_stored *values, size_t count)
{
    struct slice *stored = ARENA_ARRAY(rq->arena, struct slice, count);
    struct open_job job = { .arena = rq->arena,
                            .encryption = call->facts->encryption,
                            .store = call->facts->name,
                            .stored = stored,
                            .values = values,
                            .count = count };
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        stored[i] = values[i].bytes;
        values[i].error = SLICE("not yet opened");
        bytes += stored[i].len;
    }
    if (run_job(rq, bytes, open_all, &job) == OK || store->facts == call->facts ||
        store->facts->encryption == NULL)
        return;
    struct component_facts *facts = component_facts_ref(store->facts);
    job.encryption = facts->encryption;
    (void)run_job(rq, bytes, open_all, &job); /* the values tell */
    component_facts_unref(facts);
}
