/* SPDX-License-Identifier: Apache-2.0 */
/* A resource file of any bytes: documents, components and HTTP endpoints, their values, and the
 * small parsers of texts that stand in them. Memory must stay within what the limits allow. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "config/component.h"
#include "config/duration.h"
#include "config/http_endpoint.h"
#include "config/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
get_env(void *arg, const char *name)
{
    (void)arg;
    return name;
}

static void
resolve_all(struct arena *arena, struct component_list *list, struct diag *diag)
{
    struct component_context context = {
        .app_id = SLICE("app"),
        .namespace_name = SLICE("default"),
        .pod_name = SLICE("pod-0"),
        .env = { .get = get_env },
    };
    struct text_list warnings = { 0 };
    for (size_t i = 0; i < list->count; i++) {
        struct component_spec *spec = &list->items[i];
        for (size_t k = 0; k < spec->value_count; k++) {
            assert(spec->values[k].value.data[spec->values[k].value.len] == '\0');
            assert(component_value(spec, spec->values[k].name) != NULL);
        }
        if (component_resolve(arena, spec, &context, &warnings, diag) == OK)
            (void)component_log_name(arena, spec); /* only that it can be made */
    }
}

/* The same for what has no sidecar: names are unique, the parts of TLS stand behind the headers. */
static void
read_endpoints(struct arena *arena, struct arena *scratch, struct resources *resources,
               const struct resource_filter *filter, struct diag *diag)
{
    const struct http_endpoint_context context = { .env_keys = SLICE_EMPTY,
                                                   .env = { .get = get_env } };
    struct http_endpoint_list list = { 0 };
    if (http_endpoints_read(arena, scratch, resources, filter, &context, &list, diag) != OK)
        return;
    for (size_t i = 0; i < list.count; i++) {
        const struct http_endpoint_spec *spec = &list.items[i];
        assert(http_endpoint_is_same(spec, spec) && resource_name_fault(spec->name) == NULL);
        for (size_t k = 0; k < spec->header_count; k++)
            assert(spec->values[k].name.len > 0);
        assert(http_endpoint_tls(spec, ENDPOINT_PRIVATE_KEY)->value.len <= scratch->total_bytes);
    }
}

static void
parse_texts(struct slice text)
{
    char error[DURATION_ERROR_BYTES], printed[DURATION_TEXT_BYTES];
    int64_t ns, again;
    const char *words;
    if (duration_parse(text, &ns, error)) {
        /* What we print we read as the same. */
        bool ok = duration_parse(duration_print(ns, printed), &again, error);
        assert(ok && again == ns);
    }
    if (!quantity_parse(text, &ns, &words))
        assert(words[0] != '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct arena arena, scratch;
    struct diag diag;
    struct resources resources = { 0 };
    struct component_list list = { 0 };
    struct resource_filter filter = { .app_id = SLICE("app"), .namespace_name = SLICE("default") };
    arena_init(&arena);
    arena_init(&scratch);
    diag_init(&diag, &arena);
    parse_texts(text);
    if (resources_add_text(&scratch, "f.yaml", text, &resources, &diag) == OK) {
        if (components_read(&arena, &scratch, &resources, &filter, &list, &diag) == OK)
            resolve_all(&arena, &list, &diag);
        read_endpoints(&arena, &scratch, &resources, &filter, &diag);
    }
    arena_fini(&scratch);
    arena_fini(&arena);
    return 0;
}
