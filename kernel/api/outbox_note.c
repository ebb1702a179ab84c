/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of transactions by the ids of their events; see outbox_note.h. */
#include "api/outbox_note.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/macros.h"
#include "base/map.h"

struct note {
    struct list link; /* of the refused ones, oldest first */
    enum outbox_note what;
    size_t len;
    char id[]; /* of so many bytes */
};

/* Of the process: an event may come on another worker than its transaction. */
static struct notes {
    pthread_mutex_t lock;
    struct map by_id;
    struct list refused;
    size_t refused_count;
} notes = { .lock = PTHREAD_MUTEX_INITIALIZER, .refused = { &notes.refused, &notes.refused } };

/* With the lock, as what follows. */
static void
drop(struct note *note)
{
    (void)map_remove(&notes.by_id, slice_of(note->id, note->len));
    if (note->what == OUTBOX_REFUSED) {
        list_remove(&note->link);
        notes.refused_count--;
    }
    free(note);
    if (notes.by_id.count == 0) { /* nothing is left behind at the end of the process */
        map_fini(&notes.by_id);
        map_init(&notes.by_id);
    }
}

static void
refuse(struct note *note)
{
    note->what = OUTBOX_REFUSED;
    list_append(&notes.refused, &note->link);
    if (++notes.refused_count > LIMIT_outbox_refused_max)
        drop(container_of(notes.refused.next, struct note, link));
}

void
outbox_note_begin(struct slice id)
{
    struct note *note = malloc(sizeof *note + id.len);
    if (note == NULL)
        abort();
    *note = (struct note){ .what = OUTBOX_UNDER_WAY, .len = id.len };
    memcpy(note->id, id.data, id.len);
    (void)pthread_mutex_lock(&notes.lock);
    (void)map_put(&notes.by_id, id, note); /* there was none: ids are random */
    (void)pthread_mutex_unlock(&notes.lock);
}

void
outbox_note_end(struct slice id, bool is_refused)
{
    (void)pthread_mutex_lock(&notes.lock);
    struct note *note = map_get(&notes.by_id, id);
    if (note != NULL && is_refused)
        refuse(note);
    else if (note != NULL)
        drop(note);
    (void)pthread_mutex_unlock(&notes.lock);
}

enum outbox_note
outbox_note_of(struct slice id)
{
    (void)pthread_mutex_lock(&notes.lock);
    const struct note *note = map_get(&notes.by_id, id);
    enum outbox_note what = note == NULL ? OUTBOX_UNKNOWN : note->what;
    (void)pthread_mutex_unlock(&notes.lock);
    return what;
}

void
outbox_note_forget(struct slice id)
{
    outbox_note_end(id, false);
}
