/* SPDX-License-Identifier: Apache-2.0 */
/* Values that depend on where the sidecar runs: envRef and placeholders; see component.h. */
#include "config/component.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/limits.h"

enum { UUID_CHARS = 36 };

/* Version 4, random. */
static void
make_uuid(char ret_text[UUID_CHARS + 1])
{
    unsigned char b[16];
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        abort(); /* the kernel has no such failure for so few bytes */
    b[6] = (unsigned char)((b[6] & 0x0F) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3F) | 0x80);
    size_t len = 0;
    for (size_t i = 0; i < sizeof b; i++) {
        const char *dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
        len += (size_t)snprintf(ret_text + len, UUID_CHARS + 1 - len, "%s%02x", dash, b[i]);
    }
}

static void
read_env(struct arena *arena, const struct component_spec *spec, struct component_value *value,
         const struct component_context *context, struct text_list *warnings)
{
    if (!value_read_env(arena, value->env_name, context->env_keys, context->env, &value->value))
        text_list_add(arena, warnings,
                      arena_printf(arena,
                                   "Component " SLICE_FMT " references an env variable that isn't "
                                   "allowed: " SLICE_FMT,
                                   SLICE_ARG(spec->name), SLICE_ARG(value->env_name)));
}

/* Replaces every `name` in `text`. `replacement` NULL data: a new UUID each time. False if the
 * result gets too large. */
static bool
replace(struct arena *arena, struct slice name, struct slice replacement, struct slice *text)
{
    if (slice_find(*text, name) < 0)
        return true;
    struct buf out;
    buf_init(&out, LIMIT_resource_json_bytes_max);
    struct slice rest = *text;
    bool ok = true;
    for (ptrdiff_t at; ok && (at = slice_find(rest, name)) >= 0;) {
        char uuid[UUID_CHARS + 1];
        struct slice put = replacement;
        if (put.data == NULL) {
            make_uuid(uuid);
            put = slice_of(uuid, UUID_CHARS);
        }
        ok = buf_append(&out, slice_first(rest, (size_t)at)) && buf_append(&out, put);
        rest = slice_from(rest, (size_t)at + name.len);
    }
    ok = ok && buf_append(&out, rest);
    if (ok)
        *text = arena_dup(arena, buf_slice(&out));
    buf_fini(&out);
    return ok;
}

err_t
component_resolve(struct arena *arena, struct component_spec *spec,
                  const struct component_context *context, struct text_list *warnings,
                  struct diag *diag)
{
    struct slice namespace_app = arena_printf(arena, SLICE_FMT "." SLICE_FMT,
                                              SLICE_ARG(context->namespace_name),
                                              SLICE_ARG(context->app_id));
    for (size_t i = 0; i < spec->value_count; i++) {
        struct component_value *value = &spec->values[i];
        if (value->env_name.len > 0)
            read_env(arena, spec, value, context, warnings);
        spec->has_namespace |= slice_find(value->value, SLICE("{namespace}")) >= 0;
        if (slice_find(value->value, SLICE("{podName}")) >= 0 && context->pod_name.len == 0)
            return DIAG_FAIL(diag, ERR_CONFIG,
                             "failed to parse metadata: property " SLICE_FMT
                             " refers to {podName} but podName is not set",
                             SLICE_ARG(value->name));
        if (!replace(arena, SLICE("{uuid}"), (struct slice){ 0 }, &value->value) ||
            !replace(arena, SLICE("{podName}"), context->pod_name, &value->value) ||
            !replace(arena, SLICE("{namespace}"), namespace_app, &value->value) ||
            !replace(arena, SLICE("{appID}"), context->app_id, &value->value))
            return DIAG_FAIL(diag, ERR_CONFIG,
                             "failed to parse metadata: property " SLICE_FMT " is too long",
                             SLICE_ARG(value->name));
    }
    return OK;
}
