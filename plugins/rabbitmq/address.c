/* SPDX-License-Identifier: Apache-2.0 */
/* AMQP URIs. They carry passwords: nothing of one that cannot be read is shown. */
#include "address.h"

#include <ctype.h>
#include <stdio.h>

enum {
    PORT_AMQP = 5672,
    PORT_AMQPS = 5671,
    HOST_BYTES_MAX = 253,
    SHOWN_BYTES = HOST_BYTES_MAX + 32
};

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static bool
says(char why[WHY_BYTES], const char *what)
{
    snprintf(why, WHY_BYTES, "%s", what);
    return false;
}

static int
hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* NULL: an escape is malformed, or hides a NUL. */
static char *
unescape(struct remora_slice text)
{
    char *out = memory_new(text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '%') {
            out[len++] = text.data[i];
            continue;
        }
        int high = i + 2 < text.len ? hex_value(text.data[i + 1]) : -1;
        int low = i + 2 < text.len ? hex_value(text.data[i + 2]) : -1;
        if (high < 0 || low < 0 || high + low == 0) {
            memory_wipe(out);
            return NULL;
        }
        out[len++] = (char)(high * 16 + low);
        i += 2;
    }
    return out;
}

static struct remora_slice
cut(struct remora_slice *rest, const char *at)
{
    struct remora_slice before = { rest->data, (size_t)(at - rest->data) };
    rest->len -= before.len + 1;
    rest->data = at + 1;
    return before;
}

static bool
take_scheme(struct remora_slice *rest, struct address *ret, char why[WHY_BYTES])
{
    static const struct {
        const char *text;
        bool is_tls;
    } schemes[] = { { "amqp://", false }, { "amqps://", true } };
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(schemes[i].text);
        if (rest->len >= len && strncasecmp(rest->data, schemes[i].text, len) == 0) {
            *rest = (struct remora_slice){ rest->data + len, rest->len - len };
            ret->is_tls = schemes[i].is_tls;
            ret->port = schemes[i].is_tls ? PORT_AMQPS : PORT_AMQP;
            return true;
        }
    }
    return says(why, "AMQP scheme must be either 'amqp://' or 'amqps://'");
}

static bool
take_credentials(struct remora_slice text, struct address *ret, char why[WHY_BYTES])
{
    const char *colon = memchr(text.data, ':', text.len);
    struct remora_slice name = colon == NULL ? text : cut(&text, colon);
    char *username = unescape(name);
    char *password = colon == NULL ? memory_text("guest") : unescape(text);
    if (username == NULL || password == NULL) {
        memory_wipe(username);
        memory_wipe(password);
        return says(why, "invalid URL escape in the credentials");
    }
    ret->username = username;
    ret->password = password;
    return true;
}

static bool
take_port(struct remora_slice text, struct address *ret, char why[WHY_BYTES])
{
    int64_t port;
    if (text.len == 0)
        return true;
    if (!remora_parse_i64(text, &port) || port < 1 || port > 65535)
        return says(why, "invalid port after host");
    ret->port = (int)port;
    return true;
}

/* "host", "host:port", "[v6]", "[v6]:port"; empty is localhost. */
static bool
take_host(struct remora_slice text, struct address *ret, char why[WHY_BYTES])
{
    struct remora_slice host = text, port = { "", 0 };
    const char *end = text.data + text.len;
    if (text.len > 0 && text.data[0] == '[') {
        const char *close = memchr(text.data, ']', text.len);
        if (close == NULL || (close + 1 != end && close[1] != ':'))
            return says(why, "missing ']' in host");
        host = (struct remora_slice){ text.data + 1, (size_t)(close - text.data - 1) };
        if (close + 1 != end)
            port = (struct remora_slice){ close + 2, (size_t)(end - close - 2) };
    } else {
        const char *colon = memchr(text.data, ':', text.len);
        if (colon != NULL) {
            host = (struct remora_slice){ text.data, (size_t)(colon - text.data) };
            port = (struct remora_slice){ colon + 1, (size_t)(end - colon - 1) };
        }
    }
    if (host.len > HOST_BYTES_MAX)
        return says(why, "the host's name is too long");
    for (size_t i = 0; i < host.len; i++)
        if (!isgraph((unsigned char)host.data[i]) ||
            strchr("\"#/<>?@[\\]^`{|}", host.data[i]) != NULL)
            return says(why, "invalid character in host name");
    if (!take_port(port, ret, why))
        return false;
    ret->host = host.len == 0 ? memory_text("localhost") : memory_slice(host);
    return true;
}

