/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the metadata; defaults and words are the reference component's where it has some. */
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct reading {
    const struct remora_config *config;
    char *error;
    bool has_failed; /* the first failure counts */
};

static void
fail(struct reading *r, const char *words)
{
    if (!r->has_failed)
        snprintf(r->error, SETTINGS_ERROR_BYTES, "%s", words);
    r->has_failed = true;
}

/* NULL if it is absent or empty. */
static char *
text_of(struct reading *r, const char *name)
{
    struct remora_slice value;
    if (!remora_metadata_get(r->config->metadata, r->config->metadata_count, name, &value) ||
        value.len == 0)
        return NULL;
    char *text = remora_slice_dup(value);
    if (text == NULL)
        fail(r, "a value holds the NUL character");
    return text;
}

static char *
text_or(struct reading *r, const char *name, const char *otherwise)
{
    char *text = text_of(r, name);
    if (text == NULL && (text = strdup(otherwise)) == NULL)
        abort();
    return text;
}

static bool
bool_of(struct reading *r, const char *name, bool otherwise)
{
    struct remora_slice value;
    bool is_set = otherwise;
    char words[SETTINGS_ERROR_BYTES];
    if (!remora_metadata_get(r->config->metadata, r->config->metadata_count, name, &value) ||
        value.len == 0)
        return otherwise;
    snprintf(words, sizeof words, "%s must be true or false", name);
    if (!remora_parse_bool(value, &is_set))
        fail(r, words);
    return is_set;
}

static bool
is_climbing(const char *part, size_t len)
{
    return len == 0 || (len == 1 && part[0] == '.') || (len == 2 && strncmp(part, "..", 2) == 0);
}

char *
settings_escape_path(struct remora_slice path)
{
    char *out = calloc(3, path.len + 1), *to = out;
    size_t from = 0;
    if (out == NULL)
        abort();
    for (size_t i = 0; i <= path.len; i++) {
        if (i < path.len && path.data[i] != '/')
            continue;
        if (is_climbing(path.data + from, i - from)) {
            free(out);
            return NULL;
        }
        char *part = fetch_escape(path.data + from, i - from);
        size_t len = strlen(part);
        memcpy(to, part, len);
        to += len;
        free(part);
        if (i < path.len)
            *to++ = '/';
        from = i + 1;
    }
    return out;
}

/* A configured path, which may stand between slashes. */
static char *
path_of(struct reading *r, const char *name, const char *otherwise)
{
    char *text = text_or(r, name, otherwise);
    struct remora_slice path = { text, strlen(text) };
    while (path.len > 0 && path.data[0] == '/')
        path = (struct remora_slice){ path.data + 1, path.len - 1 };
    while (path.len > 0 && path.data[path.len - 1] == '/')
        path.len--;
    char *escaped = settings_escape_path(path);
    if (escaped == NULL) {
        fail(r, "a path is empty or leaves its place");
        escaped = strdup("");
    }
    free(text);
    return escaped;
}

static void
read_prefix(struct reading *r, struct settings *settings)
{
    char *prefix = path_of(r, "vaultKVPrefix", "dapr");
    bool is_used = bool_of(r, "vaultKVUsePrefix", true);
    if (asprintf(&settings->prefix, "%s%s", is_used ? prefix : "", is_used ? "/" : "") < 0)
        abort();
    free(prefix);
}

static void
read_address(struct reading *r, struct settings *settings)
{
    char *address = text_or(r, "vaultAddr", "https://127.0.0.1:8200");
    size_t len = strlen(address);
    while (len > 0 && address[len - 1] == '/')
        address[--len] = '\0';
    settings->address = address;
    if (strncasecmp(address, "https://", 8) != 0 && strncasecmp(address, "http://", 7) != 0)
        fail(r, "vaultAddr is no http or https address");
    else if (strpbrk(address, "?#@ \r\n") != NULL)
        fail(r, "vaultAddr has more than a host, a port and a path");
}

static void
read_token(struct reading *r, struct settings *settings)
{
    settings->token = text_of(r, "vaultToken");
    settings->token_file = text_of(r, "vaultTokenMountPath");
    if (settings->token == NULL && settings->token_file == NULL)
        fail(r, "token mount path and token not set");
    else if (settings->token != NULL && settings->token_file != NULL)
        fail(r, "token mount path and token both set");
    else if (settings->token != NULL && strpbrk(settings->token, "\r\n") != NULL)
        fail(r, "vaultToken has a line break");
}

/* It becomes a header as well. */
static void
read_namespace(struct reading *r, struct settings *settings)
{
    settings->namespace = text_of(r, "vaultNamespace");
    for (const char *at = settings->namespace; at != NULL && *at != '\0'; at++)
        if (*at <= ' ' || *at > '~') {
            fail(r, "vaultNamespace has a blank or a character that is not ASCII");
            return;
        }
}

static void
read_tls(struct reading *r, struct settings *settings)
{
    struct fetch_identity *identity = &settings->identity;
    identity->ca_pem = text_of(r, "caPem");
    identity->ca_file = text_of(r, "caCert");
    identity->ca_path = text_of(r, "caPath");
    identity->server_name = text_of(r, "tlsServerName");
    identity->skip_verify = bool_of(r, "skipVerify", false);
    if (identity->server_name != NULL && strpbrk(identity->server_name, "/?#@: \r\n") != NULL)
        fail(r, "tlsServerName is no host name");
}

static void
read_value_type(struct reading *r, struct settings *settings)
{
    char *type = text_or(r, "vaultValueType", "map");
    settings->is_text = strcmp(type, "text") == 0;
    if (!settings->is_text && strcmp(type, "map") != 0)
        fail(r, "vault init error, invalid value type, accepted values are map or text");
    free(type);
}

bool
settings_init(struct settings *settings, const struct remora_config *config, char *error)
{
    struct reading r = { .config = config, .error = error };
    *settings = (struct settings){ .address = NULL };
    read_address(&r, settings);
    settings->engine = path_of(&r, "enginePath", "secret");
    read_prefix(&r, settings);
    read_value_type(&r, settings);
    read_tls(&r, settings);
    read_token(&r, settings);
    read_namespace(&r, settings);
    if (r.has_failed)
        settings_fini(settings);
    return !r.has_failed;
}

void
settings_fini(struct settings *settings)
{
    fetch_identity_fini(&settings->identity);
    fetch_wipe(settings->token);
    free(settings->token_file);
    free(settings->namespace);
    free(settings->address);
    free(settings->engine);
    free(settings->prefix);
    *settings = (struct settings){ .address = NULL };
}
