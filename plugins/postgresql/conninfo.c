/* SPDX-License-Identifier: Apache-2.0 */
/* See conninfo.h. What libpq can take apart, the first part of URLs, it takes apart. */
#include "conninfo.h"

#include <ctype.h>
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../shared/memory.h"

static bool
refuse(char *why, const char *text)
{
    snprintf(why, CONNINFO_WHY_BYTES, "failed to parse connection string: %s", text);
    return false;
}

void
conninfo_init(struct conninfo *conninfo)
{
    *conninfo = (struct conninfo){ .count = 0 };
}

void
conninfo_fini(struct conninfo *conninfo)
{
    for (size_t i = 0; i < conninfo->count; i++) {
        free(conninfo->names[i]);
        memory_wipe(conninfo->values[i]);
    }
    free(conninfo->exec_mode);
    conninfo_init(conninfo);
}

static size_t
find(const struct conninfo *conninfo, const char *name)
{
    size_t at = 0;
    while (at < conninfo->count && strcmp(conninfo->names[at], name) != 0)
        at++;
    return at;
}

bool
conninfo_set(struct conninfo *conninfo, const char *name, const char *value)
{
    size_t at = find(conninfo, name);
    if (at == CONNINFO_PAIRS_MAX - 1) /* the last one stays NULL */
        return false;
    if (at == conninfo->count) {
        conninfo->names[at] = memory_text(name);
        conninfo->count++;
    } else {
        memory_wipe(conninfo->values[at]);
    }
    conninfo->values[at] = memory_text(value);
    return true;
}

const char *
conninfo_get(const struct conninfo *conninfo, const char *name)
{
    size_t at = find(conninfo, name);
    return at < conninfo->count ? conninfo->values[at] : NULL;
}

/* --- one setting -------------------------------------------------------------------------------*/

static bool
is_libpq_name(const char *name)
{
    PQconninfoOption *options = PQconninfoParse("", NULL);
    bool found = false;
    for (const PQconninfoOption *at = options; at != NULL && at->keyword != NULL; at++)
        found = found || strcmp(at->keyword, name) == 0;
    PQconninfoFree(options);
    return found;
}

/* Settings of the server travel in `options`, where blanks and backslashes are escaped. */
static bool
add_server_setting(struct conninfo *conninfo, const char *name, const char *value, char *why)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    const char *before = conninfo_get(conninfo, "options");
    if (*name == '\0' || name[strspn(name, plain)] != '\0' || strlen(name) > 63)
        return refuse(why, "invalid name of a setting");
    size_t bytes = (before == NULL ? 0 : strlen(before)) + strlen(name) + strlen(value) * 2 + 8;
    char *options = memory_new(bytes), *at = options;
    at += snprintf(at, bytes, "%s%s-c %s=", before == NULL ? "" : before, before == NULL ? "" : " ",
                   name);
    for (; *value != '\0'; value++) {
        if (*value == '\\' || isspace((unsigned char)*value))
            *at++ = '\\';
        *at++ = *value;
    }
    bool ok = conninfo_set(conninfo, "options", options);
    free(options);
    return ok || refuse(why, "too many settings");
}

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static bool
add_pool_setting(struct conninfo *conninfo, const char *name, const char *value, char *why)
{
    if (strcmp(name, "pool_max_conns") == 0)
        return (remora_parse_i64(slice_of(value), &conninfo->pool_max_conns) &&
                conninfo->pool_max_conns >= 1) ||
               refuse(why, "invalid pool_max_conns");
    if (strcmp(name, "pool_max_conn_idle_time") == 0)
        return (remora_parse_duration_ms(slice_of(value), &conninfo->pool_idle_ms) &&
                conninfo->pool_idle_ms >= 0) ||
               refuse(why, "invalid pool_max_conn_idle_time");
    if (strcmp(name, "default_query_exec_mode") == 0) {
        free(conninfo->exec_mode);
        conninfo->exec_mode = memory_text(value);
    }
    return true;
}

