/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: what is refused, what is only named. */
#include "config/configuration.h"

#include "base/macros.h"
#include "test.h"

static struct arena arena;
static struct diag diag;
static struct text_list ignored;

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
    return configuration_check(&arena, &files, &ignored, &diag);
}

TEST(harmless_settings_are_named)
{
    CHECK_OK(check_text("kind: Configuration\nspec:\n  tracing: {samplingRate: \"1\"}\n"
                        "  mtls: {enabled: false}\n  accessControl: {trustDomain: public}\n"
                        "  httpPipeline: {handlers: []}\n"));
    REQUIRE(ignored.count == 4);
    CHECK_EQ_STR(ignored.items[0].data, "spec.tracing");
    CHECK_OK(check_text(""));
    CHECK_OK(check_text("kind: Configuration\nmetadata: {name: x}\n"));
    CHECK_EQ_INT(ignored.count, 0);
}

TEST(protection_that_is_not_there_is_refused)
{
    static const char *const specs[] = {
        "{mtls: {enabled: true}}",
        "{mtls: {enabled: what}}",
        "{accessControl: {defaultAction: deny}}",
        "{accessControl: {policies: [{appId: a}]}}",
        "{api: {allowed: [{name: state}]}}",
        "{api: {denied: [{name: state}]}}",
        "{secrets: {scopes: [{storeName: a}]}}",
        "{components: {deny: [state.redis]}}",
        "{httpPipeline: {handlers: [{name: oauth}]}}",
        "{HTTPPIPELINE: {Handlers: [{name: oauth}]}}",
        "{appHttpPipeline: {handlers: [{name: oauth}]}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        char text[200];
        snprintf(text, sizeof text, "spec: %s\n", specs[i]);
        CHECK_EQ_INT(check_text(text), ERR_CONFIG);
        CHECK(slice_has_suffix(diag.message, SLICE("is not implemented in this version")));
    }
}

TEST(a_file_that_cannot_be_read_ends_the_start)
{
    CHECK_EQ_INT(check_text("a: b: c\n"), ERR_CONFIG);
    struct text_list files = { 0 };
    text_list_add(&arena, &files, SLICE("/nonexistent/c.yaml"));
    CHECK_EQ_INT(configuration_check(&arena, &files, &ignored, &diag), ERR_CONFIG);
    CHECK_SLICE_IS(diag.message, "error loading configuration: stat /nonexistent/c.yaml: no such "
                                 "file or directory");
}
