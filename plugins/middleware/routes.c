/* SPDX-License-Identifier: Apache-2.0 */
/* Aliases of paths; see routes.h. */
#include "routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "../shared/escape.h"
#include "pattern.h"

enum { PATTERN_ROOM_FACTOR = 8 }; /* "{a}" becomes "([^/]+)", a literal byte at most two */

struct route {
    struct pattern *pattern;
    char *names[PATTERN_GROUPS_MAX];
    size_t name_count;
    char *path;  /* as it is sent */
    char *query; /* of the alias itself; empty if none */
};

struct routes {
    struct route *items;
    size_t count;
};

struct routes *
routes_new(void)
{
    struct routes *routes = calloc(1, sizeof *routes);
    if (routes == NULL)
        abort();
    return routes;
}

static void
route_fini(struct route *route)
{
    pattern_free(route->pattern);
    for (size_t i = 0; i < route->name_count; i++)
        free(route->names[i]);
    free(route->path);
    free(route->query);
}

void
routes_free(struct routes *routes)
{
    if (routes == NULL)
        return;
    for (size_t i = 0; i < routes->count; i++)
        route_fini(&routes->items[i]);
    free(routes->items);
    free(routes);
}

static bool
complain(char *why, const char *words, struct remora_slice what)
{
    (void)snprintf(why, ROUTES_WORDS_BYTES, "%s: %.*s", words,
                   (int)(what.len < 100 ? what.len : 100), what.data);
    return false;
}

/* --- a pattern ---------------------------------------------------------------------------------*/

struct expression {
    char *text;
    size_t len;
};

static void
put(struct expression *e, const char *bytes, size_t len)
{
    memcpy(e->text + e->len, bytes, len);
    e->len += len;
}

static void
put_literal(struct expression *e, char c)
{
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '/' || c == '_' || (c & 0x80) != 0;
    if (!is_plain)
        put(e, "\\", 1);
    put(e, &c, 1);
}

/* The brace that closes the one at `at`; expressions may hold pairs of their own. */
static size_t
closing_brace(struct remora_slice text, size_t at)
{
    size_t depth = 0;
    for (size_t i = at; i < text.len; i++) {
        if (text.data[i] == '{')
            depth++;
        else if (text.data[i] == '}' && --depth == 0)
            return i;
    }
    return text.len;
}

static bool
put_variable(struct route *route, struct expression *e, struct remora_slice inner)
{
    const char *colon = memchr(inner.data, ':', inner.len);
    size_t name_len = colon == NULL ? inner.len : (size_t)(colon - inner.data);
    if (name_len == 0 || route->name_count == PATTERN_GROUPS_MAX)
        return false;
    char *name = remora_slice_dup((struct remora_slice){ inner.data, name_len });
    if (name == NULL)
        return false;
    route->names[route->name_count++] = name;
    put(e, "(", 1);
    if (colon == NULL)
        put(e, "[^/]+", 5);
    else
        put(e, colon + 1, inner.len - name_len - 1);
    put(e, ")", 1);
    return true;
}

static bool
compile(struct route *route, struct remora_slice from, char *why)
{
    struct expression e = { .text = malloc(from.len * PATTERN_ROOM_FACTOR + 1) };
    if (e.text == NULL)
        abort();
    bool ok = true;
    for (size_t i = 0; ok && i < from.len; i++) {
        if (from.data[i] != '{') {
            put_literal(&e, from.data[i]);
            continue;
        }
        size_t end = closing_brace(from, i);
        ok = end < from.len &&
             put_variable(route, &e, (struct remora_slice){ from.data + i + 1, end - i - 1 });
        i = end;
    }
    char words[PATTERN_WORDS_BYTES];
    if (!ok)
        (void)complain(why, "a route has braces that make no sense", from);
    else if ((route->pattern = pattern_new((struct remora_slice){ e.text, e.len }, true, words)) ==
             NULL)
        ok = complain(why, words, from);
    else if (pattern_groups(route->pattern) != route->name_count)
        ok = complain(why, "expressions of a route may have no groups of their own", from);
    free(e.text);
    return ok;
}

/* --- the table ---------------------------------------------------------------------------------*/

/* Nothing that would end a path or spoil a head. */
static bool
is_target(struct remora_slice to)
{
    if (to.len == 0 || to.data[0] != '/')
        return false;
    for (size_t i = 0; i < to.len; i++)
        if ((unsigned char)to.data[i] <= ' ' || to.data[i] == 0x7f || to.data[i] == '#')
            return false;
    return true;
}