static bool
add(struct conninfo *conninfo, const char *name, const char *value, char *why)
{
    /* Other words of the driver: nothing here is like what they set. */
    static const char *const driver[] = { "pool_max_conns",
                                          "pool_max_conn_idle_time",
                                          "default_query_exec_mode",
                                          "pool_min_conns",
                                          "pool_min_idle_conns",
                                          "pool_max_conn_lifetime",
                                          "pool_max_conn_lifetime_jitter",
                                          "pool_health_check_period",
                                          "statement_cache_capacity",
                                          "description_cache_capacity",
                                          "min_read_buffer_size" };
    for (size_t i = 0; i < sizeof driver / sizeof driver[0]; i++)
        if (strcmp(name, driver[i]) == 0)
            return add_pool_setting(conninfo, name, value, why);
    if (strcmp(name, "database") == 0)
        name = "dbname";
    if (!is_libpq_name(name))
        return add_server_setting(conninfo, name, value, why);
    return conninfo_set(conninfo, name, value) || refuse(why, "too many settings");
}

/* --- name=value --------------------------------------------------------------------------------*/

/* Takes a value off *at, unescaped in place; what follows it is overwritten by its end. */
static bool
take_value(char **at, char **ret_value)
{
    char *from = *at, *to = *at;
    bool is_quoted = *from == '\'';
    from += is_quoted;
    while (*from != '\0' && (is_quoted ? *from != '\'' : !isspace((unsigned char)*from))) {
        if (*from == '\\' && from[1] != '\0')
            from++;
        *to++ = *from++;
    }
    if (is_quoted && *from != '\'')
        return false;
    *ret_value = *at;
    *at = *from == '\0' ? from : from + 1;
    *to = '\0';
    return true;
}

static bool
parse_pairs(struct conninfo *conninfo, char *text, char *why)
{
    for (char *at = text;;) {
        at += strspn(at, " \t\r\n");
        if (*at == '\0')
            return true;
        char *name = at, *value;
        at += strcspn(at, "= \t\r\n");
        char *end = at;
        at += strspn(at, " \t\r\n");
        if (*at != '=')
            return refuse(why, "a setting has no value");
        at++;
        *end = '\0';
        at += strspn(at, " \t\r\n");
        if (!take_value(&at, &value))
            return refuse(why, "a quoted value has no end");
        if (!add(conninfo, name, value, why))
            return false;
    }
}

/* --- URLs --------------------------------------------------------------------------------------*/

static int
hex(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* In place; false if it is malformed or holds a NUL. */
static bool
decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = hex(from[1]), low = high < 0 ? -1 : hex(from[2]);
        if (low < 0 || (high | low) == 0)
            return false;
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = '\0';
    return true;
}

static bool
parse_url(struct conninfo *conninfo, char *text, char *why)
{
    char *query = strchr(text, '?');
    if (query != NULL)
        *query++ = '\0';
    PQconninfoOption *options = PQconninfoParse(text, NULL);
    if (options == NULL)
        return refuse(why, "invalid URL");
    bool ok = true;
    for (const PQconninfoOption *at = options; ok && at->keyword != NULL; at++)
        if (at->val != NULL)
            ok = add(conninfo, at->keyword, at->val, why);
    PQconninfoFree(options);
    for (char *one; ok && query != NULL && (one = strsep(&query, "&")) != NULL;) {
        char *value = strchr(one, '=');
        if (*one == '\0')
            continue;
        if (value == NULL)
            return refuse(why, "a parameter has no value");
        *value++ = '\0';
        ok = decode(one) && decode(value) ? add(conninfo, one, value, why)
                                          : refuse(why, "a parameter is not well escaped");
    }
    return ok;
}

bool
conninfo_parse(struct conninfo *conninfo, const char *text, char ret_why[CONNINFO_WHY_BYTES])
{
    if (strlen(text) > CONNINFO_BYTES_MAX)
        return refuse(ret_why, "it is too long");
    char *copy = memory_text(text);
    size_t len = strlen(copy);
    bool is_url = strncmp(copy, "postgres://", 11) == 0 || strncmp(copy, "postgresql://", 13) == 0;
    bool ok = is_url ? parse_url(conninfo, copy, ret_why) : parse_pairs(conninfo, copy, ret_why);
    explicit_bzero(copy, len);
    free(copy);
    return ok;
}
