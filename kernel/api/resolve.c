/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the resolver; see resolve.h. A question is a task of its own, so that one answer serves
 * all who wait for it, and a client that leaves takes it from nobody. While the resolver is away or
 * mute, what it said before goes on being used.
 */
#include "api/resolve.h"

#include <assert.h>
#include <stdlib.h>

#include "api/operation.h"
#include "base/limits.h"
#include "config/name_resolution.h"
#include "remora/plugin/v1/plugin.pb-c.h"

/* --- names -------------------------------------------------------------------------------------*/

static bool
is_plausible(struct slice name)
{
    bool ok = name.len > 0 && name.len <= LIMIT_name_bytes_max;
    for (size_t i = 0; i < name.len && ok; i++)
        ok = (unsigned char)name.data[i] >= ' ' && name.data[i] != 0x7f;
    return ok;
}

bool
resolve_split(struct request *rq, struct slice target, struct slice *ret_app_id,
              struct slice *ret_namespace)
{
    struct slice namespace_ = rq->kernel->namespace_;
    ptrdiff_t dot = slice_find_byte(target, '.');
    struct slice app_id = dot < 0 ? target : slice_first(target, (size_t)dot);
    if (dot >= 0)
        namespace_ = slice_from(target, (size_t)dot + 1);
    if (is_plausible(app_id) && (dot < 0 || is_plausible(namespace_)) &&
        slice_find_byte(namespace_, '.') < 0) {
        *ret_app_id = app_id;
        *ret_namespace = namespace_;
        return true;
    }
    err_t err = DIAG_FAIL(task_diag(rq->task), ERR_NOT_RESOLVED, "invalid app id " SLICE_FMT,
                          SLICE_ARG(target));
    return err == OK; /* never */
}

/* A host, a colon, a port; anything that connecting can make sense of. */
static bool
is_address(struct slice text)
{
    size_t colon = text.len;
    uint64_t port;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (text.len > LIMIT_name_address_bytes_max || colon < 2 ||
        !slice_to_u64(slice_from(text, colon), &port) || port == 0 || port > UINT16_MAX)
        return false;
    for (size_t i = 0; i < colon; i++)
        if ((unsigned char)text.data[i] <= ' ' || (unsigned char)text.data[i] >= 0x7f)
            return false;
    return true;
}

/* --- the question ------------------------------------------------------------------------------*/

struct waiter {
    struct list link; /* of the entry's waiters */
    struct wait wait;
    struct arena *arena;
    struct slice words; /* why there is no answer */
};

static struct slice
pack_question(struct request *rq, const struct name_entry *entry)
{
    Remora__Plugin__V1__NameResolve message = REMORA__PLUGIN__V1__NAME_RESOLVE__INIT;
    Remora__Plugin__V1__Pair hint = REMORA__PLUGIN__V1__PAIR__INIT, *hints[] = { &hint };
    message.id = pb_string(rq->arena, entry->app_id);
    message.namespace_ = pb_string(rq->arena, entry->namespace_);
    message.port = rq->kernel->internal_port;
    if (entry->unreachable != NULL) {
        hint.name = pb_string(rq->arena, SLICE("unreachable"));
        hint.value = pb_string(rq->arena, slice_str(entry->unreachable));
        message.metadata = hints;
        message.n_metadata = 1;
    }
    return pb_pack(rq->arena, &message.base);
}

/* False: the answer is nonsense. */
static bool
take_answer(struct request *rq, struct name_entry *entry, const struct component_call *call)
{
    const Remora__Plugin__V1__NameResolveReply *reply = operation_unpack(
        rq, &remora__plugin__v1__name_resolve_reply__descriptor, LIMIT_name_addresses_max, call);
    struct slice *addresses = ARENA_ARRAY(rq->arena, struct slice, LIMIT_name_addresses_max);
    size_t count = 0;
    for (size_t i = 0; reply != NULL && i < reply->n_addresses; i++)
        if (count < LIMIT_name_addresses_max && is_address(slice_str(reply->addresses[i])))
            addresses[count++] = slice_str(reply->addresses[i]);
    if (count == 0)
        return false;
    name_entry_set(entry, addresses, count);
    name_entry_renew(entry, task_worker(rq->task)->now_ms, reply->ttl_ms);
    return true;
}

