/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of bindings.http; see settings.h. */
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PEM_BYTES_MAX = 1024 * 1024,
    ANSWER_BYTES_MAX = 100 * 1024 * 1024, /* the reference's default, and what a call may carry */
};

static bool
get(const struct remora_config *config, const char *name, struct remora_slice *ret)
{
    return remora_metadata_get(config->metadata, config->metadata_count, name, ret) && ret->len > 0;
}

/* False: it has a NUL in it. */
static bool
take_text(const struct remora_config *config, const char *name, char **ret_text, char *error)
{
    struct remora_slice value;
    if (!get(config, name, &value))
        return true;
    *ret_text = remora_slice_dup(value);
    if (*ret_text == NULL)
        snprintf(error, SETTINGS_ERROR_BYTES, "%s has a NUL in it", name);
    return *ret_text != NULL;
}

static char *
read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = fd < 0 ? NULL : malloc(PEM_BYTES_MAX + 1);
    size_t len = 0;
    ssize_t got = text == NULL ? -1 : 1;
    while (got > 0 && len < PEM_BYTES_MAX) {
        got = read(fd, text + len, PEM_BYTES_MAX - len);
        len += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        (void)close(fd); /* it was only read */
    if (got < 0) {
        free(text);
        return NULL;
    }
    text[len] = '\0';
    return text;
}

/* PEM, or a file that holds it. */
static bool
take_pem(const struct remora_config *config, const char *name, char **ret_pem, char *error)
{
    if (!take_text(config, name, ret_pem, error))
        return false;
    if (*ret_pem == NULL || strstr(*ret_pem, "-----BEGIN ") != NULL)
        return true;
    char *pem = read_file(*ret_pem);
    free(*ret_pem);
    *ret_pem = pem;
    if (pem == NULL)
        snprintf(error, SETTINGS_ERROR_BYTES,
                 "provided \"%s\" value is neither a valid file path or nor a valid pem encoded "
                 "string: %s",
                 name, strerror(errno));
    return pem != NULL;
}

/* A number of bytes, or one with a unit as Kubernetes writes them: Ki, Mi, Gi, k, M, G. */
static bool
read_bytes(struct remora_slice text, uint64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = { { "Ki", 1u << 10 }, { "Mi", 1u << 20 },  { "Gi", 1u << 30 }, { "k", 1000 },
                  { "M", 1000000 },   { "G", 1000000000 }, { "", 1 } };
    size_t digits = 0;
    int64_t number;
    while (digits < text.len &&
           ((text.data[digits] >= '0' && text.data[digits] <= '9') || text.data[digits] == '-'))
        digits++;
    const struct remora_slice first = { text.data, digits };
    const struct remora_slice rest = { text.data + digits, text.len - digits };
    if (!remora_parse_i64(first, &number))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!remora_slice_eq(rest, units[i].unit))
            continue;
        uint64_t most = ANSWER_BYTES_MAX / units[i].factor;
        *ret_bytes = number <= 0 || (uint64_t)number > most ? ANSWER_BYTES_MAX
                                                            : (uint64_t)number * units[i].factor;
        return true;
    }
    return false;
}

bool
settings_is_truthy(struct remora_slice text)
{
    bool value;
    return remora_parse_bool(text, &value) && value;
}

static bool
take_numbers(const struct remora_config *config, struct settings *s, char *error)
{
    struct remora_slice value;
    s->answer_bytes = ANSWER_BYTES_MAX;
    s->fails_if_not_2xx = !get(config, "errorIfNot2XX", &value) || settings_is_truthy(value);
    if (get(config, "responseTimeout", &value) &&
        (!remora_parse_duration_ms(value, &s->timeout_ms) || s->timeout_ms < 0)) {
        snprintf(error, SETTINGS_ERROR_BYTES, "invalid value for responseTimeout: not a duration");
        return false;
    }
    if (get(config, "maxResponseBodySize", &value) && !read_bytes(value, &s->answer_bytes)) {
        snprintf(error, SETTINGS_ERROR_BYTES,
                 "invalid value for maxResponseBodySize: not a number of bytes");
        return false;
    }
    return true;
}

static bool
check_renegotiation(const struct remora_config *config, char *error)
{
    struct remora_slice value;
    if (!get(config, "MTLSRenegotiation", &value) || remora_slice_eq(value, "RenegotiateNever"))
        return true;
    if (remora_slice_eq(value, "RenegotiateOnceAsClient") ||
        remora_slice_eq(value, "RenegotiateFreelyAsClient")) {
        remora_log(REMORA_WARN, "MTLSRenegotiation has no effect: TLS 1.3 has no renegotiation, "
                                "and before that the TLS library decides");
        return true;
    }
    snprintf(error, SETTINGS_ERROR_BYTES, "invalid renegotiation value");
    return false;
}

bool
settings_read(const struct remora_config *config, struct settings *ret_settings,
              char ret_error[SETTINGS_ERROR_BYTES])
{
    struct settings s = { .url = NULL };
    bool ok = take_text(config, "url", &s.url, ret_error) &&
              take_pem(config, "MTLSRootCA", &s.root_ca, ret_error) &&
              take_pem(config, "MTLSClientCert", &s.client_cert, ret_error) &&
              take_pem(config, "MTLSClientKey", &s.client_key, ret_error) &&
              take_text(config, "securityToken", &s.token, ret_error) &&
              take_text(config, "securityTokenHeader", &s.token_header, ret_error) &&
              take_numbers(config, &s, ret_error) && check_renegotiation(config, ret_error);
    if (!ok)
        settings_fini(&s);
    *ret_settings = s;
    return ok;
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
    wipe(settings->client_key);
    wipe(settings->token);
    free(settings->url);
    free(settings->root_ca);
    free(settings->client_cert);
    free(settings->token_header);
    *settings = (struct settings){ .url = NULL };
}
