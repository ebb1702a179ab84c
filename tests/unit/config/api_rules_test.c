/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of allowed and denied APIs. */
#include "config/api_rules.h"

#include "base/limits.h"
#include "base/macros.h"
#include "test.h"

static struct arena arena;
static struct diag diag;
static struct api_rules rules;
static struct text_list ignored;

static err_t
read_more(const char *text)
{
    struct node *root;
    struct node_error error;
    diag_init(&diag, &arena);
    REQUIRE(node_parse(&arena, slice_str(text), 1, &root, &error));
    return api_rules_read(&arena, root, &rules, &ignored, &diag);
}

static err_t
read_one(const char *text)
{
    arena_reset(&arena);
    rules = (struct api_rules){ 0 };
    ignored = (struct text_list){ 0 };
    return read_more(text);
}

static bool
http(const char *name, const char *version)
{
    return api_rules_allow(&rules, API_HTTP, slice_str(name), slice_str(version));
}

static bool
grpc(const char *name, const char *version)
{
    return api_rules_allow(&rules, API_GRPC, slice_str(name), slice_str(version));
}

TEST(without_lists_everything_is_allowed)
{
    static const char *const texts[] = { "", "{}", "{allowed: []}", "{denied: [], allowed: []}" };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CHECK_OK(read_one(texts[i]));
        CHECK(http("state", "v1.0") && grpc("state", "v1") && grpc("", ""));
    }
}

TEST(once_something_is_allowed_all_else_of_its_protocol_is_not)
{
    CHECK_OK(read_one("allowed: [{name: state, version: v1.0, protocol: http}]"));
    CHECK(http("state", "v1.0"));
    CHECK(http("state", "v1"));
    CHECK(!http("state", "v1.0-alpha1"));
    CHECK(!http("secrets", "v1.0"));
    CHECK(!http("State", "v1.0"));
    CHECK(!http("stat", "v1.0"));
    CHECK(grpc("secrets", "v1"));
}

TEST(what_is_denied_is_denied_even_if_it_is_allowed)
{
    CHECK_OK(read_one("allowed: [{name: state, version: v1, protocol: grpc}]\n"
                      "denied: [{name: state, version: v1.0, protocol: GRPC},\n"
                      "         {name: invoke, version: v1.0, protocol: http}]\n"));
    CHECK(!grpc("state", "v1"));
    CHECK(!grpc("metadata", "v1"));
    CHECK(!http("invoke", "v1.0"));
    CHECK(http("state", "v1.0"));
    CHECK(http("invoke", "v1.0-alpha1"));
}

TEST(versions_may_be_short_or_long)
{
    CHECK_OK(read_one("denied: [{name: lock, version: v1.0-alpha1, protocol: http},\n"
                      "  {name: lock, version: v1alpha1, protocol: grpc},\n"
                      "  {name: workflows, version: v1beta1, protocol: http}]\n"));
    CHECK(!http("lock", "v1.0-alpha1"));
    CHECK(!http("lock", "v1alpha1"));
    CHECK(!grpc("lock", "v1alpha1"));
    CHECK(!http("workflows", "v1.0-beta1"));
    CHECK(http("workflows", "v1.0-alpha1"));
    CHECK(http("workflows", "v1.0"));
    CHECK(http("lock", "v1.0"));
    CHECK(http("lock", "v1.0-alpha"));
    CHECK(http("lock", "v1.0-alpha11"));
    CHECK(http("lock", "v1.0alpha1"));
}

TEST(a_later_file_replaces_each_list)
{
    CHECK_OK(read_one("denied: [{name: state, version: v1, protocol: http}]"));
    CHECK_OK(read_more("{allowed: [{name: metadata, version: v1, protocol: http}]}"));
    CHECK(!http("state", "v1"));
    CHECK(http("metadata", "v1"));
    CHECK(!http("secrets", "v1"));
    CHECK_OK(read_more("{denied: []}"));
    CHECK_OK(read_more("{allowed: []}"));
    CHECK(http("state", "v1"));
}

TEST(an_unknown_api_is_named)
{
    CHECK_OK(read_one("denied: [{name: pubsub, version: v1, protocol: http}]"));
    REQUIRE(ignored.count == 1);
    CHECK_SLICE_IS(ignored.items[0], "API 'pubsub' in spec.api.denied");
    CHECK(!http("pubsub", "v1"));
}

TEST(what_cannot_be_understood_is_refused)
{
    static const char *const texts[] = {
        "[]",
        "{allowed: x}",
        "{denied: {name: state}}",
        "{denied: [state]}",
        "{denied: [{name: state, version: v1}]}",
        "{denied: [{name: state, version: v1, protocol: tcp}]}",
        "{denied: [{name: state, protocol: http}]}",
        "{denied: [{version: v1, protocol: http}]}",
        "{denied: [{name: [state], version: v1, protocol: http}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (!CHECK_EQ_INT(read_one(texts[i]), ERR_CONFIG))
            fprintf(stderr, "  for %s\n", texts[i]);
    struct arena_bytes text = { 0 };
    struct arena own;
    arena_init(&own);
    arena_append(&own, &text, SLICE("denied: ["));
    for (int i = 0; i <= LIMIT_api_rules_max; i++)
        arena_append(&own, &text, SLICE("{name: state, version: v1, protocol: http},"));
    arena_append(&own, &text, SLICE("]\0"));
    CHECK_EQ_INT(read_one(text.data), ERR_CONFIG);
    arena_fini(&own);
}
