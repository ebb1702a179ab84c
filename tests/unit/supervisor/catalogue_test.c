/* SPDX-License-Identifier: Apache-2.0 */
/* Which plugin is found for a component type, in folders good and bad. */
#include "supervisor/catalogue.h"

#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static const char *
put(const char *base, const char *folder, const char *name, const char *type)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", base, folder);
    REQUIRE(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/%s/plugin.yaml", base, folder);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL);
    fprintf(file,
            "apiVersion: remora.io/v1\nkind: Plugin\nname: %s\nversion: 1\nexec: run\n"
            "types: [{type: %s}]\n",
            name, type);
    fclose(file);
    return path;
}

TEST(types_are_found_and_the_first_wins)
{
    char first[256], second[256];
    snprintf(first, sizeof first, "%s", test_dir());
    snprintf(second, sizeof second, "%s", test_dir());
    put(first, "redis", "redis", "state.redis");
    put(first, "broken", "not a name!", "state.broken");
    put(second, "a", "redis", "state.other");  /* the name is taken */
    put(second, "b", "redis2", "state.redis"); /* the type is taken */
    put(second, "c", "sqlite", "state.sqlite");
    struct catalogue catalogue;
    catalogue_init(&catalogue);
    catalogue_add_folder(&catalogue, first);
    catalogue_add_folder(&catalogue, "/nowhere");
    catalogue_add_folder(&catalogue, second);
    CHECK_EQ_INT(catalogue.count, 3);
    CHECK_EQ_INT(catalogue.broken, 1);
    const struct manifest *m = catalogue_find(&catalogue, SLICE("State.Redis"), SLICE("v1"));
    REQUIRE(m != NULL);
    CHECK_EQ_STR(m->name, "redis");
    CHECK(catalogue_find(&catalogue, SLICE("state.redis"), SLICE_EMPTY) == m);
    CHECK(catalogue_find(&catalogue, SLICE("state.redis"), SLICE("v2")) == NULL);
    CHECK(catalogue_find(&catalogue, SLICE("state.other"), SLICE("v1")) == NULL);
    CHECK(catalogue_find(&catalogue, SLICE("state.sqlite"), SLICE("v1")) != NULL);
    CHECK(catalogue_find_name(&catalogue, SLICE("redis2")) != NULL);
    CHECK(catalogue_find_name(&catalogue, SLICE("nobody")) == NULL);
    char huge[1000];
    memset(huge, 'a', sizeof huge);
    CHECK(catalogue_find(&catalogue, slice_of(huge, sizeof huge), SLICE_EMPTY) == NULL);
    catalogue_fini(&catalogue);
}

static void
count_folder(void *arg, const char *folder)
{
    CHECK(folder[0] == '/');
    ++*(int *)arg;
}

TEST(plugins_come_change_and_go)
{
    char base[256], path[300];
    int folders = 0;
    snprintf(base, sizeof base, "%s", test_dir());
    put(base, "a", "one", "state.one");
    put(base, "b", "two", "state.two");
    struct catalogue catalogue;
    catalogue_init(&catalogue);
    catalogue_add_folder(&catalogue, base);
    const struct manifest *one = catalogue_find_name(&catalogue, SLICE("one"));
    CHECK(!catalogue_read_again(&catalogue));
    CHECK(catalogue_find_name(&catalogue, SLICE("one")) == one); /* the same object */
    put(base, "c", "three", "state.three");
    struct manifest *two = manifest_ref(catalogue_find_name(&catalogue, SLICE("two")));
    CHECK(catalogue_read_again(&catalogue));
    CHECK(catalogue_find(&catalogue, SLICE("state.three"), SLICE("v1")) != NULL);
    snprintf(path, sizeof path, "%s/b/plugin.yaml", base);
    REQUIRE(unlink(path) == 0);
    snprintf(path, sizeof path, "%s/b", base);
    REQUIRE(rmdir(path) == 0);
    CHECK(catalogue_read_again(&catalogue));
    CHECK(catalogue_find_name(&catalogue, SLICE("two")) == NULL);
    CHECK_EQ_STR(two->name, "two"); /* who has it keeps it */
    manifest_unref(two);
    put(base, "b", "two", "state.second");
    CHECK(catalogue_read_again(&catalogue));
    CHECK(catalogue_find(&catalogue, SLICE("state.second"), SLICE("v1")) != NULL);
    catalogue_each_folder(&catalogue, count_folder, &folders);
    CHECK_EQ_INT(folders, 3);
    catalogue_fini(&catalogue);
}