static bool
take_vhost(struct remora_slice path, struct address *ret, char why[WHY_BYTES])
{
    if (path.len == 0)
        return true;
    char *vhost = unescape(path);
    if (vhost == NULL)
        return says(why, "invalid URL escape in the path");
    if (strlen(vhost) > NAME_BYTES_MAX) {
        free(vhost);
        return says(why, "the virtual host's name is too long");
    }
    free(ret->vhost);
    ret->vhost = vhost;
    return true;
}

static bool
complete(struct address *ret)
{
    if (ret->username == NULL)
        ret->username = memory_text("guest");
    if (ret->password == NULL)
        ret->password = memory_text("guest");
    bool is_v6 = strchr(ret->host, ':') != NULL;
    char shown[SHOWN_BYTES];
    snprintf(shown, sizeof shown, "%s://%s%s%s:%d", ret->is_tls ? "amqps" : "amqp",
             is_v6 ? "[" : "", ret->host, is_v6 ? "]" : "", ret->port);
    ret->shown = memory_text(shown);
    return true;
}

static bool
failed(struct address *ret)
{
    address_fini(ret);
    *ret = (struct address){ 0 };
    return false;
}

bool
address_parse(struct remora_slice uri, struct address *ret, char why[WHY_BYTES])
{
    *ret = (struct address){ 0 };
    if (uri.len > CONNECTION_STRING_BYTES_MAX)
        return says(why, "the URI is too long");
    for (size_t i = 0; i < uri.len; i++)
        if (isspace((unsigned char)uri.data[i]) || uri.data[i] == '\0')
            return says(why, "URI must not contain whitespace");
    struct remora_slice rest = uri;
    if (!take_scheme(&rest, ret, why))
        return false;
    ret->vhost = memory_text("/");
    /* What belongs to the reference's client only: its query. */
    const char *query = rest.len == 0 ? NULL : memchr(rest.data, '?', rest.len);
    if (query != NULL)
        rest.len = (size_t)(query - rest.data);
    struct remora_slice path = { "", 0 };
    const char *slash = rest.len == 0 ? NULL : memchr(rest.data, '/', rest.len);
    if (slash != NULL) {
        path = (struct remora_slice){ slash + 1, (size_t)(rest.data + rest.len - slash - 1) };
        rest.len = (size_t)(slash - rest.data);
    }
    const char *at = rest.len == 0 ? NULL : memrchr(rest.data, '@', rest.len);
    bool ok = at == NULL || take_credentials(cut(&rest, at), ret, why);
    ok = ok && take_host(rest, ret, why) && take_vhost(path, ret, why);
    return ok ? complete(ret) : failed(ret);
}

bool
address_from_parts(struct remora_slice protocol, struct remora_slice host,
                   struct remora_slice username, struct remora_slice password, struct address *ret,
                   char why[WHY_BYTES])
{
    *ret = (struct address){ 0 };
    char scheme[16];
    snprintf(scheme, sizeof scheme, "%.*s://", protocol.len > 8 ? 8 : (int)protocol.len,
             protocol.data);
    struct remora_slice rest = slice_of(scheme);
    if (!take_scheme(&rest, ret, why))
        return false;
    ret->vhost = memory_text("/");
    if (!take_host(host, ret, why))
        return failed(ret);
    if (username.len > 0) {
        ret->username = memory_slice(username);
        if (password.len > 0)
            ret->password = memory_slice(password);
    }
    return complete(ret);
}

void
address_fini(struct address *address)
{
    free(address->host);
    free(address->username);
    memory_wipe(address->password);
    free(address->vhost);
    free(address->shown);
}
