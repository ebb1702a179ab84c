/* SPDX-License-Identifier: Apache-2.0 */
/* What a Configuration may say about the resolver, and what the resolver is told of it. */
#include "config/name_resolution.h"

#include "test.h"

static struct arena arena;

/* The words of the failure, NULL if there is none. */
static const char *
read_yaml(const char *yaml, struct name_resolution *settings)
{
    struct diag diag;
    struct node *node;
    struct node_error error;
    arena_init(&arena);
    diag_init(&diag, &arena);
    *settings = (struct name_resolution){ .value_count = 0 };
    REQUIRE(node_parse(&arena, slice_str(yaml), 1, &node, &error));
    return name_resolution_read(&arena, node, settings, &diag) == OK
               ? NULL
               : arena_str(&arena, diag.message);
}

static void
check_value(const struct name_resolution *settings, const char *name, const char *value)
{
    for (size_t i = 0; i < settings->value_count; i++)
        if (slice_eq(settings->values[i].name, slice_str(name))) {
            CHECK_EQ_STR(arena_str(&arena, settings->values[i].value), value);
            return;
        }
    CHECK_EQ_STR(name, "is there");
}

TEST(INV_06_a_resolver_is_a_component_with_its_configuration)
{
    struct name_resolution settings;
    struct component_list list = { .count = 0 };
    CHECK_EQ_STR(read_yaml("{component: SQLite, version: v1,"
                           " configuration: {connectionString: a.db, n: 5, l: [1, x]}}",
                           &settings),
                 NULL);
    CHECK_EQ_STR(arena_str(&arena, settings.configuration),
                 "{\"connectionString\":\"a.db\",\"l\":[1,\"x\"],\"n\":5}");
    CHECK_EQ_INT(settings.value_count, 3);
    check_value(&settings, "connectionString", "a.db");
    check_value(&settings, "n", "5");
    check_value(&settings, "l", "[1,\"x\"]");
    name_resolution_add(&arena, &settings, "nameresolution.mdns", &list);
    REQUIRE(list.count == 1);
    CHECK(slice_eq(list.items[0].type, SLICE("nameresolution.sqlite")));
    arena_fini(&arena);
}

TEST(without_a_word_it_is_the_default)
{
    struct name_resolution settings;
    struct component_list list = { .count = 0 };
    CHECK_EQ_STR(read_yaml("{}", &settings), NULL);
    name_resolution_add(&arena, &settings, "nameresolution.mdns", &list);
    REQUIRE(list.count == 1);
    CHECK(slice_eq(list.items[0].type, SLICE("nameresolution.mdns")));
    CHECK(slice_eq(list.items[0].version, SLICE("v1")));
    arena_fini(&arena);
}

TEST(members_of_maps_have_names_of_their_own)
{
    struct name_resolution settings;
    CHECK_EQ_STR(read_yaml("{configuration: {client: {tokenFile: /t, tlsConfig: {caFile: /ca}}}}",
                           &settings),
                 NULL);
    CHECK_EQ_INT(settings.value_count, 4);
    check_value(&settings, "client", "{\"tlsConfig\":{\"caFile\":\"/ca\"},\"tokenFile\":\"/t\"}");
    check_value(&settings, "client.tokenFile", "/t");
    check_value(&settings, "client.tlsConfig", "{\"caFile\":\"/ca\"}");
    check_value(&settings, "client.tlsConfig.caFile", "/ca");
    arena_fini(&arena);
}

TEST(aliases_cannot_make_members_without_end)
{
    static char yaml[8192];
    size_t len = (size_t)snprintf(yaml, sizeof yaml, "a: &a {");
    for (int i = 0; i < 20; i++)
        len += (size_t)snprintf(yaml + len, sizeof yaml - len, "k%d: 1, ", i);
    len += (size_t)snprintf(yaml + len, sizeof yaml - len, "}\nb: &b {");
    for (int i = 0; i < 20; i++)
        len += (size_t)snprintf(yaml + len, sizeof yaml - len, "k%d: *a, ", i);
    len += (size_t)snprintf(yaml + len, sizeof yaml - len, "}\nconfiguration: {");
    for (int i = 0; i < 20; i++)
        len += (size_t)snprintf(yaml + len, sizeof yaml - len, "k%d: *b, ", i);
    snprintf(yaml + len, sizeof yaml - len, "}\n");
    struct name_resolution settings;
    CHECK_EQ_STR(read_yaml(yaml, &settings), NULL);
    CHECK_EQ_INT(settings.value_count, 20 + 256);
    arena_fini(&arena);
}

TEST(what_is_wrong_is_told_with_its_line)
{
    struct name_resolution settings;
    CHECK_EQ_STR(read_yaml("component: [x]", &settings),
                 "line 1: spec.nameResolution.component must be text, not a list");
    arena_fini(&arena);
    CHECK_EQ_STR(read_yaml("\nconfiguration: x", &settings),
                 "line 2: spec.nameResolution.configuration must be a map, not text");
    arena_fini(&arena);
    CHECK_EQ_STR(read_yaml("[]", &settings),
                 "line 1: spec.nameResolution must be a map, not a list");
    arena_fini(&arena);
}
