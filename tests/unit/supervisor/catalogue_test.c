/* SPDX-License-Identifier: Apache-2.0 */
/* Which plugin is found for a component type, in folders good and bad. */
#include "supervisor/catalogue.h"

#include <sys/stat.h>

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
