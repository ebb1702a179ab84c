/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPEndpoint documents to structs; see http_endpoint.h. */
#include "config/http_endpoint.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/url.h"

/* One read in progress. */
struct loader {
    struct value_reader reader;
    const struct resource_filter *filter;
    const struct http_endpoint_context *context;
    struct map names; /* taken by documents that have been seen */
    struct buf errors;
    bool has_duplicates;
    struct http_endpoint_list list;
    size_t room;
};

static bool
refuse(struct loader *l, const struct node *node, const char *path, const char *expected)
{
    resources_warn(l->reader.scratch, l->reader.resources, l->reader.resource->file, node,
                   "%s: expected %s, found %s", path, expected, node_what(node));
    return false;
}

static bool
take_text(struct loader *l, const struct node *parent, const char *name, const char *path,
          struct slice *ret_text)
{
    struct slice text;
    if (!resource_text(l->reader.scratch, l->reader.resources, l->reader.resource->file, parent,
                       name, path, &text))
        return false;
    *ret_text = arena_dup(l->reader.arena, text);
    return true;
}

/* --- headers and TLS ---------------------------------------------------------------------------*/

/* A value counts more than envRef, and a forbidden one leaves it empty, as the reference does. */
static void
read_env(struct loader *l, const struct node *item, struct component_value *value)
{
    if (value->env_name.len == 0 || value->value.len > 0)
        return;
    if (!value_read_env(l->reader.arena, value->env_name, l->context->env_keys, l->context->env,
                        &value->value))
        resources_warn(l->reader.scratch, l->reader.resources, l->reader.resource->file, item,
                       "spec.headers: envRef names a variable that isn't allowed: " SLICE_FMT,
                       SLICE_ARG(value->env_name));
}

static bool
take_headers(struct loader *l, struct http_endpoint_spec *spec)
{
    const struct node *list = node_get(l->reader.resource->spec, SLICE("headers"));
    if (list != NULL && list->type != NODE_LIST)
        return refuse(l, list, "spec.headers", "a list");
    size_t most = list == NULL ? 0 : list->count;
    if (most > LIMIT_http_endpoint_headers_max) {
        resources_warn(l->reader.scratch, l->reader.resources, l->reader.resource->file, list,
                       "spec.headers: more than %d", (int)LIMIT_http_endpoint_headers_max);
        return false;
    }
    spec->values = ARENA_ARRAY(l->reader.arena, struct component_value, most + ENDPOINT_TLS_PARTS);
    for (const struct node_item *item = list == NULL ? NULL : list->items; item != NULL;
         item = item->next) {
        struct component_value *value = &spec->values[spec->header_count++];
        if (!value_read(&l->reader, item->value, "spec.headers", value))
            return false;
        if (value->name.len == 0)
            return refuse(l, item->value, "spec.headers", "a name");
        read_env(l, item->value, value);
    }
    return true;
}

/* PEM texts stand in one line with "\n" in them where YAML does not turn those into line breaks. */
static struct slice
unescape_lines(struct arena *arena, struct slice text)
{
    if (slice_find_byte(text, '\n') >= 0 || slice_find(text, SLICE("\\n")) < 0)
        return text;
    char *out = arena_str(arena, text);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool is_break = slice_has_prefix(slice_from(text, i), SLICE("\\n"));
        out[len++] = is_break ? '\n' : text.data[i];
        i += is_break;
    }
    out[len] = '\0';
    return slice_of(out, len);
}

static bool
take_renegotiation(struct loader *l, const struct node *tls)
{
    static const char *const known[] = { "RenegotiateNever", "RenegotiateOnceAsClient",
                                         "RenegotiateFreelyAsClient" };
    const struct node *node = node_get(tls, SLICE("renegotiation"));
    struct slice text;
    if (!take_text(l, tls, "renegotiation", "spec.clientTLS.renegotiation", &text))
        return false;
    if (text.len == 0 || slice_eq(text, slice_str(known[0])))
        return true;
    for (size_t i = 1; i < ARRAY_LEN(known); i++) {
        if (!slice_eq(text, slice_str(known[i])))
            continue;
        text_list_add(l->reader.scratch, &l->reader.resources->warnings,
                      arena_printf(l->reader.scratch,
                                   "spec.clientTLS.renegotiation of HTTPEndpoint " SLICE_FMT
                                   " has no effect: nothing is ever renegotiated",
                                   SLICE_ARG(l->reader.resource->name)));
        return true;
    }
    resources_warn(l->reader.scratch, l->reader.resources, l->reader.resource->file, node,
                   "invalid renegotiation value " SLICE_FMT " for http endpoint " SLICE_FMT,
                   SLICE_ARG(text), SLICE_ARG(l->reader.resource->name));
    return false;
}

static bool
take_tls(struct loader *l, struct http_endpoint_spec *spec)
{
    static const char *const names[ENDPOINT_TLS_PARTS] = {
        [ENDPOINT_ROOT_CA] = "rootCA",
        [ENDPOINT_CERTIFICATE] = "certificate",
        [ENDPOINT_PRIVATE_KEY] = "privateKey",
    };
    const struct node *tls = node_get(l->reader.resource->spec, SLICE("clientTLS"));
    if (tls != NULL && tls->type != NODE_MAP)
        return refuse(l, tls, "spec.clientTLS", "a map");
    for (size_t i = 0; i < ENDPOINT_TLS_PARTS; i++) {
        const struct node *part = node_get(tls, slice_str(names[i]));
        struct component_value *value = &spec->values[spec->header_count + i];
        if (part == NULL)
            continue;
        if (!value_read(&l->reader, part, "spec.clientTLS", value))
            return false;
        value->name = slice_str(names[i]);
        value->value = unescape_lines(l->reader.arena, value->value);
    }
    return take_renegotiation(l, tls);
}

