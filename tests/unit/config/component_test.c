/* SPDX-License-Identifier: Apache-2.0 */
/* Component documents. */
#include "config/component.h"

#include <time.h>

#include "base/buf.h"
#include "base/macros.h"
#include "test.h"

struct fixture {
    struct arena arena, scratch;
    struct diag diag;
    struct resources resources;
    struct resource_filter filter;
    struct component_list list;
};

static struct fixture *
setup(void)
{
    static struct fixture f;
    f = (struct fixture){ .filter = { .app_id = SLICE("shop"), .namespace_name = SLICE_EMPTY } };
    arena_init(&f.arena);
    arena_init(&f.scratch);
    diag_init(&f.diag, &f.arena);
    return &f;
}

static void
teardown(struct fixture *f)
{
    arena_fini(&f->arena);
    arena_fini(&f->scratch);
}

static err_t
read_text(struct fixture *f, const char *text)
{
    CHECK_OK(resources_add_text(&f->scratch, "all.yaml", slice_str(text), &f->resources, &f->diag));
    return components_read(&f->arena, &f->scratch, &f->resources, &f->filter, &f->list, &f->diag);
}

static const char full[] = "apiVersion: dapr.io/v1alpha1\n"
                           "kind: Component\n"
                           "metadata:\n"
                           "  name: statestore\n"
                           "  namespace: prod\n"
                           "  annotations:\n"
                           "    remora.io/isolate: \"true\"\n"
                           "    n: 5\n"
                           "spec:\n"
                           "  type: state.redis\n"
                           "  version: v2\n"
                           "  ignoreErrors: true\n"
                           "  initTimeout: 1m\n"
                           "  metadata:\n"
                           "  - name: redisHost\n"
                           "    value: localhost:6379\n"
                           "  - name: redisPassword\n"
                           "    secretKeyRef:\n"
                           "      name: redis-secret\n"
                           "      key: password\n"
                           "  - name: token\n"
                           "    secretKeyRef: {name: just-name}\n"
                           "  - name: enableTLS\n"
                           "    value: false\n"
                           "  - name: empty\n"
                           "  - name: user\n"
                           "    envRef: REDIS_USER\n"
                           "auth:\n"
                           "  secretStore: vault\n"
                           "scopes: [shop, cart]\n";

static const char *
value(const struct component_spec *spec, const char *name)
{
    const struct component_value *v = component_value(spec, slice_str(name));
    return v == NULL ? NULL : v->value.data;
}

TEST(every_field_is_read)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, full));
    REQUIRE(f->list.count == 1);
    arena_reset(&f->scratch); /* nothing delivered may live there */
    const struct component_spec *c = &f->list.items[0];
    CHECK_SLICE_IS(c->name, "statestore");
    CHECK_SLICE_IS(c->type, "state.redis");
    CHECK_SLICE_IS(c->version, "v2");
    CHECK_SLICE_IS(c->namespace_name, "prod");
    CHECK_SLICE_IS(c->auth_secret_store, "vault");
    CHECK(c->ignore_errors && c->has_secrets);
    CHECK_EQ_INT(c->init_timeout_ms, 60000);
    CHECK_EQ_INT(c->value_count, 6);
    CHECK_EQ_STR(value(c, "redisHost"), "localhost:6379");
    CHECK_EQ_STR(value(c, "REDISHOST"), "localhost:6379");
    CHECK_EQ_STR(value(c, "enableTLS"), "false");
    CHECK_EQ_STR(value(c, "empty"), "");
    CHECK(value(c, "zork") == NULL);
    const struct component_value *secret = component_value(c, SLICE("redisPassword"));
    CHECK_SLICE_IS(secret->secret_name, "redis-secret");
    CHECK_SLICE_IS(secret->secret_key, "password");
    CHECK_SLICE_IS(component_value(c, SLICE("token"))->secret_key, "just-name");
    CHECK_SLICE_IS(component_value(c, SLICE("user"))->env_name, "REDIS_USER");
    CHECK_SLICE_IS(component_annotation(c, SLICE("remora.io/isolate"))->value, "true");
    CHECK_SLICE_IS(component_annotation(c, SLICE("n"))->value, "5");
    CHECK(component_annotation(c, SLICE("zork")) == NULL);
    CHECK_EQ_INT(c->scopes.count, 2);
    CHECK_EQ_STR(c->file, "all.yaml");
    CHECK_SLICE_IS(component_log_name(&f->arena, c), "statestore (state.redis/v2)");
    teardown(f);
}

