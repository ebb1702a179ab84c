/* SPDX-License-Identifier: Apache-2.0 */
/* Watched files: every way to change one is seen, and only a change is. */
#include "sentry/file_watch.h"

#include <poll.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "fixture.h"

static struct file_watch watch;
static struct slice folder, file;

static void
write_to(struct slice path, const char *text)
{
    FILE *f = fopen(path.data, "w");
    REQUIRE(f != NULL);
    fputs(text, f);
    REQUIRE(fclose(f) == 0);
}

static void
begin(void)
{
    start_clean();
    folder = arena_printf(&scratch, "%s", test_dir());
    file = arena_printf(&scratch, SLICE_FMT "/file", SLICE_ARG(folder));
    file_watch_open(&watch);
    file_watch_add(&watch, file, 1);
}

/* Waits for the news. */
static unsigned
seen(void)
{
    struct pollfd fd = { .fd = watch.fd, .events = POLLIN };
    CHECK_EQ_INT(poll(&fd, 1, 10000), 1);
    CHECK_EQ_U64(file_watch_due_ms(&watch), UINT64_MAX);
    file_watch_on_event(&watch, 1000);
    CHECK_EQ_U64(file_watch_due_ms(&watch), 1000 + LIMIT_sentry_settle_ms);
    unsigned groups = file_watch_look(&watch);
    CHECK_EQ_U64(file_watch_due_ms(&watch), UINT64_MAX);
    return groups;
}

TEST(every_way_to_change_a_file_is_seen)
{
    begin();
    write_to(file, "one");
    CHECK_EQ_INT(seen(), 1);
    write_to(file, "two");
    CHECK_EQ_INT(seen(), 1);
    struct slice other = arena_printf(&scratch, SLICE_FMT ".new", SLICE_ARG(file));
    write_to(other, "three");
    CHECK_EQ_INT(seen(), 0);
    REQUIRE(rename(other.data, file.data) == 0);
    CHECK_EQ_INT(seen(), 1);
    REQUIRE(unlink(file.data) == 0);
    CHECK_EQ_INT(seen(), 1);
    file_watch_close(&watch);
}

TEST(the_same_content_anew_is_no_change)
{
    begin();
    write_to(file, "one");
    CHECK_EQ_INT(seen(), 1);
    write_to(file, "one");
    CHECK_EQ_INT(seen(), 0);
    file_watch_close(&watch);
}

TEST(a_file_reached_by_a_link_that_is_turned_is_seen)
{
    begin();
    struct slice a = arena_printf(&scratch, SLICE_FMT "/a", SLICE_ARG(folder));
    struct slice b = arena_printf(&scratch, SLICE_FMT "/b", SLICE_ARG(folder));
    struct slice link = arena_printf(&scratch, SLICE_FMT "/data", SLICE_ARG(folder));
    struct slice next = arena_printf(&scratch, SLICE_FMT "/next", SLICE_ARG(folder));
    REQUIRE(mkdir(a.data, 0700) == 0 && mkdir(b.data, 0700) == 0);
    write_to(arena_printf(&scratch, "%s/file", a.data), "one");
    write_to(arena_printf(&scratch, "%s/file", b.data), "two");
    REQUIRE(symlink("a", link.data) == 0 && symlink("data/file", file.data) == 0);
    CHECK_EQ_INT(seen(), 1);
    REQUIRE(symlink("b", next.data) == 0 && rename(next.data, link.data) == 0);
    CHECK_EQ_INT(seen(), 1);
    file_watch_close(&watch);
}

TEST(events_without_end_do_not_put_it_off_for_ever)
{
    begin();
    write_to(file, "one");
    for (uint64_t now = 1000; now < 20000; now += 100)
        file_watch_on_event(&watch, now);
    CHECK_EQ_U64(file_watch_due_ms(&watch), 1000 + LIMIT_sentry_settle_ms_max);
    CHECK_EQ_INT(file_watch_look(&watch), 1);
    file_watch_close(&watch);
}
