/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on many keys for stores that have functions for one: each item becomes a part, a call
 * of its own that answers here. Reads run several at a time; writes one after the other, so that
 * two items for the same key end as their order says.
 */
#include "sdk.h"

#include <assert.h>

struct many {
    struct remora_call *parent; /* whose arena holds all this */
    struct remora_call **parts; /* running ones by index, else NULL */
    size_t count;
    size_t next;
    size_t running;
    size_t running_max;
    bool is_starting;
    const struct remora_state_get *gets; /* one of the three */
    const struct remora_state_set *sets;
    const struct remora_state_delete *deletes;
    struct remora_state_value *values;      /* results of gets */
    const struct remora_failure **failures; /* results of the others */
};

static void
start_part(struct many *many, size_t i)
{
    struct remora_call *part = call_new_part(many->parent, many, i);
    const struct remora_state_ops *ops = part->component->type->state;
    void *self = part->component->self;
    many->parts[i] = part;
    many->running++;
    if (many->gets != NULL)
        ops->get(part, self, &many->gets[i]);
    else if (many->sets != NULL)
        ops->set(part, self, &many->sets[i]);
    else
        ops->del(part, self, &many->deletes[i]);
}

static void
answer(struct many *many)
{
    if (many->gets != NULL)
        remora_state_reply_values(many->parent, many->values, many->count);
    else
        remora_state_reply_failures(many->parent, many->failures, many->count);
}

static void
set_failure(struct many *many, size_t i, const struct remora_failure *failure)
{
    if (many->gets != NULL)
        many->values[i] = (struct remora_state_value){ .failure = failure };
    else
        many->failures[i] = failure;
}

/* Parts that answer at once come back into finish_part() while this loop runs: it goes on then.
 * What has not begun when the caller gives up does not begin. */
static void
start_parts(struct many *many)
{
    static const struct remora_failure given_up = { .code = REMORA_CANCELLED,
                                                    .effect = REMORA_EFFECT_NOT_SENT,
                                                    .message = "the call was cancelled" };
    many->is_starting = true;
    while (many->next < many->count && many->running < many->running_max) {
        if (many->parent->is_cancelled)
            set_failure(many, many->next++, &given_up);
        else
            start_part(many, many->next++);
    }
    many->is_starting = false;
    if (many->running == 0)
        answer(many); /* `many` is gone */
}

static void
finish_part(struct remora_call *part)
{
    struct many *many = part->many;
    assert(many->parts[part->part] == part);
    many->parts[part->part] = NULL;
    many->running--;
    call_free(part);
    if (!many->is_starting)
        start_parts(many);
}

static void
on_cancel(remora_call *call, void *arg)
{
    (void)call;
    struct many *many = arg;
    many->is_starting = true; /* a part may answer while it is told */
    for (size_t i = 0; i < many->count; i++)
        if (many->parts[i] != NULL)
            call_cancel(many->parts[i]);
    start_parts(many);
}

static struct many *
many_new(struct remora_call *call, size_t count, size_t running_max)
{
    struct many *many = ARENA_NEW(&call->arena, struct many);
    many->parent = call;
    many->parts = ARENA_ARRAY(&call->arena, struct remora_call *, count);
    many->count = count;
    many->running_max = running_max;
    remora_call_on_cancel(call, on_cancel, many);
    return many;
}

void
many_get(struct remora_call *call, const struct remora_state_get *gets, size_t count,
         uint32_t parallelism)
{
    const bool is_wide = parallelism == 0 || parallelism > SDK_MANY_READS;
    struct many *many = many_new(call, count, is_wide ? SDK_MANY_READS : parallelism);
    many->gets = gets;
    many->values = ARENA_ARRAY(&call->arena, struct remora_state_value, count);
    start_parts(many);
}

void
many_set(struct remora_call *call, const struct remora_state_set *sets, size_t count)
{
    struct many *many = many_new(call, count, 1);
    many->sets = sets;
    many->failures = ARENA_ARRAY(&call->arena, const struct remora_failure *, count);
    start_parts(many);
}

void
many_delete(struct remora_call *call, const struct remora_state_delete *dels, size_t count)
{
    struct many *many = many_new(call, count, 1);
    many->deletes = dels;
    many->failures = ARENA_ARRAY(&call->arena, const struct remora_failure *, count);
    start_parts(many);
}

/* --- answers of parts --------------------------------------------------------------------------*/

static const struct remora_failure *
keep_failure(struct arena *arena, const struct remora_failure *failure)
{
    struct remora_failure *kept = arena_alloc(arena, sizeof *kept);
    *kept = *failure;
    if (failure->reason != NULL)
        kept->reason = arena_str(arena, slice_str(failure->reason));
    kept->message = arena_str(arena, slice_str(failure->message));
    return kept;
}

void
many_on_value(struct remora_call *part, const struct remora_state_value *value)
{
    struct many *many = part->many;
    struct arena *arena = &many->parent->arena;
    assert(many->gets != NULL);
    struct remora_state_value *kept = &many->values[part->part];
    *kept = *value;
    kept->etag = to_remora(arena_dup(arena, from_remora(value->etag)));
    if (value->value.release == NULL && value->value.len > 0)
        kept->value.data = arena_dup(arena, slice_of(value->value.data, value->value.len)).data;
    if (value->failure != NULL)
        kept->failure = keep_failure(arena, value->failure);
    finish_part(part);
}

void
many_on_status(struct remora_call *part, const struct remora_failure *failure)
{
    struct many *many = part->many;
    if (failure != NULL)
        set_failure(many, part->part, keep_failure(&many->parent->arena, failure));
    finish_part(part);
}
