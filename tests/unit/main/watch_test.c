/* SPDX-License-Identifier: Apache-2.0 */
/* Folders under watch: which events are told, and for what the folder is watched. */
#include "main/watch.c"

#include <stdio.h>
#include <sys/stat.h>

#include "test.h"

static struct {
    unsigned count;
    unsigned kinds;
    int id;
    char name[64];
    bool has_lost_some;
} seen;

static void
on_event(void *arg, unsigned kinds, int id, const char *name)
{
    (void)arg;
    seen.has_lost_some |= name == NULL;
    if (name == NULL)
        return;
    seen.count++;
    seen.kinds = kinds;
    seen.id = id;
    snprintf(seen.name, sizeof seen.name, "%s", name);
}

static void
look(struct watch *watch)
{
    memset(&seen, 0, sizeof seen);
    for (unsigned i = 0; i < 20; i++)
        watch_read(watch, on_event, NULL);
}

static void
put(const char *folder, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL && fclose(file) == 0);
}

TEST(a_folder_is_watched_for_all_it_was_added_for)
{
    char folder[300], other[310];
    struct watch watch;
    snprintf(folder, sizeof folder, "%s", test_dir());
    snprintf(other, sizeof other, "%s/other", folder);
    REQUIRE(mkdir(other, 0700) == 0 && watch_open(&watch));
    watch_folder(&watch, folder, WATCH_RESOURCES, false);
    watch_folder(&watch, folder, WATCH_SECRETS, false);
    watch_folder(&watch, other, WATCH_PLUGIN, true);
    CHECK_EQ_INT(watch.count, 2);
    put(folder, "a.yaml");
    look(&watch);
    CHECK(seen.count > 0 && seen.kinds == (WATCH_RESOURCES | WATCH_SECRETS));
    CHECK_EQ_STR(seen.name, "a.yaml");
    CHECK(watch_is_folder(&watch, seen.id, folder) && !watch_is_folder(&watch, seen.id, other));
    put(other, "plugin.yaml");
    look(&watch);
    CHECK_EQ_INT(seen.kinds, WATCH_PLUGIN);
    watch_close(&watch);
    CHECK_EQ_INT(watch.fd, -1);
    watch_close(&watch); /* twice is once */
}

TEST(a_folder_that_goes_is_forgotten_and_may_come_back)
{
    char folder[300], path[310];
    struct watch watch;
    snprintf(folder, sizeof folder, "%s/x", test_dir());
    snprintf(path, sizeof path, "%s/a", folder);
    REQUIRE(mkdir(folder, 0700) == 0 && watch_open(&watch));
    watch_folder(&watch, folder, WATCH_PLUGIN, true);
    REQUIRE(rmdir(folder) == 0);
    look(&watch);
    CHECK_EQ_INT(watch.count, 0);
    watch_folder(&watch, folder, WATCH_PLUGIN, true); /* is not there: nothing */
    CHECK_EQ_INT(watch.count, 0);
    REQUIRE(mkdir(folder, 0700) == 0);
    watch_folder(&watch, folder, WATCH_PLUGIN, true);
    put(folder, "a");
    look(&watch);
    CHECK(seen.count > 0);
    watch_folder(&watch, path, WATCH_PLUGIN, true); /* no folder: nothing */
    CHECK_EQ_INT(watch.count, 1);
    watch_close(&watch);
}

TEST(nothing_is_watched_without_a_watch)
{
    struct watch watch = { .fd = -1 };
    watch_folder(&watch, test_dir(), WATCH_PLUGIN, false);
    CHECK_EQ_INT(watch.count, 0);
}

TEST(the_number_of_folders_has_a_bound)
{
    struct watch watch;
    char folder[300], base[256];
    snprintf(base, sizeof base, "%s", test_dir());
    REQUIRE(watch_open(&watch));
    watch.items = calloc(LIMIT_watched_folders_max, sizeof *watch.items);
    REQUIRE(watch.items != NULL);
    watch.count = LIMIT_watched_folders_max; /* of no number that there is */
    snprintf(folder, sizeof folder, "%s/one", base);
    REQUIRE(mkdir(folder, 0700) == 0);
    watch_folder(&watch, folder, WATCH_PLUGIN, true);
    CHECK_EQ_INT(watch.count, LIMIT_watched_folders_max);
    put(folder, "a");
    look(&watch);
    CHECK_EQ_INT(seen.count, 0);
    watch_close(&watch);
}

TEST(the_folder_of_a_path)
{
    static const struct {
        const char *path;
        const char *folder;
    } rows[] = { { "/a/b.yaml", "/a" }, { "b.yaml", "." }, { "/b.yaml", "/" }, { "a/b/c", "a/b" } };
    char folder[WATCH_FOLDER_BYTES], long_path[WATCH_FOLDER_BYTES + 10];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK(watch_folder_of(rows[i].path, folder));
        CHECK_EQ_STR(folder, rows[i].folder);
    }
    memset(long_path, 'a', sizeof long_path);
    memcpy(long_path + sizeof long_path - 3, "/b", 3);
    CHECK(!watch_folder_of(long_path, folder));
}
