/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of collectors and of exporters to them; see collectors.h. */
#include "export/collectors.h"

#include <stdlib.h>

#include "base/limits.h"
#include "http/tls.h"
#include "telemetry/metrics.h"

struct collectors *
collectors_new(void)
{
    struct collectors *collectors = calloc(1, sizeof *collectors);
    if (collectors == NULL)
        abort();
    atomic_init(&collectors->refs, 1);
    arena_init(&collectors->arena);
    return collectors;
}

struct collectors *
collectors_ref(struct collectors *collectors)
{
    /* Relaxed: who counts has a reference already. */
    if (collectors != NULL)
        atomic_fetch_add_explicit(&collectors->refs, 1, memory_order_relaxed);
    return collectors;
}

void
collectors_unref(struct collectors *collectors)
{
    /* Release what was done with them before, acquire what others did, then free. */
    if (collectors == NULL ||
        atomic_fetch_sub_explicit(&collectors->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < collectors->count; i++)
        tls_context_unref(collectors->items[i].tls);
    arena_fini(&collectors->arena);
    free(collectors);
}

/* --- a worker's --------------------------------------------------------------------------------*/

void
exporter_set_init(struct exporter_set *set, struct worker *worker)
{
    *set = (struct exporter_set){ .worker = worker };
    list_init(&set->retired);
}

/* An exporter that is still sending ends later, and needs what it was told until then. */
static void
on_exporter_end(void *arg)
{
    collectors_unref(arg);
}

/* The oldest gives way when there are too many. */
static void
retire(struct exporter_set *set, struct exporter *exporter)
{
    list_append(&set->retired, &exporter->link);
    exporter_retire(exporter);
    size_t count = 0;
    for (struct list *node = set->retired.next; node != &set->retired; node = node->next)
        count++;
    if (count > LIMIT_trace_retired)
        exporter_give_up(LIST_ENTRY(list_take_first(&set->retired), struct exporter, link));
}

void
exporter_set_use(struct exporter_set *set, struct collectors *collectors)
{
    if (collectors == set->collectors)
        return;
    for (size_t i = 0; i < set->count; i++)
        retire(set, TAKE(set->items[i]));
    collectors_unref(set->collectors);
    set->collectors = collectors_ref(collectors);
    set->count = collectors == NULL ? 0 : collectors->count;
    for (size_t i = 0; i < set->count; i++)
        set->items[i] = exporter_new(set->worker, &collectors->items[i], on_exporter_end,
                                     collectors_ref(collectors));
}

void
exporter_set_close(struct exporter_set *set)
{
    struct list *node;
    for (size_t i = 0; i < set->count; i++)
        exporter_stop(TAKE(set->items[i]));
    set->count = 0;
    collectors_unref(TAKE(set->collectors));
    while ((node = list_take_first(&set->retired)) != NULL)
        exporter_stop(LIST_ENTRY(node, struct exporter, link));
}

void
exporter_set_put(struct exporter_set *set, const struct span *span)
{
    for (size_t i = 0; i < set->count; i++)
        if (!span_queue_put(&set->items[i]->queue, span)) {
            const struct slice labels[] = { span_form_name(set->items[i]->queue.form),
                                            SLICE("dropped") };
            metrics_record(metrics_series(METRICS_spans, labels), 0);
        }
}
