/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata fields, read as the reference reads them: names in any case, an empty value is none. The
 * URL holds a password as a rule and is never shown.
 */
#include "settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "packet.h"
#include "topic.h"

enum { QOS_DEFAULT = 1, HOST_BYTES_MAX = 253, TEXT_SHOWN = 64 };

#define NEEDS_URL "it has to be tcp://[USER[:PASSWORD]@]HOST[:PORT], or ssl:// for TLS"

struct reader {
    const struct remora_config *config;
    struct settings *settings;
    char *why;
};

static bool
find(const struct reader *reader, const char *name, struct remora_slice *ret)
{
    return remora_metadata_get(reader->config->metadata, reader->config->metadata_count, name,
                               ret) &&
           ret->len > 0;
}

static bool
fail(const struct reader *reader, const char *words)
{
    snprintf(reader->why, SETTINGS_WHY_BYTES, "%s", words);
    return false;
}

static struct remora_slice
part(const char *from, const char *to)
{
    return (struct remora_slice){ from, (size_t)(to - from) };
}

/* --- the URL -----------------------------------------------------------------------------------*/

static int
hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Percent-decoded; NULL if it is malformed or holds a NUL. */
static char *
decode(struct remora_slice text)
{
    char *ret = malloc(text.len + 1);
    size_t len = 0;
    if (ret == NULL)
        abort();
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            int high = text.len - i > 2 ? hex_digit(text.data[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
            if (low < 0)
                byte = '\0';
            else
                byte = (char)(high << 4 | low);
            i += 2;
        }
        if (byte == '\0') {
            free(ret);
            return NULL;
        }
        ret[len++] = byte;
    }
    ret[len] = '\0';
    return ret;
}

static bool
is_scheme(struct remora_slice scheme, const char *const *names)
{
    for (; *names != NULL; names++)
        if (scheme.len == strlen(*names) && strncasecmp(scheme.data, *names, scheme.len) == 0)
            return true;
    return false;
}

static bool
read_scheme(const struct reader *reader, struct remora_slice scheme)
{
    static const char *const plain[] = { "tcp", "mqtt", NULL };
    static const char *const secure[] = { "ssl", "tls", "mqtts", "tcps", "mqtt+ssl", NULL };
    static const char *const web[] = { "ws", "wss", NULL };
    reader->settings->is_secure = is_scheme(scheme, secure);
    if (reader->settings->is_secure || is_scheme(scheme, plain))
        return true;
    return fail(reader, is_scheme(scheme, web) ? "invalid url: WebSockets are not supported"
                                               : "invalid url: " NEEDS_URL);
}

static bool
read_user(const struct reader *reader, struct remora_slice user)
{
    struct settings *settings = reader->settings;
    const char *end = user.data + user.len;
    const char *colon = memchr(user.data, ':', user.len);
    settings->username = decode(part(user.data, colon == NULL ? end : colon));
    settings->password = colon == NULL ? NULL : decode(part(colon + 1, end));
    if (settings->username == NULL || (colon != NULL && settings->password == NULL) ||
        strlen(settings->username) > PACKET_TEXT_BYTES_MAX ||
        (settings->password != NULL && strlen(settings->password) > PACKET_TEXT_BYTES_MAX))
        return fail(reader, "invalid url: user and password are not readable");
    return true;
}

/* `[::1]:1883`, `host:1883` or `host`. */
static bool
read_host(const struct reader *reader, struct remora_slice host)
{
    struct settings *settings = reader->settings;
    const char *end = host.data + host.len, *host_end = end, *port = NULL;
    bool is_bracketed = host.len > 0 && host.data[0] == '[';
    if (is_bracketed) {
        host.data++;
        host_end = memchr(host.data, ']', (size_t)(end - host.data));
        if (host_end == NULL || (host_end + 1 < end && host_end[1] != ':'))
            return fail(reader, "invalid url: " NEEDS_URL);
        port = host_end + 1 < end ? host_end + 2 : NULL;
    } else if (host.len > 0 && (port = memchr(host.data, ':', host.len)) != NULL) {
        host_end = port++;
    }
    struct remora_slice number = { settings->is_secure ? "8883" : "1883", 4 };
    int64_t value = 0;
    if (port != NULL)
        number = part(port, end);
    if (host_end == host.data || host_end - host.data > HOST_BYTES_MAX ||
        !remora_parse_i64(number, &value) || value < 1 || value > 65535)
        return fail(reader, "invalid url: " NEEDS_URL);
    settings->host = remora_slice_dup(part(host.data, host_end));
    settings->port = remora_slice_dup(number);
    return settings->host != NULL && settings->port != NULL ? true
                                                            : fail(reader, "invalid url: a NUL");
}

static bool
read_url(const struct reader *reader)
{
    struct remora_slice url;
    if (!find(reader, "url", &url))
        return fail(reader, "missing url");
    const char *end = url.data + url.len;
    const char *scheme_end = memmem(url.data, url.len, "://", 3);
    if (scheme_end == NULL)
        return fail(reader, "invalid url: " NEEDS_URL);
    const char *from = scheme_end + 3, *at = NULL;
    if (!read_scheme(reader, part(url.data, scheme_end)))
        return false;
    for (const char *c = from; c < end; c++)
        if (*c == '/' || *c == '?' || *c == '#') /* what follows means nothing here */
            end = c;
    for (const char *c = from; c < end; c++)
        at = *c == '@' ? c : at;
    if (at != NULL && !read_user(reader, part(from, at)))
        return false;
    return read_host(reader, part(at == NULL ? from : at + 1, end));
}

