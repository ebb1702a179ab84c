/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of components; see settings.h. */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"

char *
settings_text(struct reader *reader, const char *name)
{
    struct remora_slice value;
    if (!reader_find(reader, name, &value))
        return NULL;
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f) {
            reader_complain(reader, "%s has a control character in it", name);
            return NULL;
        }
    return remora_slice_dup(value);
}

bool
settings_flag(struct reader *reader, const char *name)
{
    struct remora_slice value;
    bool flag = false;
    return reader_find(reader, name, &value) && remora_parse_bool(value, &flag) && flag;
}

/* By the component, or else by the environment. */
static char *
take(struct reader *reader, const char *name, const char *older, const char *variable)
{
    char *text = settings_text(reader, name);
    if (text == NULL)
        text = settings_text(reader, older);
    const char *outer = text == NULL ? getenv(variable) : NULL;
    return outer == NULL || *outer == '\0' ? text : memory_text(outer);
}

static bool
is_host(const char *text)
{
    return *text != '\0' && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                              "0123456789.-_:[]")] == '\0';
}

/* "http://localhost:4566", "localhost:4566", with a path perhaps. */
static void
take_endpoint(struct reader *reader, const char *endpoint, struct settings *s)
{
    if (strncmp(endpoint, "http://", 7) == 0)
        s->is_plain = true;
    else if (strncmp(endpoint, "https://", 8) == 0)
        s->is_plain = false;
    const char *scheme = strstr(endpoint, "://");
    const char *host = scheme == NULL ? endpoint : scheme + 3;
    size_t len = strcspn(host, "/");
    const char *path = host + len;
    size_t path_len = strlen(path);
    while (path_len > 0 && path[path_len - 1] == '/')
        path_len--;
    s->host = memory_printf("%.*s", (int)len, host);
    s->base = memory_printf("%.*s", (int)path_len, path);
    s->has_endpoint = true;
    if (!is_host(s->host) || strpbrk(s->base, "?#% ") != NULL)
        reader_complain(reader, "endpoint is no URL of one");
}

static void
take_host(struct reader *reader, const char *service, struct settings *s)
{
    const bool is_china = strncmp(s->region, "cn-", 3) == 0;
    /* S3 is the oldest of them, and its first region has no name. */
    if (strcmp(service, "s3") == 0 && strcmp(s->region, "us-east-1") == 0)
        s->host = memory_text("s3.amazonaws.com");
    else
        s->host = memory_printf("%s.%s.amazonaws.com%s", service, s->region, is_china ? ".cn" : "");
    s->base = memory_text("");
    if (!is_host(s->host))
        reader_complain(reader, "region is not the name of one");
}

void
settings_read(struct reader *reader, const char *service, struct settings *ret_settings)
{
    static const struct aws_credentials_names names = {
        .access_key = { "accessKey", "awsAccessKey" },
        .secret_key = { "secretKey", "awsSecretKey" },
        .session_token = { "sessionToken", "awsSessionToken" },
    };
    struct settings s = {
        .region = take(reader, "region", "awsRegion", "AWS_REGION"),
        .is_plain = settings_flag(reader, "disableSSL"),
        .skips_verification = settings_flag(reader, "insecureSSL"),
    };
    char *endpoint = settings_text(reader, "endpoint");
    if (s.region == NULL)
        reader_complain(reader, "region is missing");
    else if (endpoint != NULL)
        take_endpoint(reader, endpoint, &s);
    else
        take_host(reader, service, &s);
    if (s.region != NULL)
        s.credentials = aws_credentials_read(reader, s.region, &names);
    if (s.skips_verification)
        remora_log(REMORA_WARN, "aws: insecureSSL: the server's certificate is not verified");
    free(endpoint);
    *ret_settings = s;
}

void
settings_fini(struct settings *settings)
{
    aws_credentials_free(settings->credentials);
    free(settings->region);
    free(settings->host);
    free(settings->base);
    *settings = (struct settings){ .region = NULL };
}
