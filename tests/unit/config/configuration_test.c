/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: what is refused, what is only named. */
#include "config/configuration.h"

#include "base/limits.h"
#include "base/macros.h"
#include "test.h"

static struct arena arena;
static struct diag diag;
static struct text_list ignored;
static struct configuration configuration;

static err_t
check_text(const char *text)
{
    static bool is_used;
    if (is_used)
        arena_fini(&arena);
    is_used = true;
    arena_init(&arena);
    diag_init(&diag, &arena);
    ignored = (struct text_list){ 0 };
    struct slice path = arena_printf(&arena, "%s/c.yaml", test_dir());
    FILE *f = fopen(path.data, "w");
    REQUIRE(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    struct text_list files = { 0 };
    text_list_add(&arena, &files, path);
    return configuration_read(&arena, &files, &configuration, &ignored, &diag);
}

TEST(harmless_settings_are_named)
{
    CHECK_OK(
        check_text("kind: Configuration\nspec:\n  workflow: {maxConcurrentWorkflowInvocations: 1}\n"
                   "  mtls: {enabled: false}\n  httpPipeline: {handlers: []}\n"));
    REQUIRE(ignored.count == 1);
    CHECK_EQ_STR(ignored.items[0].data, "spec.workflow");
    CHECK_OK(check_text(""));
    CHECK_OK(check_text("kind: Configuration\nmetadata: {name: x}\n"));
    CHECK_EQ_INT(ignored.count, 0);
}

TEST(denied_components_are_read)
{
    CHECK_OK(check_text("spec:\n  components: {deny: [state.redis, bindings.http/v1]}\n"));
    CHECK_EQ_INT(ignored.count, 0);
    REQUIRE(configuration.denied_components.count == 2);
    CHECK_EQ_STR(configuration.denied_components.items[1].data, "bindings.http/v1");
    CHECK_EQ_INT(check_text("spec: {components: {deny: state.redis}}\n"), ERR_CONFIG);
    CHECK_EQ_INT(check_text("spec: {components: {deny: [[x]]}}\n"), ERR_CONFIG);
    CHECK_EQ_INT(check_text("spec: {components: 7}\n"), ERR_CONFIG);
}

TEST(pipelines_are_read_in_order)
{
    CHECK_OK(check_text("spec:\n  httpPipeline: {handlers: [{name: a, type: middleware.http.x}, "
                        "{name: b, type: middleware.http.y, selector: {}}]}\n"
                        "  appHttpPipeline: {handlers: [{name: c, type: middleware.http.z}]}\n"));
    CHECK_EQ_INT(ignored.count, 0);
    REQUIRE(configuration.http_pipeline.count == 2);
    CHECK(slice_eq(configuration.http_pipeline.handlers[0].name, SLICE("a")));
    CHECK(slice_eq(configuration.http_pipeline.handlers[1].type, SLICE("middleware.http.y")));
    REQUIRE(configuration.app_http_pipeline.count == 1);
    CHECK(slice_eq(configuration.app_http_pipeline.handlers[0].name, SLICE("c")));
}

TEST(pipelines_that_make_no_sense_are_refused)
{
    static const char *const specs[] = {
        "httpPipeline: 7",
        "httpPipeline: {handlers: {name: a}}",
        "httpPipeline: {handlers: [a]}",
        "httpPipeline: {handlers: [{name: a}]}",
        "appHttpPipeline: {handlers: [{type: middleware.http.x}]}",
        "httpPipeline: {handlers: [{name: [a], type: b}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        char text[200];
        snprintf(text, sizeof text, "spec: {%s}\n", specs[i]);
        CHECK_EQ_INT(check_text(text), ERR_CONFIG);
        CHECK(slice_find(diag.message, SLICE("line 1: ")) >= 0);
    }
    struct arena many;
    arena_init(&many);
    struct arena_bytes text = { 0 };
    arena_append(&many, &text, SLICE("spec: {httpPipeline: {handlers: ["));
    for (int i = 0; i <= LIMIT_pipeline_handlers_max; i++)
        arena_append(&many, &text, SLICE("{name: a, type: b}, "));
    arena_append(&many, &text, SLICE("]}}\n"));
    CHECK_EQ_INT(check_text(arena_str(&many, arena_bytes_slice(&text))), ERR_CONFIG);
    arena_fini(&many);
}

/* The flag decides; main warns if they differ. */
TEST(mutual_tls_may_be_wanted)
{
    CHECK_OK(check_text("spec:\n  mtls: {enabled: true, workloadCertTTL: 24h}\n"));
    CHECK(configuration.wants_mtls);
    CHECK_EQ_INT(ignored.count, 0);
    CHECK_OK(check_text("spec:\n  mtls: {enabled: false}\n"));
    CHECK(!configuration.wants_mtls);
    CHECK_EQ_INT(check_text("spec:\n  mtls: {enabled: what}\n"), ERR_CONFIG);
}

TEST(access_and_api_lists_are_read)
{
    CHECK_OK(check_text("spec:\n  accessControl: {defaultAction: deny, trustDomain: t}\n"
                        "  api: {denied: [{name: state, version: v1, protocol: http}]}\n"));
    CHECK_EQ_INT(ignored.count, 0);
    CHECK(configuration.access_control.policy != NULL);
    CHECK_SLICE_IS(configuration.access_control.trust_domain, "t");
    CHECK_EQ_INT(configuration.api_rules.denied.count, 1);
    CHECK_OK(check_text(""));
    CHECK(configuration.access_control.policy == NULL);
    CHECK_SLICE_IS(configuration.access_control.trust_domain, "public");
    static const char *const wrong[] = { "spec: {accessControl: [deny]}\n", "spec: {api: deny}\n",
                                         "spec: {accessControl: {defaultAction: no}}\n",
                                         "spec: {accessControl: {policies: [{appId: a}]}}\n" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        CHECK_EQ_INT(check_text(wrong[i]), ERR_CONFIG);
        CHECK(slice_has_prefix(diag.message, SLICE("error loading configuration: ")));
    }
}

TEST(a_file_that_cannot_be_read_ends_the_start)
{
    CHECK_EQ_INT(check_text("a: b: c\n"), ERR_CONFIG);
    struct text_list files = { 0 };
    text_list_add(&arena, &files, SLICE("/nonexistent/c.yaml"));
    CHECK_EQ_INT(configuration_read(&arena, &files, &configuration, &ignored, &diag), ERR_CONFIG);
    CHECK_SLICE_IS(diag.message, "error loading configuration: stat /nonexistent/c.yaml: no such "
                                 "file or directory");
}

static struct slice
write_file(const char *name, const char *text)
{
    struct slice path = arena_printf(&arena, "%s/%s", test_dir(), name);
    FILE *f = fopen(path.data, "w");
    REQUIRE(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

TEST(secret_scopes_are_read_and_not_named_as_ignored)
{
    CHECK_OK(check_text("spec:\n  secrets:\n    scopes:\n    - storeName: vault\n"
                        "      deniedSecrets: [num, 7]\n"));
    CHECK_EQ_INT(ignored.count, 0);
    REQUIRE(configuration.secret_scopes.count == 1);
    CHECK(!secret_scopes_allow(&configuration.secret_scopes, SLICE("vault"), SLICE("7")));
    CHECK(secret_scopes_allow(&configuration.secret_scopes, SLICE("vault"), SLICE("8")));
    CHECK_OK(check_text("spec: {secrets: {}}\n"));
    CHECK_EQ_INT(configuration.secret_scopes.count, 0);
}

TEST(what_a_later_file_sets_replaces_what_an_earlier_one_set)
{
    CHECK_OK(check_text(""));
    struct text_list files = { 0 };
    text_list_add(&arena, &files,
                  write_file("1.yaml", "spec: {secrets: {scopes: [{storeName: a, defaultAccess: "
                                       "deny}, {storeName: b, defaultAccess: deny}]}}"));
    text_list_add(&arena, &files,
                  write_file("2.yaml", "spec: {tracing: {samplingRate: '0'}, workflow: {}}"));
    text_list_add(&arena, &files,
                  write_file("3.yaml", "spec: {secrets: {scopes: [{storeName: a, deniedSecrets: "
                                       "[x]}]}}"));
    CHECK_OK(configuration_read(&arena, &files, &configuration, &ignored, &diag));
    CHECK(secret_scopes_allow(&configuration.secret_scopes, SLICE("a"), SLICE("y")));
    CHECK(!secret_scopes_allow(&configuration.secret_scopes, SLICE("a"), SLICE("x")));
    CHECK(secret_scopes_allow(&configuration.secret_scopes, SLICE("b"), SLICE("x")));
    CHECK_EQ_INT(ignored.count, 1);
    CHECK_SLICE_IS(configuration.tracing.sampling_rate, "0");
}

TEST(name_and_texts_tell_one_reading_from_the_next)
{
    CHECK_OK(check_text("metadata: {name: mine}\nspec: {tracing: {samplingRate: '0'}}\n"));
    CHECK_EQ_STR(configuration.name.data, "mine");
    REQUIRE(configuration.sources.count == 1);
    CHECK(slice_has_prefix(configuration.sources.items[0], SLICE("metadata: {name: mine}\n")));
    CHECK_OK(check_text("spec: {}\n"));
    CHECK_EQ_INT(configuration.name.len, 0);
    CHECK_EQ_STR(configuration.sources.items[0].data, "spec: {}\n");
}

TEST(scopes_that_make_no_sense_end_the_start)
{
    static const char *const texts[][2] = {
        { "spec: {secrets: []}", "spec.secrets: expected a map, found a list" },
        { "spec: {secrets: {scopes: {}}}", "spec.secrets.scopes: expected a list, found a map" },
        { "spec: {secrets: {scopes: [vault]}}", "spec.secrets.scopes: expected a map, found text" },
        { "spec: {secrets: {scopes: [{storeName: a, defaultAccess: maybe}]}}",
          "defaultAccess maybe can be either allow or deny" },
        { "spec: {secrets: {scopes: [{storeName: a}, {storeName: a}]}}",
          "a storeName is repeated in secrets configuration" },
        { "spec: {secrets: {scopes: [{storeName: a, allowedSecrets: x}]}}",
          "spec.secrets.scopes.allowedSecrets: expected a list, found text" },
        { "spec: {secrets: {scopes: [{storeName: a, deniedSecrets: [[x]]}]}}",
          "spec.secrets.scopes.deniedSecrets: expected the name of a secret, found a list" },
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CHECK_EQ_INT(check_text(texts[i][0]), ERR_CONFIG);
        if (!CHECK(slice_has_suffix(diag.message, slice_str(texts[i][1]))))
            fprintf(stderr, "  got: %.*s\n", SLICE_ARG(diag.message));
    }
}

TEST(metrics_and_logging_are_read_from_both_spellings)
{
    CHECK_OK(
        check_text("spec:\n  metric: {enabled: false, recordErrorCodes: true}\n"
                   "  metrics:\n    enabled: true\n    http:\n"
                   "      increasedCardinality: false\n      excludeVerbs: true\n"
                   "      pathMatching: [\"/orders/{id}\", /v1.0/x]\n"
                   "    latencyDistributionBuckets: [1, 2, 500]\n"
                   "  logging: {apiLogging: {enabled: true, obfuscateURLs: true, "
                   "omitHealthChecks: true}}\n"
                   "  features: [{name: HotReload, enabled: false}, {name: X, enabled: true}]\n"));
    const struct metrics_settings *metrics = &configuration.metrics;
    CHECK_EQ_INT(ignored.count, 0);
    CHECK(!metrics->is_off && metrics->records_error_codes);
    CHECK(metrics->has_cardinality && !metrics->has_increased_cardinality);
    CHECK(metrics->excludes_verbs);
    REQUIRE(metrics->templates.count == 2 && metrics->bucket_count == 3);
    CHECK_SLICE_IS(metrics->templates.items[0], "/orders/{id}");
    CHECK_EQ_U64(metrics->buckets[2], 500);
    CHECK(configuration.api_log.has_enabled && configuration.api_log.is_enabled);
    CHECK(configuration.api_log.obfuscates_urls && configuration.api_log.omits_health_checks);
    CHECK(feature_is_off(&configuration.features, SLICE("HotReload")));
    CHECK(!feature_is_off(&configuration.features, SLICE("X")));
}

TEST(nonsense_about_metrics_is_refused_with_its_place)
{
    static const char *const specs[][2] = {
        { "{metrics: [1]}", "line 1: spec.metrics must be a map, not a list" },
        { "{metric: {enabled: what}}", "line 1: spec.metrics.enabled must be a bool, not text" },
        { "{metrics: {http: {pathMatching: a}}}",
          "line 1: spec.metrics.http.pathMatching must be a list, not text" },
        { "{metrics: {latencyDistributionBuckets: [2, 1]}}",
          "line 1: spec.metrics.latencyDistributionBuckets must ascend and have at most 64 items" },
        { "{metrics: {latencyDistributionBuckets: [x]}}",
          "line 1: spec.metrics.latencyDistributionBuckets must be a list of milliseconds, not "
          "text" },
        { "{features: {a: b}}", "line 1: spec.features must be a list, not a map" },
    };
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        char text[200];
        snprintf(text, sizeof text, "spec: %s\n", specs[i][0]);
        CHECK_EQ_INT(check_text(text), ERR_CONFIG);
        CHECK(slice_has_suffix(diag.message, slice_str(specs[i][1])));
    }
}
