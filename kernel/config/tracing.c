/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of tracing as a Configuration has them; see tracing.h. */
#include "config/tracing.h"

#include "base/limits.h"
#include "config/duration.h"

enum { HTTP_PORT = 80, HTTPS_PORT = 443 };

static err_t
wrong(struct diag *diag, const char *path, const char *what, const struct node *node)
{
    return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.tracing.%s must be %s, not %s", node->line,
                     path, what, node_what(node));
}

/* --- small parsers -----------------------------------------------------------------------------*/

static bool
is_token(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL)))
            return false;
    }
    return text.len > 0;
}

static bool
unescape(struct arena *arena, struct slice text, struct slice *ret_text)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if ((unsigned char)c < ' ' || c == 0x7f)
            return false; /* no value of a header */
        out[len++] = c;
    }
    out[len] = '\0';
    *ret_text = slice_of(out, len);
    return true;
}

static bool
add_pair(struct arena *arena, struct slice text, struct tracing_pairs *pairs)
{
    ptrdiff_t equals = slice_find_byte(text, '=');
    struct slice value;
    if (equals < 0 || pairs->count == LIMIT_trace_pairs_max)
        return false;
    struct slice name = slice_trim(slice_first(text, (size_t)equals));
    if (!is_token(name) || !unescape(arena, slice_from(text, (size_t)equals + 1), &value))
        return false;
    if (pairs->items == NULL)
        pairs->items = ARENA_ARRAY(arena, struct tracing_pair, LIMIT_trace_pairs_max);
    pairs->items[pairs->count++] = (struct tracing_pair){ .name = arena_dup(arena, name),
                                                          .value = slice_trim(value) };
    return true;
}

bool
tracing_pairs_parse(struct arena *arena, struct slice text, struct tracing_pairs *ret_pairs)
{
    struct tracing_pairs pairs = { 0 };
    struct slice rest = text, part;
    while (slice_split(&rest, ',', &part))
        if (slice_trim(part).len > 0 && !add_pair(arena, part, &pairs))
            return false;
    *ret_pairs = pairs;
    return true;
}

/* "host", "host:port", "[::1]:port". */
static bool
parse_authority(struct arena *arena, struct slice text, struct tracing_endpoint *endpoint)
{
    struct slice port;
    bool has_port;
    if (text.len > 0 && text.data[0] == '[') {
        ptrdiff_t close = slice_find_byte(text, ']');
        if (close < 0)
            return false;
        port = slice_from(text, (size_t)close + 1);
        text = slice_of(text.data + 1, (size_t)close - 1);
        has_port = port.len > 0;
        if (has_port && port.data[0] != ':')
            return false;
        port = slice_from(port, 1);
    } else {
        ptrdiff_t colon = slice_find_byte(text, ':');
        has_port = colon >= 0;
        port = has_port ? slice_from(text, (size_t)colon + 1) : SLICE_EMPTY;
        text = has_port ? slice_first(text, (size_t)colon) : text;
    }
    uint64_t number = endpoint->port;
    if (has_port && (!slice_to_u64(port, &number) || number == 0 || number > UINT16_MAX))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f || strchr("@/\\?#", text.data[i]) != NULL)
            return false; /* user information is not sent to a collector, so it is not taken */
    endpoint->host = arena_dup(arena, text);
    endpoint->port = (uint16_t)number;
    return text.len > 0;
}

static bool
is_target(struct slice path)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.data[i] <= ' ' || path.data[i] >= 0x7f || path.data[i] == '#')
            return false;
    return true;
}

bool
tracing_endpoint_parse(struct arena *arena, struct slice text, uint16_t port, const char *path,
                       struct tracing_endpoint *endpoint)
{
    struct tracing_endpoint got = { .is_set = true, .is_secure = endpoint->is_secure };
    struct slice rest = slice_trim(text);
    bool is_http = slice_has_prefix_nocase(rest, SLICE("http://"));
    bool is_https = slice_has_prefix_nocase(rest, SLICE("https://"));
    if (is_http || is_https) {
        rest = slice_from(rest, is_http ? 7 : 8);
        got.is_secure = is_https;
    }
    got.port = port != 0 ? port : got.is_secure ? HTTPS_PORT : HTTP_PORT;
    size_t at = 0;
    while (at < rest.len && rest.data[at] != '/' && rest.data[at] != '?')
        at++;
    struct slice target = slice_from(rest, at);
    if (target.len <= 1)
        target = slice_str(path);
    else if (target.data[0] == '?')
        target = arena_printf(arena, "/" SLICE_FMT, SLICE_ARG(target));
    if (!is_target(target) || !parse_authority(arena, slice_first(rest, at), &got))
        return false;
    got.path = arena_dup(arena, target);
    *endpoint = got;
    return true;
}

/* --- Configuration -----------------------------------------------------------------------------*/