TEST(what_is_missing_has_defaults)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, "kind: Component\nmetadata: {name: 12}\nspec: {type: state.in-memory, "
                          "initTimeout: nonsense}\n"));
    REQUIRE(f->list.count == 1);
    const struct component_spec *c = &f->list.items[0];
    CHECK_SLICE_IS(c->name, "12");
    CHECK_SLICE_IS(c->version, "v1");
    CHECK_EQ_INT(c->init_timeout_ms, 5000);
    CHECK(!c->ignore_errors && !c->has_secrets);
    CHECK_EQ_INT(c->value_count, 0);
    CHECK_EQ_INT(c->scopes.count, 0);
    teardown(f);
}

TEST(other_kinds_and_versions_are_passed_over)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, "kind: Subscription\nmetadata: {name: a}\n---\nkind: component\n"
                          "metadata: {name: b}\n---\napiVersion: apps/v1\nkind: Component\n"
                          "metadata: {name: c}\n---\nfoo: bar\n---\n[]\n"));
    CHECK_EQ_INT(f->list.count, 0);
    teardown(f);
}

#define COMPONENT(name, type)                                                                      \
    "---\nkind: Component\nmetadata: {name: " name "}\nspec: {type: " type "}\n"

TEST(a_name_defined_twice_ends_the_start)
{
    struct fixture *f = setup();
    CHECK_EQ_INT(read_text(f, COMPONENT("x", "state.in-memory") COMPONENT("x", "pubsub.in-memory")
                                  COMPONENT("y", "state.a") COMPONENT("x", "state.redis")),
                 ERR_CONFIG);
    CHECK_SLICE_IS(f->diag.message,
                   "failed to load components: duplicate definition of Component name x "
                   "(pubsub.in-memory/v1) with existing x (state.in-memory/v1)\n"
                   "duplicate definition of Component name x (state.redis/v1) with existing x "
                   "(state.in-memory/v1)");
    teardown(f);
}

TEST(a_document_out_of_scope_is_a_duplicate_only_when_seen_first)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, COMPONENT("x", "state.a") COMPONENT("x", "state.b") "scopes: [other]\n"));
    REQUIRE(f->list.count == 1);
    CHECK_SLICE_IS(f->list.items[0].type, "state.a");
    teardown(f);
    f = setup();
    CHECK_EQ_INT(
        read_text(f, COMPONENT("x", "state.b") "scopes: [other]\n" COMPONENT("x", "state.a")),
        ERR_CONFIG);
    teardown(f);
    f = setup();
    CHECK_OK(read_text(f, COMPONENT("x", "state.b") "scopes: [other]\n"));
    CHECK_EQ_INT(f->list.count, 0);
    teardown(f);
}

TEST(another_namespace_is_not_ours)
{
    struct fixture *f = setup();
    f->filter.namespace_name = SLICE("test");
    CHECK_OK(read_text(f,
                       "kind: Component\nmetadata: {name: x, namespace: prod}\nspec: {type: a.b}\n"
                       "---\nkind: Component\nmetadata: {name: x}\nspec: {type: a.c}\n"));
    REQUIRE(f->list.count == 1);
    CHECK_SLICE_IS(f->list.items[0].type, "a.c");
    teardown(f);
}