bool
routes_add(struct routes *routes, struct remora_slice from, struct remora_slice to,
           char ret_why[ROUTES_WORDS_BYTES])
{
    struct route route = { 0 };
    if (routes->count == ROUTES_MAX)
        return complain(ret_why, "more routes than there may be", from);
    if (from.len == 0 || from.data[0] != '/' || from.len > PATTERN_BYTES_MAX / PATTERN_ROOM_FACTOR)
        return complain(ret_why, "a route must begin with a slash, and be short", from);
    if (!is_target(to))
        return complain(ret_why, "what a route leads to must be a path", to);
    if (!compile(&route, from, ret_why)) {
        route_fini(&route);
        return false;
    }
    const char *mark = memchr(to.data, '?', to.len);
    size_t path_len = mark == NULL ? to.len : (size_t)(mark - to.data);
    size_t query_at = mark == NULL ? to.len : path_len + 1;
    route.path = remora_slice_dup((struct remora_slice){ to.data, path_len });
    route.query = remora_slice_dup((struct remora_slice){ to.data + query_at, to.len - query_at });
    routes->items = realloc(routes->items, (routes->count + 1) * sizeof *routes->items);
    if (routes->items == NULL)
        abort();
    routes->items[routes->count++] = route;
    return true;
}

static struct remora_slice
scalar_of(const yaml_node_t *node)
{
    return (struct remora_slice){ (const char *)node->data.scalar.value, node->data.scalar.length };
}

static bool
add_pairs(struct routes *routes, yaml_document_t *document, const yaml_node_t *root, char *why)
{
    bool ok = true;
    for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         ok && pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *from = yaml_document_get_node(document, pair->key);
        const yaml_node_t *to = yaml_document_get_node(document, pair->value);
        ok = from != NULL && to != NULL && from->type == YAML_SCALAR_NODE &&
             to->type == YAML_SCALAR_NODE;
        if (ok)
            ok = routes_add(routes, scalar_of(from), scalar_of(to), why);
        else
            (void)snprintf(why, ROUTES_WORDS_BYTES, "a route that is no pair of texts");
    }
    return ok;
}

bool
routes_read(struct routes *routes, struct remora_slice text, char ret_why[ROUTES_WORDS_BYTES])
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (text.len > ROUTES_BYTES_MAX)
        return complain(ret_why, "too long", (struct remora_slice){ text.data, 0 });
    if (!yaml_parser_initialize(&parser))
        abort();
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.len);
    bool ok = yaml_parser_load(&parser, &document);
    if (!ok) {
        (void)snprintf(ret_why, ROUTES_WORDS_BYTES, "%s", parser.problem);
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&document);
        if (root != NULL && root->type == YAML_MAPPING_NODE) {
            ok = add_pairs(routes, &document, root, ret_why);
        } else if (root != NULL) {
            ok = false;
            (void)snprintf(ret_why, ROUTES_WORDS_BYTES, "no dictionary of paths");
        }
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return ok;
}

/* --- a request ---------------------------------------------------------------------------------*/

static int
hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static struct remora_slice
decode(routes_alloc *alloc, remora_call *call, struct remora_slice path)
{
    if (memchr(path.data, '%', path.len) == NULL)
        return path;
    char *out = alloc(call, path.len);
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        int high = i + 2 < path.len && path.data[i] == '%' ? hex_of(path.data[i + 1]) : -1;
        int low = high < 0 ? -1 : hex_of(path.data[i + 2]);
        if (low < 0) {
            out[len++] = path.data[i];
        } else {
            out[len++] = (char)(high * 16 + low);
            i += 2;
        }
    }
    return (struct remora_slice){ out, len };
}

static size_t
put_text(char *out, size_t at, const char *text, size_t len)
{
    if (len == 0)
        return at;
    if (at > 0)
        out[at++] = '&';
    memcpy(out + at, text, len);
    return at + len;
}

/* The request's own parameters, the alias's, and those of the path. */
static struct remora_slice
make_query(const struct route *route, routes_alloc *alloc, remora_call *call,
           struct remora_slice query, const struct pattern_match *match)
{
    size_t room = query.len + 1 + strlen(route->query) + 1, len = 0;
    for (size_t i = 0; i < route->name_count; i++)
        room += ESCAPE_FACTOR * (strlen(route->names[i]) + match->groups[i].len) + 2;
    char *out = alloc(call, room);
    len = put_text(out, len, query.data, query.len);
    len = put_text(out, len, route->query, strlen(route->query));
    for (size_t i = 0; i < route->name_count; i++) {
        if (len > 0)
            out[len++] = '&';
        len += escape_query((struct remora_slice){ route->names[i], strlen(route->names[i]) },
                            out + len);
        out[len++] = '=';
        len += escape_query(match->groups[i], out + len);
    }
    return (struct remora_slice){ out, len };
}

bool
routes_apply(const struct routes *routes, routes_alloc *alloc, remora_call *call,
             struct remora_slice path, struct remora_slice query, struct remora_slice *ret_path,
             struct remora_slice *ret_query)
{
    struct pattern_match match = { 0 };
    struct remora_slice text = decode(alloc, call, path);
    for (size_t i = 0; i < routes->count; i++) {
        const struct route *route = &routes->items[i];
        if (!pattern_matches(route->pattern, text, &match) || match.count != route->name_count)
            continue;
        *ret_path = (struct remora_slice){ route->path, strlen(route->path) };
        *ret_query = make_query(route, alloc, call, query, &match);
        return true;
    }
    return false;
}