TEST(a_manifest_that_breaks_stays_what_it_was)
{
    char base[256];
    snprintf(base, sizeof base, "%s", test_dir());
    FILE *file = fopen(put(base, "a", "one", "state.one"), "r+");
    REQUIRE(file != NULL);
    struct catalogue catalogue;
    catalogue_init(&catalogue);
    catalogue_add_folder(&catalogue, base);
    REQUIRE(ftruncate(fileno(file), 10) == 0);
    fclose(file);
    CHECK(!catalogue_read_again(&catalogue));
    CHECK_EQ_INT(catalogue.broken, 1);
    CHECK(catalogue_find(&catalogue, SLICE("state.one"), SLICE("v1")) != NULL);
    catalogue_fini(&catalogue);
}

TEST(types_of_any_name_are_there_while_their_folder_is)
{
    char base[256], sockets[300];
    snprintf(base, sizeof base, "%s", test_dir());
    snprintf(sockets, sizeof sockets, "%s/sockets", test_dir());
    put(base, "a", "own", "state.own");
    put(base, "b", "any",
        "\"state.*\"}]\ntypes_from: {variable: CATALOGUE_TEST_FOLDER, folder: /nowhere}\n#");
    REQUIRE(setenv("CATALOGUE_TEST_FOLDER", sockets, 1) == 0);
    struct catalogue catalogue;
    catalogue_init(&catalogue);
    catalogue_add_folder(&catalogue, base);
    CHECK_EQ_INT(catalogue.count, 2);
    CHECK(catalogue_find(&catalogue, SLICE("state.else"), SLICE("v1")) == NULL);
    REQUIRE(mkdir(sockets, 0700) == 0);
    const struct manifest *m = catalogue_find(&catalogue, SLICE("state.else"), SLICE("v1"));
    REQUIRE(m != NULL);
    CHECK_EQ_STR(m->name, "any");
    m = catalogue_find(&catalogue, SLICE("state.own"), SLICE("v1"));
    REQUIRE(m != NULL);
    CHECK_EQ_STR(m->name, "own");
    CHECK(catalogue_find(&catalogue, SLICE("lock.else"), SLICE("v1")) == NULL);
    CHECK(catalogue_find(&catalogue, SLICE("state"), SLICE("v1")) == NULL);
    REQUIRE(rmdir(sockets) == 0);
    CHECK(catalogue_find(&catalogue, SLICE("state.else"), SLICE("v1")) == NULL);
    catalogue_fini(&catalogue);
}

TEST(a_folder_may_be_the_plugin_itself)
{
    char path[256];
    const char *base = test_dir();
    put(base, "redis", "redis", "state.redis");
    snprintf(path, sizeof path, "%s/redis", base);
    struct catalogue catalogue;
    catalogue_init(&catalogue);
    catalogue_add_folder(&catalogue, path);
    CHECK_EQ_INT(catalogue.count, 1);
    CHECK_EQ_STR(catalogue.manifests[0]->folder, path);
    catalogue_fini(&catalogue);
}

TEST(the_program_knows_its_folder)
{
    struct arena arena;
    arena_init(&arena);
    const char *folder = catalogue_program_folder(&arena);
    REQUIRE(folder != NULL);
    CHECK(folder[0] == '/');
    CHECK(slice_has_suffix(slice_str(folder), SLICE("unit/supervisor")));
    arena_fini(&arena);
}
