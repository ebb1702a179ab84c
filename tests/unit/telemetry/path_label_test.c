/* SPDX-License-Identifier: Apache-2.0 */
/* The path and method labels. */
#include "telemetry/path_label.h"

#include "base/macros.h"
#include "test.h"

static struct arena arena;

static void
check_label(const struct path_rules *rules, const char *path, const char *label)
{
    CHECK_SLICE_IS(path_label(rules, &arena, slice_str(path)), label);
}

TEST(keys_and_ids_are_cut_off)
{
    static const char *const rows[][2] = {
        { "/v1.0/state/mem/order-1", "/v1.0/state/mem" },
        { "/v1.0/state/mem", "/v1.0/state/mem" },
        { "/v1.0/state/mem/a/b", "/v1.0/state/mem" },
        { "/v1.0-alpha1/state/mem/query", "/v1.0-alpha1/state/mem" },
        { "/v1.0/secrets/vault/password", "/v1.0/secrets/vault" },
        { "/v1.0/invoke/back/method/o/1", "/v1.0/invoke/back/method/o/1" },
        { "/v1.0/actors/T/7/method/m", "/v1.0/actors/T/{id}/method" },
        { "/v1.0/actors/T/7", "/v1.0/actors/T/7" },
        { "/actors/T/7/method/m", "/actors/T/{id}/method/m" },
        { "/v1.0/workflows/dapr/77/start", "/v1.0/workflows/dapr/{instanceId}" },
        { "/v1.0/workflows/dapr", "/v1.0/workflows/dapr" },
        { "/v1.0/healthz", "/v1.0/healthz" },
        { "/zzz", "/zzz" },
        { "/", "/" },
        { "", "" },
    };
    struct path_rules rules = { 0 };
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_label(&rules, rows[i][0], rows[i][1]);
    arena_fini(&arena);
}

TEST(low_cardinality_has_no_path)
{
    struct path_rules rules = { .is_low = true };
    check_label(&rules, "/v1.0/state/mem/a", "");
    check_label(&rules, "/v1.0/healthz", "");
}

TEST(templates_match_as_the_reference_router_does)
{
    const struct slice templates[] = {
        SLICE("/orders/{id}"),     SLICE("/orders/new"),           SLICE("items/"),
        SLICE("/files/{rest...}"), SLICE("/v1.0/state/mem/{key}"), SLICE(" "),
    };
    static const char *const rows[][2] = {
        { "/orders/7", "/orders/{id}" },
        { "/orders/new", "/orders/new" },
        { "/v1.0/invoke/shop/method/orders/7", "/v1.0/invoke/{app_id}/method/orders/{id}" },
        { "/v1.0/invoke/shop/method/orders/new", "/v1.0/invoke/{app_id}/method/orders/new" },
        { "/items/1/2", "/items/" },
        { "/files/a/b", "/files/{rest...}" },
        { "/v1.0/state/mem/k", "/v1.0/state/mem/{key}" },
        { "/orders/7/8", NULL },
        { "/orders", NULL },
        { "/v1.0/healthz", NULL },
    };
    struct path_rules low = { .is_low = true }, high = { 0 };
    arena_init(&arena);
    path_rules_init(&low, &arena, templates, ARRAY_LEN(templates));
    path_rules_init(&high, &arena, templates, ARRAY_LEN(templates));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_label(&low, rows[i][0], rows[i][1] == NULL ? "" : rows[i][1]);
        check_label(&high, rows[i][0], rows[i][1] == NULL ? rows[i][0] : rows[i][1]);
    }
    arena_fini(&arena);
}

TEST(more_templates_than_the_limit_are_dropped)
{
    static struct slice many[1000];
    struct path_rules rules = { 0 };
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = arena_printf(&arena, "/v1.0/t%zu", i);
    path_rules_init(&rules, &arena, many, ARRAY_LEN(many));
    CHECK_EQ_INT(rules.template_count, 256);
    arena_fini(&arena);
}

TEST(methods_are_those_of_http_or_other)
{
    struct path_rules rules = { 0 };
    CHECK_SLICE_IS(method_label(&rules, SLICE("PATCH")), "PATCH");
    CHECK_SLICE_IS(method_label(&rules, SLICE("BREW")), "OTHER");
    rules.excludes_verbs = true;
    CHECK_SLICE_IS(method_label(&rules, SLICE("GET")), "");
}
