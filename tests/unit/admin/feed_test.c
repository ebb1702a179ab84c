/* SPDX-License-Identifier: Apache-2.0 */
/* Events are numbered, dated, kept for a while, and sent. */
#include "admin/feed.h"

#include "base/pb.h"
#include "rig.h"

static void
publish(struct feed *feed, const char *name)
{
    Remora__Admin__V1__Event event = REMORA__ADMIN__V1__EVENT__INIT;
    event.kind = REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_PLUGIN;
    event.name = (char *)(uintptr_t)name;
    feed_publish(feed, &event);
}

TEST(a_new_feed_has_nothing_to_tell)
{
    struct feed feed;
    struct arena arena;
    size_t count;
    arena_init(&arena);
    feed_init(&feed, NULL);
    (void)feed_recent(&feed, &arena, &count);
    CHECK_EQ_U64(count, 0);
    feed_fini(&feed);
    arena_fini(&arena);
}

TEST(events_are_numbered_and_dated)
{
    struct feed feed;
    struct arena arena;
    size_t count;
    arena_init(&arena);
    feed_init(&feed, NULL);
    clock_fake(0, 1234567);
    publish(&feed, "one");
    publish(&feed, "two");
    clock_use_real();
    Remora__Admin__V1__Event **events = feed_recent(&feed, &arena, &count);
    REQUIRE(count == 2);
    CHECK_EQ_U64(events[0]->sequence, 1);
    CHECK_EQ_STR(events[0]->name, "one");
    CHECK_EQ_INT(events[1]->unix_ms, 1234567);
    CHECK_EQ_U64(events[1]->sequence, 2);
    feed_fini(&feed);
    arena_fini(&arena);
}

TEST(only_the_last_ones_are_kept)
{
    struct feed feed;
    struct arena arena;
    size_t count;
    arena_init(&arena);
    feed_init(&feed, NULL);
    for (int i = 0; i < 3 * LIMIT_admin_events_kept + 7; i++)
        publish(&feed, "x");
    Remora__Admin__V1__Event **events = feed_recent(&feed, &arena, &count);
    REQUIRE(count == LIMIT_admin_events_kept);
    CHECK_EQ_U64(events[0]->sequence, 2 * LIMIT_admin_events_kept + 8);
    CHECK_EQ_U64(events[count - 1]->sequence, 3 * LIMIT_admin_events_kept + 7);
    feed_fini(&feed);
    arena_fini(&arena);
}

/* What the contract promises to subscriptions by prefix. */
TEST(a_message_begins_with_its_kind)
{
    struct rig rig = { 0 };
    struct feed feed;
    char bytes[256];
    rig_open(&rig, rig_pub(&rig));
    int fd = rig_greet(&rig, GREETING_SUB);
    feed_init(&feed, rig.server);
    publish(&feed, "redis");
    ssize_t len = rig_receive(fd, bytes, sizeof bytes);
    REQUIRE(len > 11);
    CHECK_EQ_MEM(bytes + 9, 2, "\x08\x01", 2);
    struct arena arena;
    arena_init(&arena);
    Remora__Admin__V1__Event *event = pb_unpack(&arena, &remora__admin__v1__event__descriptor,
                                                slice_of(bytes + 9, (size_t)len - 9), 1, 4096);
    REQUIRE(event != NULL);
    CHECK_EQ_STR(event->name, "redis");
    arena_fini(&arena);
    feed_fini(&feed);
    close(fd);
    rig_close(&rig);
}
