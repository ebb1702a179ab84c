/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata; see settings.h. */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/reader.h"

enum { PRIORITY_DEFAULT = 3, PRIORITY_MIN = 1, PRIORITY_MAX = 5 };

static char *
take_text(struct reader *reader, const char *name)
{
    struct remora_slice value;
    if (!reader_find(reader, name, &value))
        return NULL;
    char *text = remora_slice_dup(value);
    if (text == NULL)
        reader_complain(reader, "smtp binding error: %s has a NUL in it", name);
    return text;
}

static void
take_port(struct reader *reader, uint16_t *ret_port)
{
    struct remora_slice value;
    int64_t port = 0;
    if (!reader_find(reader, "port", &value))
        return;
    if (!remora_parse_i64(value, &port) || port < 0 || port > UINT16_MAX)
        reader_complain(reader, "smtp binding error: port is not the number of one");
    else
        *ret_port = (uint16_t)port;
}

bool
settings_priority(struct remora_slice text, int64_t *ret_priority,
                  char ret_error[SETTINGS_ERROR_BYTES])
{
    int64_t priority;
    if (!remora_parse_i64(text, &priority)) {
        (void)snprintf(ret_error, SETTINGS_ERROR_BYTES,
                       "strconv.Atoi: parsing \"%.*s\": invalid syntax",
                       (int)(text.len < 60 ? text.len : 60), text.data);
        return false;
    }
    if (priority < PRIORITY_MIN || priority > PRIORITY_MAX) {
        (void)snprintf(ret_error, SETTINGS_ERROR_BYTES,
                       "smtp binding error:  priority value must be between %d (highest) and %d "
                       "(lowest)",
                       PRIORITY_MIN, PRIORITY_MAX);
        return false;
    }
    *ret_priority = priority;
    return true;
}

static void
check(struct reader *reader, const struct settings *s)
{
    struct remora_slice value;
    if (s->host == NULL || s->port == 0)
        reader_complain(reader,
                        "smtp binding error: host and port fields are required in metadata");
    else if (s->host[strcspn(s->host, "/?#@ \t\r\n")] != '\0')
        reader_complain(reader, "smtp binding error: host is not the name of one");
    else if ((s->user == NULL) != (s->password == NULL))
        reader_complain(reader, "smtp binding error: both user and password fields are required in "
                                "metadata");
    else if (reader_find(reader, "skipTLSVerify", &value) && s->skips_verification)
        remora_log(REMORA_WARN, "smtp: skipTLSVerify: the server's certificate is not verified");
}

bool
settings_read(const struct remora_config *config, struct settings *ret_settings,
              char ret_error[SETTINGS_ERROR_BYTES])
{
    struct reader reader = { .config = config,
                             .why = ret_error,
                             .why_bytes = SETTINGS_ERROR_BYTES };
    struct remora_slice value;
    struct settings s = {
        .host = take_text(&reader, "host"),
        .user = take_text(&reader, "user"),
        .password = take_text(&reader, "password"),
        .from = take_text(&reader, "emailFrom"),
        .to = take_text(&reader, "emailTo"),
        .cc = take_text(&reader, "emailCC"),
        .bcc = take_text(&reader, "emailBCC"),
        .subject = take_text(&reader, "subject"),
        .priority = PRIORITY_DEFAULT,
    };
    take_port(&reader, &s.port);
    if (reader_find(&reader, "skipTLSVerify", &value) &&
        !remora_parse_bool(value, &s.skips_verification))
        s.skips_verification = false; /* what is not true is false, in the reference */
    check(&reader, &s);
    if (!reader.failed && reader_find(&reader, "priority", &value) &&
        !settings_priority(value, &s.priority, ret_error))
        reader.failed = true;
    if (reader.failed)
        settings_fini(&s);
    *ret_settings = s;
    return !reader.failed;
}

void
settings_fini(struct settings *settings)
{
    memory_wipe(settings->user);
    memory_wipe(settings->password);
    free(settings->host);
    free(settings->from);
    free(settings->to);
    free(settings->cc);
    free(settings->bcc);
    free(settings->subject);
    *settings = (struct settings){ .host = NULL };
}

bool
settings_is_local(const struct settings *settings)
{
    return strcmp(settings->host, "localhost") == 0 || strcmp(settings->host, "127.0.0.1") == 0 ||
           strcmp(settings->host, "::1") == 0;
}