/* Absent: unchanged. */
static err_t
read_text(struct arena *arena, const struct node *map, const char *name, const char *path,
          struct slice *text, struct diag *diag)
{
    const struct node *node = node_get(map, slice_str(name));
    if (node != NULL && !node_text(arena, node, text))
        return wrong(diag, path, "a text", node);
    return OK;
}

static err_t
read_bool(const struct node *map, const char *name, const char *path, bool *value,
          struct diag *diag)
{
    const struct node *node = node_get(map, slice_str(name));
    if (node != NULL && !node_bool(node, value))
        return wrong(diag, path, "a bool", node);
    return OK;
}

/* A list of "name=value", or such pairs in one text. */
static err_t
read_headers(struct arena *arena, const struct node *node, struct tracing_pairs *ret_headers,
             struct diag *diag)
{
    static const char what[] = "a list of name=value";
    struct tracing_pairs pairs = { 0 };
    struct slice text;
    if (node == NULL)
        return OK;
    if (node->type == NODE_SCALAR) {
        if (!node_text(arena, node, &text) || !tracing_pairs_parse(arena, text, &pairs))
            return wrong(diag, "otel.headers", what, node);
    } else if (node->type == NODE_LIST) {
        for (const struct node_item *item = node->items; item != NULL; item = item->next)
            if (!node_text(arena, item->value, &text) || !add_pair(arena, text, &pairs))
                return wrong(diag, "otel.headers", what, item->value);
    } else {
        return wrong(diag, "otel.headers", what, node);
    }
    *ret_headers = pairs;
    return OK;
}

/* Milliseconds, or a duration. */
static err_t
read_timeout(struct arena *arena, const struct node *node, uint64_t *ret_ms, struct diag *diag)
{
    char error[DURATION_ERROR_BYTES];
    struct slice text;
    uint64_t ms = 0;
    int64_t ns;
    if (node == NULL)
        return OK;
    if (!node_text(arena, node, &text))
        return wrong(diag, "otel.timeout", "a duration", node);
    if (slice_to_u64(text, &ms) && ms <= UINT32_MAX) {
        *ret_ms = ms;
        return OK;
    }
    if (!duration_parse(text, &ns, error) || ns < 0)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.tracing.otel.timeout must be a duration",
                         node->line);
    *ret_ms = ((uint64_t)ns + DURATION_MS_NS - 1) / DURATION_MS_NS;
    return OK;
}

static err_t
read_otel(struct arena *arena, const struct node *node, struct tracing_settings *settings,
          struct diag *diag)
{
    bool is_secure = !settings->otel_is_insecure;
    if (node == NULL)
        return OK;
    if (node->type != NODE_MAP)
        return wrong(diag, "otel", "a map", node);
    err_t err = read_text(arena, node, "endpointAddress", "otel.endpointAddress",
                          &settings->otel_address, diag);
    if (err == OK)
        err = read_text(arena, node, "protocol", "otel.protocol", &settings->otel_protocol, diag);
    if (err == OK)
        err = read_bool(node, "isSecure", "otel.isSecure", &is_secure, diag);
    if (err == OK)
        err = read_headers(arena, node_get(node, SLICE("headers")), &settings->otel_headers, diag);
    if (err == OK)
        err = read_timeout(arena, node_get(node, SLICE("timeout")), &settings->otel_timeout_ms,
                           diag);
    settings->otel_is_insecure = !is_secure;
    return err;
}

static err_t
read_zipkin(struct arena *arena, const struct node *node, struct tracing_settings *settings,
            struct diag *diag)
{
    struct slice address = SLICE_EMPTY;
    if (node == NULL)
        return OK;
    if (node->type != NODE_MAP)
        return wrong(diag, "zipkin", "a map", node);
    err_t err = read_text(arena, node, "endpointAddress", "zipkin.endpointAddress", &address, diag);
    if (err != OK || address.len == 0)
        return err;
    if (slice_find(address, SLICE("://")) < 0 ||
        !tracing_endpoint_parse(arena, address, 0, "/", &settings->zipkin))
        return DIAG_FAIL(diag, ERR_CONFIG, "invalid collector URL \"" SLICE_FMT "\"",
                         SLICE_ARG(address));
    return OK;
}

err_t
tracing_settings_read(struct arena *arena, const struct node *node,
                      struct tracing_settings *settings, struct diag *diag)
{
    if (node == NULL)
        return OK;
    if (node->type != NODE_MAP)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.tracing must be a map, not %s",
                         node->line, node_what(node));
    err_t err = read_text(arena, node, "samplingRate", "samplingRate", &settings->sampling_rate,
                          diag);
    if (err == OK)
        err = read_bool(node, "stdout", "stdout", &settings->logs_spans, diag);
    if (err == OK)
        err = read_otel(arena, node_get(node, SLICE("otel")), settings, diag);
    if (err == OK)
        err = read_zipkin(arena, node_get(node, SLICE("zipkin")), settings, diag);
    return err;
}