/* Asks once; the words if there is no answer, which is empty otherwise. */
static struct slice
ask(struct request *rq, struct name_entry *entry)
{
    struct component_call call = { 0 };
    struct slice words = SLICE_EMPTY;
    struct component *resolver = operation_component(rq, COMPONENT_NAMES,
                                                     SLICE(NAME_RESOLVER)); /* suspends */
    if (resolver == NULL)
        return SLICE("name resolver not initialized");
    const struct operation operation = {
        .method = REMORA__PLUGIN__V1__METHOD__METHOD_NAME_RESOLVE,
        .message = pack_question(rq, entry),
    };
    free(TAKE(entry->unreachable));
    err_t err = operation_run(rq, resolver, &operation, &call); /* suspends */
    if (err == OK && call.bus.call.status.code == GRPC_NOT_FOUND)
        name_entry_set(entry, NULL, 0); /* else it may just be away */
    if (operation_has_failed(err, &call))
        words = arena_dup(rq->arena, operation_reason(rq, err, &call));
    else if (!take_answer(rq, entry, &call))
        words = SLICE("the resolver's answer is malformed");
    component_call_finish(rq->task, &call);
    return words;
}

static void
question_main(struct task *t, void *arg)
{
    struct name_entry *entry = arg;
    struct request rq;
    struct list waiters;
    request_init(&rq, t);
    uint64_t outer = task_deadline_push(t, LIMIT_resolve_ms);
    struct slice words = ask(&rq, entry); /* suspends */
    task_deadline_pop(t, outer);
    if (words.len > 0)
        name_entry_renew(entry, task_worker(t)->now_ms, LIMIT_names_again_ms);
    entry->is_asking = false;
    list_init(&waiters);
    list_splice(&waiters, &entry->waiters);
    while (!list_is_empty(&waiters)) {
        struct waiter *waiter = container_of(list_take_first(&waiters), struct waiter, link);
        waiter->words = arena_dup(waiter->arena, words);
        wait_done(&waiter->wait, words.len == 0 ? OK : ERR_NOT_RESOLVED);
    }
    name_entry_unref(entry);
}

/* False: there is no task for it. */
static bool
start_asking(struct request *rq, struct name_entry *entry)
{
    if (entry->is_asking)
        return true;
    entry->is_asking = task_spawn(task_worker(rq->task), "resolve", question_main,
                                  name_entry_ref(entry)) != NULL;
    if (!entry->is_asking)
        name_entry_unref(entry);
    return entry->is_asking;
}

/* --- the answer --------------------------------------------------------------------------------*/

/* Waits for the answer to a question under way or to a new one. */
static err_t
wait_for_answer(struct request *rq, struct name_entry *entry)
{
    struct waiter waiter = { .arena = rq->arena };
    struct diag *diag = task_diag(rq->task);
    if (!start_asking(rq, entry))
        return DIAG_FAIL(diag, ERR_OVERLOADED, "too many requests");
    list_init(&waiter.link);
    wait_init(&waiter.wait, rq->task, NULL);
    list_append(&entry->waiters, &waiter.link);
    err_t err = TASK_WAIT(rq->task, &waiter.wait);
    if (list_is_linked(&waiter.link))
        list_remove(&waiter.link); /* it ended otherwise */
    if (err == ERR_NOT_RESOLVED)
        err = DIAG_FAIL(diag, err, SLICE_FMT, SLICE_ARG(waiter.words));
    return err;
}

err_t
resolve_app(struct request *rq, struct slice app_id, struct slice namespace_,
            struct slice *ret_address)
{
    struct name_cache *cache = &kernel_worker_of(rq->task)->names;
    struct name_entry *entry = name_cache_get(cache, app_id, namespace_);
    uint64_t now = task_worker(rq->task)->now_ms;
    err_t err = OK;
    if (entry == NULL)
        return DIAG_FAIL(task_diag(rq->task), ERR_OVERLOADED, "too many applications are sought");
    name_entry_ref(entry);
    if (entry->count > 0 && now < entry->stale_until)
        (void)(now < entry->fresh_until || start_asking(rq, entry)); /* if not now, next time */
    else
        err = wait_for_answer(rq, entry); /* suspends */
    if (entry->count > 0 && (err == OK || err == ERR_NOT_RESOLVED)) {
        *ret_address = arena_dup(rq->arena, name_entry_next(entry, task_worker(rq->task)->now_ms));
        err = OK;
    } else if (err == OK) {
        err = DIAG_FAIL(task_diag(rq->task), ERR_NOT_RESOLVED, "couldn't find service: " SLICE_FMT,
                        SLICE_ARG(app_id));
    }
    name_entry_unref(entry);
    return err;
}

void
resolve_forget(struct request *rq, struct slice app_id, struct slice address)
{
    name_cache_shun(&kernel_worker_of(rq->task)->names, app_id, address,
                    task_worker(rq->task)->now_ms);
}