TEST(of_equal_metadata_names_the_last_counts)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, "kind: Component\nmetadata: {name: x}\nspec:\n  type: a.b\n  metadata:\n"
                          "  - {name: k, value: 1}\n  - {name: j, value: 2}\n"
                          "  - {name: k, value: 3}\n"));
    REQUIRE(f->list.count == 1);
    CHECK_EQ_INT(f->list.items[0].value_count, 2);
    CHECK_EQ_STR(value(&f->list.items[0], "k"), "3");
    REQUIRE(f->resources.warnings.count == 1);
    CHECK(slice_has_suffix(f->resources.warnings.items[0],
                           SLICE("all.yaml:8:5: metadata 'k' of component x is given more than "
                                 "once, the last one counts")));
    teardown(f);
}

TEST(names_are_path_segments)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, COMPONENT("a/b", "a.b") COMPONENT("\"..\"", "a.b")
                              COMPONENT("'50%'", "a.b") COMPONENT("\"\"", "a.b")
                                  COMPONENT("'it''s \"fine\" \xF0\x9F\x98\x80'", "a.b")));
    REQUIRE(f->list.count == 1);
    CHECK_SLICE_IS(f->list.items[0].name, "it's \"fine\" \xF0\x9F\x98\x80");
    CHECK_EQ_INT(f->resources.warnings.count, 4);
    CHECK(slice_find(f->resources.warnings.items[0],
                     SLICE("invalid name \"a/b\" for \"Component\": may not contain '/'")) > 0);
    teardown(f);
}

TEST(wrong_types_leave_the_component_out_and_say_where)
{
    static const struct {
        const char *spec, *warning;
    } rows[] = {
        { "spec: 5\n", "all.yaml:3:7: spec: expected a map, found a number" },
        { "spec: {type: [a]}\n", "spec.type: expected text, found a list" },
        { "spec: {metadata: {a: b}}\n", "spec.metadata: expected a list, found a map" },
        { "spec: {metadata: [a]}\n",
          "spec.metadata: expected a map with a name and a value, found text" },
        { "spec: {metadata: [{name: {}}]}\n", "spec.metadata.name: expected text, found a map" },
        { "spec: {metadata: [{name: a, secretKeyRef: b}]}\n",
          "spec.metadata.secretKeyRef: expected a map, found text" },
        { "spec: {ignoreErrors: 7}\n", "spec.ignoreErrors: expected a bool, found a number" },
        { "auth: vault\n", "auth: expected a map, found text" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture *f = setup();
        CHECK_OK(read_text(
            f, arena_printf(&f->arena, "kind: Component\nmetadata: {name: x}\n%s", rows[i].spec)
                   .data));
        CHECK_EQ_INT(f->list.count, 0);
        REQUIRE(f->resources.warnings.count == 1);
        if (!CHECK(slice_has_suffix(f->resources.warnings.items[0], slice_str(rows[i].warning))))
            fprintf(stderr, "  %s\n", f->resources.warnings.items[0].data);
        teardown(f);
    }
}

TEST(a_thousand_components_load_fast)
{
    struct fixture *f = setup();
    struct buf text;
    buf_init(&text, 4 << 20);
    for (int i = 0; i < 1000; i++)
        REQUIRE(buf_printf(&text,
                           "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n"
                           "  name: store-%d\nspec:\n  type: state.in-memory\n"
                           "  version: v1\n  metadata:\n  - name: a\n    value: \"b\"\n",
                           i));
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    CHECK_OK(
        resources_add_text(&f->scratch, "all.yaml", buf_slice(&text), &f->resources, &f->diag));
    CHECK_OK(
        components_read(&f->arena, &f->scratch, &f->resources, &f->filter, &f->list, &f->diag));
    clock_gettime(CLOCK_MONOTONIC, &b);
    CHECK_EQ_INT(f->list.count, 1000);
    CHECK_SLICE_IS(f->list.items[999].name, "store-999");
    long ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
    fprintf(stderr, "  1000 components in %ld ms\n", ms);
    CHECK(ms < 1000);
    buf_fini(&text);
    teardown(f);
}
