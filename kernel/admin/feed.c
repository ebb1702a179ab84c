/* SPDX-License-Identifier: Apache-2.0 */
/* The event feed; see feed.h. */
#include "admin/feed.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/pb.h"

enum { EVENT_BUDGET_BYTES = 16 * 1024 };

void
feed_init(struct feed *feed, struct sp_server *server)
{
    *feed = (struct feed){ .server = server };
}

void
feed_fini(struct feed *feed)
{
    for (size_t i = 0; i < LIMIT_admin_events_kept; i++)
        free(feed->kept[i].bytes);
    *feed = (struct feed){ .server = NULL };
}

static void
keep(struct feed *feed, struct slice packed)
{
    struct feed_item *item = &feed->kept[(feed->sequence - 1) % LIMIT_admin_events_kept];
    free(item->bytes);
    *item = (struct feed_item){ .bytes = malloc(packed.len + 1), .len = packed.len };
    if (item->bytes == NULL)
        abort();
    memcpy(item->bytes, packed.data, packed.len);
}

void
feed_publish(struct feed *feed, Remora__Admin__V1__Event *event)
{
    struct arena arena;
    arena_init(&arena);
    event->sequence = ++feed->sequence;
    event->unix_ms = clock_unix_ms();
    struct slice packed = pb_pack(&arena, &event->base);
    keep(feed, packed);
    if (feed->server != NULL)
        sp_server_broadcast(feed->server, packed);
    arena_fini(&arena);
}

Remora__Admin__V1__Event **
feed_recent(const struct feed *feed, struct arena *arena, size_t *ret_count)
{
    uint64_t count = feed->sequence < LIMIT_admin_events_kept ? feed->sequence
                                                              : LIMIT_admin_events_kept;
    Remora__Admin__V1__Event **events = ARENA_ARRAY(arena, Remora__Admin__V1__Event *, count + 1);
    size_t used = 0;
    for (uint64_t number = feed->sequence - count + 1; number <= feed->sequence; number++) {
        const struct feed_item *item = &feed->kept[(number - 1) % LIMIT_admin_events_kept];
        events[used] = pb_unpack(arena, &remora__admin__v1__event__descriptor,
                                 slice_of(item->bytes, item->len), 1, EVENT_BUDGET_BYTES);
        used += events[used] != NULL; /* it was packed by us, so always */
    }
    *ret_count = used;
    return events;
}