/* --- documents ---------------------------------------------------------------------------------*/

/* An address that cannot be used is listed all the same, and every call says why. */
static void
check_url(struct loader *l, const struct http_endpoint_spec *spec)
{
    struct url url;
    struct slice error;
    if (!url_parse(l->reader.scratch, spec->base_url, &url, &error))
        resources_warn(l->reader.scratch, l->reader.resources, l->reader.resource->file,
                       l->reader.resource->root, "spec.baseUrl: " SLICE_FMT, SLICE_ARG(error));
}

static bool
take_endpoint(struct loader *l, struct http_endpoint_spec *spec)
{
    const struct resource *r = l->reader.resource;
    const char *fault = resource_name_fault(r->name);
    const struct node *auth = node_get(r->root, SLICE("auth"));
    if (fault != NULL) {
        resources_warn(l->reader.scratch, l->reader.resources, r->file, r->root,
                       "invalid name \"" SLICE_FMT "\" for \"HTTPEndpoint\": %s",
                       SLICE_ARG(r->name), fault);
        return false;
    }
    *spec = (struct http_endpoint_spec){
        .name = arena_dup(l->reader.arena, r->name),
        .namespace_name = arena_dup(l->reader.arena, r->namespace_name),
    };
    if (r->spec != NULL && r->spec->type != NODE_MAP)
        return refuse(l, r->spec, "spec", "a map");
    if (auth != NULL && auth->type != NODE_MAP)
        return refuse(l, auth, "auth", "a map");
    return take_text(l, r->spec, "baseUrl", "spec.baseUrl", &spec->base_url) &&
           take_text(l, auth, "secretStore", "auth.secretStore", &spec->auth_secret_store) &&
           take_headers(l, spec) && take_tls(l, spec);
}

static bool
is_endpoint(const struct resource *r)
{
    return slice_eq(r->kind, SLICE("HTTPEndpoint")) &&
           (r->api_version.len == 0 || slice_eq(r->api_version, SLICE("dapr.io/v1alpha1")));
}

/* False: the message is long enough. */
static bool
add_duplicate(struct loader *l, struct slice name)
{
    return buf_printf(&l->errors,
                      "%sduplicate definition of HTTPEndpoint name " SLICE_FMT
                      " with existing " SLICE_FMT,
                      l->errors.len == 0 ? "" : "\n", SLICE_ARG(name), SLICE_ARG(name));
}

/* As for components: a name is taken by the first document that has it, in scope or not; a later
 * one that is out of scope is no duplicate. */
static void
add_endpoint(struct loader *l)
{
    const struct resource *r = l->reader.resource;
    bool in_scope = resource_is_in_scope(r, l->filter);
    struct http_endpoint_spec spec;
    if (r->name.len > 0 && map_get(&l->names, r->name) != NULL) {
        l->has_duplicates |= in_scope && add_duplicate(l, r->name);
        return;
    }
    if (r->name.len > 0)
        (void)map_put(&l->names, r->name, l); /* was not there */
    if (!in_scope)
        return;
    if (!take_endpoint(l, &spec)) {
        text_list_add(l->reader.arena, &l->list.broken, r->name);
        return;
    }
    check_url(l, &spec);
    if (l->list.count == l->room) {
        size_t room = l->room == 0 ? 8 : l->room * 2;
        l->list.items = arena_grow(l->reader.arena, l->list.items, l->room * sizeof spec,
                                   room * sizeof spec);
        l->room = room;
    }
    l->list.items[l->list.count++] = spec;
}

err_t
http_endpoints_read(struct arena *arena, struct arena *scratch, struct resources *resources,
                    const struct resource_filter *filter,
                    const struct http_endpoint_context *context,
                    struct http_endpoint_list *ret_list, struct diag *diag)
{
    enum { ERROR_BYTES_MAX = 3500 }; /* a diag holds 4,096 */
    struct loader l = {
        .reader = { arena, scratch, resources, NULL },
        .filter = filter,
        .context = context,
    };
    struct slice first_broken = resources->first_broken;
    err_t err = OK;
    map_init(&l.names);
    buf_init(&l.errors, ERROR_BYTES_MAX);
    resources->reading = "HTTPEndpoint";
    for (size_t i = 0; i < resources->count && l.list.count <= LIMIT_http_endpoints_max; i++) {
        l.reader.resource = &resources->items[i];
        if (is_endpoint(l.reader.resource) && resource_is_in_namespace(l.reader.resource, filter))
            add_endpoint(&l);
    }
    resources->reading = NULL;
    resources->first_broken = first_broken; /* is about components */
    if (l.list.count > LIMIT_http_endpoints_max)
        err = DIAG_FAIL(diag, ERR_CONFIG, "failed to load HTTP endpoints: more than %d",
                        (int)LIMIT_http_endpoints_max);
    else if (l.has_duplicates)
        err = DIAG_FAIL(diag, ERR_CONFIG, "failed to load HTTP endpoints: " SLICE_FMT,
                        SLICE_ARG(buf_slice(&l.errors)));
    else
        *ret_list = l.list;
    map_fini(&l.names);
    buf_fini(&l.errors);
    return err;
}

bool
http_endpoint_is_same(const struct http_endpoint_spec *a, const struct http_endpoint_spec *b)
{
    if (!slice_eq(a->name, b->name) || !slice_eq(a->base_url, b->base_url) ||
        !slice_eq(a->namespace_name, b->namespace_name) ||
        !slice_eq(a->auth_secret_store, b->auth_secret_store) || a->header_count != b->header_count)
        return false;
    for (size_t i = 0; i < http_endpoint_value_count(a); i++)
        if (!value_is_same(&a->values[i], &b->values[i]))
            return false;
    return true;
}
