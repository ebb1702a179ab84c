/* SPDX-License-Identifier: Apache-2.0 */
/* envRef and placeholders in metadata values. */
#include "config/component.h"

#include "base/macros.h"
#include "test.h"

static const char *
get_one(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "REDIS_USER") == 0 ? "joe-{appID}"
           : strcmp(name, "DAPR_X") == 0   ? "no"
                                           : NULL;
}

static struct arena arena;
static struct text_list warnings;
static struct diag diag;
static struct component_context context;
static struct component_value one;

static err_t
resolve(struct component_value value)
{
    static bool is_used;
    if (is_used)
        arena_fini(&arena);
    is_used = true;
    arena_init(&arena);
    diag_init(&diag, &arena);
    warnings = (struct text_list){ 0 };
    one = value;
    one.name = SLICE("k");
    if (one.value.data == NULL)
        one.value = SLICE_EMPTY;
    struct component_spec spec = { .name = SLICE("store"), .values = &one, .value_count = 1 };
    return component_resolve(&arena, &spec, &context, &warnings, &diag);
}

static void
use_context(const char *pod_name, const char *env_keys)
{
    context = (struct component_context){
        .app_id = SLICE("shop"),
        .namespace_name = SLICE("prod"),
        .pod_name = slice_str(pod_name),
        .env_keys = slice_str(env_keys),
        .env = { .get = get_one },
    };
}

TEST(placeholders_are_replaced_everywhere)
{
    use_context("p-0", "");
    CHECK_OK(resolve(
        (struct component_value){ .value = SLICE("{appID}-{namespace}-{podName}{podName}") }));
    CHECK_SLICE_IS(one.value, "shop-prod.shop-p-0p-0");
    CHECK_OK(resolve((struct component_value){ .value = SLICE("{other} {appid} {{appID}}") }));
    CHECK_SLICE_IS(one.value, "{other} {appid} {shop}");
}

TEST(every_uuid_is_a_new_one)
{
    use_context("", "");
    CHECK_OK(resolve((struct component_value){ .value = SLICE("{uuid}/{uuid}") }));
    REQUIRE(one.value.len == 73);
    CHECK(one.value.data[36] == '/' && one.value.data[8] == '-' && one.value.data[14] == '4');
    CHECK(!slice_eq(slice_first(one.value, 36), slice_from(one.value, 37)));
}

TEST(a_pod_name_that_is_not_known_is_an_error)
{
    use_context("", "");
    CHECK_EQ_INT(resolve((struct component_value){ .value = SLICE("a{podName}") }), ERR_CONFIG);
    CHECK_SLICE_IS(diag.message, "failed to parse metadata: property k refers to {podName} but "
                                 "podName is not set");
}

TEST(env_references_are_read_unless_forbidden)
{
    use_context("", "");
    CHECK_OK(resolve((struct component_value){ .env_name = SLICE("REDIS_USER") }));
    CHECK_SLICE_IS(one.value, "joe-shop");
    CHECK_OK(resolve((struct component_value){ .env_name = SLICE("NOT_SET") }));
    CHECK_SLICE_IS(one.value, "");
    CHECK_EQ_INT(warnings.count, 0);
    static const char *const forbidden[] = { "DAPR_X", "dapr_x", "APP_API_TOKEN", "A B" };
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
        CHECK_OK(resolve((struct component_value){ .env_name = slice_str(forbidden[i]) }));
        CHECK_SLICE_IS(one.value, "");
        CHECK_EQ_INT(warnings.count, 1);
    }
    use_context("", "OTHER redis_user");
    CHECK_OK(resolve((struct component_value){ .env_name = SLICE("REDIS_USER") }));
    CHECK_SLICE_IS(one.value, "joe-shop");
    use_context("", "OTHER");
    CHECK_OK(resolve((struct component_value){ .env_name = SLICE("REDIS_USER") }));
    CHECK_SLICE_IS(one.value, "");
    REQUIRE(warnings.count == 1);
    CHECK_EQ_STR(warnings.items[0].data,
                 "Component store references an env variable that isn't allowed: REDIS_USER");
}

TEST(a_value_that_explodes_is_refused)
{
    use_context("", "");
    static char text[400000];
    for (size_t i = 0; i + 6 <= sizeof text; i += 6)
        memcpy(text + i, "{uuid}", 6);
    CHECK_EQ_INT(resolve((struct component_value){ .value = slice_of(text, sizeof text - 4) }),
                 ERR_CONFIG);
    CHECK_SLICE_IS(diag.message, "failed to parse metadata: property k is too long");
}
