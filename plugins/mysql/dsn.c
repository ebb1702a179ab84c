/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passwords are taken as they stand, with `@`, `:` and `/` in them: what follows the last slash is
 * the database, what precedes the last `@` before it is who logs in.
 */
#include "dsn.h"

#include <stdio.h>
#include <string.h>

#include "../shared/memory.h"

enum { PORT_DEFAULT = 3306, PORT_MAX = 65535 };

#define FORM "it has to be USER:PASSWORD@tcp(HOST:PORT)/?NAME=VALUE"

static struct remora_slice
part(const char *from, const char *to)
{
    return (struct remora_slice){ from, (size_t)(to - from) };
}

static char *
last(struct remora_slice text, char byte)
{
    return text.len == 0 ? NULL : memrchr(text.data, byte, text.len);
}

static bool
fail(char why[DSN_WHY_BYTES], const char *words)
{
    (void)snprintf(why, DSN_WHY_BYTES, "invalid connection string: %s", words);
    return false;
}

/* --- who and where -----------------------------------------------------------------------------*/

static void
read_user(struct dsn *dsn, struct remora_slice user)
{
    const char *end = user.data + user.len;
    const char *colon = user.len == 0 ? NULL : memchr(user.data, ':', user.len);
    dsn->user = memory_slice(part(user.data, colon == NULL ? end : colon));
    dsn->password = colon == NULL ? memory_text("") : memory_slice(part(colon + 1, end));
}

static bool
read_host(struct dsn *dsn, struct remora_slice address, char why[DSN_WHY_BYTES])
{
    const char *end = address.data + address.len, *colon = last(address, ':');
    bool is_bracketed = address.len > 0 && address.data[0] == '[';
    const char *bracket = is_bracketed ? last(address, ']') : NULL;
    if (is_bracketed && bracket == NULL)
        return fail(why, "an IPv6 address has to be in brackets");
    if (bracket != NULL && colon < bracket)
        colon = NULL;
    const char *host_end = bracket != NULL ? bracket : colon != NULL ? colon : end;
    dsn->port = PORT_DEFAULT;
    if (colon != NULL) {
        int64_t port;
        if (!remora_parse_i64(part(colon + 1, end), &port) || port < 1 || port > PORT_MAX)
            return fail(why, "its port is no port");
        dsn->port = (unsigned)port;
    }
    dsn->host = memory_slice(part(address.data + (is_bracketed ? 1 : 0), host_end));
    if (dsn->host[0] != '\0')
        return true;
    free(dsn->host);
    dsn->host = memory_text("127.0.0.1");
    return true;
}

/* `tcp(host:port)`, `tcp`, `unix(/path)`, or nothing. */
static bool
read_address(struct dsn *dsn, struct remora_slice text, char why[DSN_WHY_BYTES])
{
    const char *end = text.data + text.len;
    const char *open = text.len == 0 ? NULL : memchr(text.data, '(', text.len);
    if (open != NULL && end[-1] != ')')
        return fail(why, "network address not terminated (missing closing brace)");
    struct remora_slice network = part(text.data, open == NULL ? end : open);
    struct remora_slice address = open == NULL ? (struct remora_slice){ "", 0 }
                                               : part(open + 1, end - 1);
    if (network.len == 0 || remora_slice_eq(network, "tcp"))
        return read_host(dsn, address, why);
    if (!remora_slice_eq(network, "unix"))
        return fail(why, "its network is neither tcp nor unix");
    dsn->path = address.len > 0 ? memory_slice(address) : memory_text("/tmp/mysql.sock");
    return true;
}

/* --- parameters --------------------------------------------------------------------------------*/

static bool
read_tls(struct dsn *dsn, struct remora_slice value, char why[DSN_WHY_BYTES])
{
    bool is_on;
    if (remora_slice_eq(value, "skip-verify"))
        dsn->tls = DSN_SKIP_VERIFY;
    else if (remora_slice_eq(value, "preferred"))
        dsn->tls = DSN_PREFERRED;
    else if (remora_slice_eq(value, "custom"))
        dsn->tls = DSN_CUSTOM;
    else if (remora_parse_bool(value, &is_on))
        dsn->tls = is_on ? DSN_TLS : DSN_PLAIN;
    else
        return fail(why, "tls has to be true, false, skip-verify, preferred or custom");
    return true;
}

/* What those of the driver's own that are left out do is done anyway, or is of no concern here. */
static bool
is_known(struct remora_slice name)
{
    static const char *const names[] = { "charset",      "collation",         "parseTime",
                                         "loc",          "timeout",           "readTimeout",
                                         "writeTimeout", "interpolateParams", "checkConnLiveness" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (remora_slice_eq(name, names[i]))
            return true;
    return false;
}

static bool
read_parameter(struct dsn *dsn, struct remora_slice text, char why[DSN_WHY_BYTES])
{
    const char *end = text.data + text.len, *equals = memchr(text.data, '=', text.len);
    if (equals == NULL)
        return true; /* the driver passes over it too */
    struct remora_slice name = part(text.data, equals), value = part(equals + 1, end);
    bool is_on;
    if (remora_slice_eq(name, "tls"))
        return read_tls(dsn, value, why);
    if (remora_slice_eq(name, "allowNativePasswords")) {
        if (!remora_parse_bool(value, &is_on))
            return fail(why, "allowNativePasswords has to be true or false");
        dsn->no_native_password = !is_on;
    } else if (remora_slice_eq(name, "allowCleartextPasswords")) {
        if (!remora_parse_bool(value, &is_on))
            return fail(why, "allowCleartextPasswords has to be true or false");
        dsn->cleartext_password = is_on;
    } else if (!is_known(name) && dsn->ignored == NULL) {
        dsn->ignored = memory_slice(name);
    }
    return true;
}

static bool
read_parameters(struct dsn *dsn, struct remora_slice text, char why[DSN_WHY_BYTES])
{
    const char *at = text.data, *end = text.data + text.len;
    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        if (next == NULL)
            next = end;
        if (next > at && !read_parameter(dsn, part(at, next), why))
            return false;
        at = next + 1;
    }
    return true;
}

/* --- the whole ---------------------------------------------------------------------------------*/

bool
dsn_read(struct dsn *dsn, struct remora_slice text, char why[DSN_WHY_BYTES])
{
    *dsn = (struct dsn){ .tls = DSN_PLAIN };
    const char *end = text.data + text.len, *slash = last(text, '/');
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        return fail(why, FORM);
    if (slash == NULL)
        return fail(why, "missing the slash separating the database name");
    struct remora_slice head = part(text.data, slash), tail = part(slash + 1, end);
    const char *at = last(head, '@');
    read_user(dsn, at == NULL ? part(head.data, head.data) : part(head.data, at));
    if (!read_address(dsn, at == NULL ? head : part(at + 1, slash), why))
        return false;
    const char *question = tail.len == 0 ? NULL : memchr(tail.data, '?', tail.len);
    dsn->database = memory_slice(part(tail.data, question == NULL ? end : question));
    return question == NULL || read_parameters(dsn, part(question + 1, end), why);
}

void
dsn_fini(struct dsn *dsn)
{
    free(dsn->user);
    memory_wipe(dsn->password);
    free(dsn->host);
    free(dsn->path);
    free(dsn->database);
    free(dsn->ignored);
    *dsn = (struct dsn){ .tls = DSN_PLAIN };
}
