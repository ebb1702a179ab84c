/* SPDX-License-Identifier: Apache-2.0 */
/* Heap of deadlines; see timer.h. */
#include "async/timer.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_ITEMS = 64 };

void
timer_heap_fini(struct timer_heap *heap)
{
    free(heap->items);
    *heap = (struct timer_heap){ 0 };
}

static void
place(struct timer_heap *heap, size_t at, struct timer *timer)
{
    heap->items[at] = timer;
    timer->index = at + 1;
}

static void
sift_up(struct timer_heap *heap, size_t at, struct timer *timer)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (heap->items[parent]->at_ms <= timer->at_ms)
            break;
        place(heap, at, heap->items[parent]);
        at = parent;
    }
    place(heap, at, timer);
}

static void
sift_down(struct timer_heap *heap, size_t at, struct timer *timer)
{
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->items[child + 1]->at_ms < heap->items[child]->at_ms)
            child++;
        if (heap->items[child]->at_ms >= timer->at_ms)
            break;
        place(heap, at, heap->items[child]);
        at = child;
    }
    place(heap, at, timer);
}

void
timer_set(struct timer_heap *heap, struct timer *timer, uint64_t at_ms)
{
    assert(timer->fn != NULL);
    if (timer->index != 0)
        timer_stop(heap, timer);
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity == 0 ? FIRST_ITEMS : heap->capacity * 2;
        heap->items = realloc(heap->items, heap->capacity * sizeof(struct timer *));
        if (heap->items == NULL)
            abort();
    }
    timer->at_ms = at_ms < heap->floor_ms ? heap->floor_ms : at_ms;
    sift_up(heap, heap->count++, timer);
}

void
timer_stop(struct timer_heap *heap, struct timer *timer)
{
    if (timer->index == 0)
        return;
    size_t at = timer->index - 1;
    assert(at < heap->count && heap->items[at] == timer);
    struct timer *last = heap->items[--heap->count];
    timer->index = 0;
    if (last == timer)
        return;
    if (at > 0 && heap->items[(at - 1) / 2]->at_ms > last->at_ms)
        sift_up(heap, at, last);
    else
        sift_down(heap, at, last);
}

uint64_t
timer_heap_next_ms(const struct timer_heap *heap)
{
    return heap->count == 0 ? UINT64_MAX : heap->items[0]->at_ms;
}

void
timer_heap_run(struct timer_heap *heap, uint64_t now_ms)
{
    heap->floor_ms = now_ms + 1;
    while (heap->count > 0 && heap->items[0]->at_ms <= now_ms) {
        struct timer *timer = heap->items[0];
        timer_stop(heap, timer);
        timer->fn(timer);
    }
    heap->floor_ms = 0;
}