/* --- other fields ------------------------------------------------------------------------------*/

static bool
read_qos(const struct reader *reader)
{
    struct remora_slice text;
    int64_t qos = QOS_DEFAULT;
    if (find(reader, "qos", &text) &&
        (!remora_parse_i64(text, &qos) || qos < 0 || qos > UINT8_MAX)) {
        int shown = text.len > TEXT_SHOWN ? TEXT_SHOWN : (int)text.len;
        snprintf(reader->why, SETTINGS_WHY_BYTES,
                 "mqtt pubsub error: cannot parse 'qos' as uint: strconv.ParseUint: "
                 "parsing \"%.*s\": invalid syntax",
                 shown, text.data);
        return false;
    }
    if (qos > 2) { /* the reference lets seven pass, which every server hangs up on */
        snprintf(reader->why, SETTINGS_WHY_BYTES, "invalid qos %d", (int)qos);
        return false;
    }
    reader->settings->qos = (uint8_t)qos;
    return true;
}

static void
read_bool(const struct reader *reader, const char *name, bool *ret)
{
    struct remora_slice text;
    *ret = find(reader, name, &text) && remora_parse_bool(text, ret) && *ret;
}

static bool
read_client_id(const struct reader *reader, const char *suffix)
{
    struct remora_slice text;
    if (!find(reader, "consumerID", &text))
        return fail(reader, "missing consumerID");
    if (text.len + strlen(suffix) > PACKET_TEXT_BYTES_MAX)
        return fail(reader, "consumerID is longer than 65535 bytes");
    char *id = remora_slice_dup(text);
    if (id != NULL && asprintf(&reader->settings->client_id, "%s%s", id, suffix) < 0)
        abort();
    free(id);
    return reader->settings->client_id != NULL ? true : fail(reader, "consumerID holds a NUL");
}

static bool
read_pem(const struct reader *reader, const char *name, char **ret)
{
    struct remora_slice text;
    if (!find(reader, name, &text))
        return true;
    *ret = remora_slice_dup(text);
    if (*ret != NULL && strstr(*ret, "-----BEGIN ") != NULL)
        return true;
    snprintf(reader->why, SETTINGS_WHY_BYTES, "invalid TLS configuration: invalid %s", name);
    return false;
}

static bool
read_certificates(const struct reader *reader)
{
    struct settings *settings = reader->settings;
    return read_pem(reader, "caCert", &settings->ca_cert) &&
           read_pem(reader, "clientCert", &settings->client_cert) &&
           read_pem(reader, "clientKey", &settings->client_key);
}

bool
settings_parse(const struct remora_config *config, struct settings *ret,
               char why[SETTINGS_WHY_BYTES])
{
    const struct reader reader = { .config = config, .settings = ret, .why = why };
    *ret = (struct settings){ .retries_max = -1 };
    read_bool(&reader, "retain", &ret->is_retained);
    read_bool(&reader, "cleanSession", &ret->clean_session);
    if (read_qos(&reader) && read_url(&reader) && read_client_id(&reader, "") &&
        read_certificates(&reader))
        return true;
    settings_fini(ret);
    return false;
}

/* --- a binding ---------------------------------------------------------------------------------*/

static bool
read_topic(const struct reader *reader)
{
    struct remora_slice text;
    if (!find(reader, "topic", &text))
        return fail(reader, "missing topic");
    const char *fault = topic_filter_fault(text);
    if (fault != NULL)
        return fail(reader, fault);
    reader->settings->topic = remora_slice_dup(text); /* has no NUL */
    return true;
}

static bool
read_retries(const struct reader *reader)
{
    struct remora_slice text;
    return !find(reader, "backOffMaxRetries", &text) ||
           remora_parse_i64(text, &reader->settings->retries_max) ||
           fail(reader, "invalid backOffMaxRetries: it has to be a whole number");
}

bool
settings_parse_binding(const struct remora_config *config, enum settings_side side,
                       struct settings *ret, char why[SETTINGS_WHY_BYTES])
{
    const struct reader reader = { .config = config, .settings = ret, .why = why };
    struct remora_slice text;
    *ret = (struct settings){ .qos = QOS_DEFAULT, .retries_max = -1 };
    read_bool(&reader, "retain", &ret->is_retained);
    read_bool(&reader, "cleanSession", &ret->clean_session);
    if (!read_url(&reader) || !read_topic(&reader) ||
        !read_client_id(&reader, side == SETTINGS_PRODUCER ? "-producer" : "-consumer") ||
        !read_retries(&reader) || !read_certificates(&reader)) {
        settings_fini(ret);
        return false;
    }
    if (side == SETTINGS_PRODUCER && find(&reader, "qos", &text))
        remora_log(REMORA_WARN, "Metadata property 'qos' has been deprecated and is ignored; qos "
                                "is set to 1");
    return true;
}

static void
wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

void
settings_fini(struct settings *settings)
{
    free(settings->host);
    free(settings->port);
    free(settings->username);
    wipe(settings->password);
    free(settings->client_id);
    free(settings->topic);
    free(settings->ca_cert);
    free(settings->client_cert);
    wipe(settings->client_key);
    *settings = (struct settings){ 0 };
}

bool
settings_parse_bool(struct remora_slice text, bool *ret)
{
    static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
    static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        *ret = remora_slice_eq(text, yes[i]);
        if (*ret || remora_slice_eq(text, no[i]))
            return true;
    }
    return false;
}
