/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in any case; an empty value is none.
 */
#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "../shared/reader.h"

/* What the reference has without a number, and with a number that is none. */
enum { TIMEOUT_MS = 1000, TIMEOUT_OF_ZERO_MS = 500, TIMEOUT_MS_MAX = 24 * 3600 * 1000 };

static void
read_place(struct reader *reader, struct settings *settings, struct remora_slice text)
{
    int shown = text.len > 100 ? 100 : (int)text.len;
    if (settings->place_count == HOSTS_MAX || text.len >= ADDRESS_BYTES_MAX) {
        reader_complain(reader, "hosts: at most %d, each up to %d bytes", HOSTS_MAX,
                        ADDRESS_BYTES_MAX - 1);
        return;
    }
    struct place *place = &settings->places[settings->place_count++];
    (void)snprintf(place->address, sizeof place->address, "%.*s", (int)text.len, text.data);
    if (memchr(text.data, '/', text.len) != NULL)
        return;
    const char *colon = memrchr(text.data, ':', text.len);
    bool is_bracketed = text.data[0] == '[';
    size_t host_len = colon == NULL ? 0 : (size_t)(colon - text.data);
    int64_t port;
    if (colon == NULL || (is_bracketed && (host_len < 2 || colon[-1] != ']'))) {
        reader_complain(reader, "address %.*s: missing port in address", shown, text.data);
        return;
    }
    if (!remora_parse_i64((struct remora_slice){ colon + 1, text.len - host_len - 1 }, &port) ||
        port < 1 || port > 65535) {
        reader_complain(reader, "address %.*s: invalid port", shown, text.data);
        return;
    }
    (void)snprintf(place->port, sizeof place->port, "%d", (int)port);
    struct remora_slice host = is_bracketed ? (struct remora_slice){ text.data + 1, host_len - 2 }
                                            : (struct remora_slice){ text.data, host_len };
    if (host.len == 0)
        host = (struct remora_slice){ "localhost", 9 };
    (void)snprintf(place->host, sizeof place->host, "%.*s", (int)host.len, host.data);
}

static void
read_hosts(struct reader *reader, struct settings *settings)
{
    struct remora_slice text = { "", 0 };
    if (reader_find(reader, "hosts", &text) && memchr(text.data, '\0', text.len) != NULL)
        reader_complain(reader, "hosts: a NUL is no part of an address");
    const char *at = text.data, *end = text.data + text.len;
    while (at < end && !reader->failed) {
        const char *comma = memchr(at, ',', (size_t)(end - at)),
                   *next = comma == NULL ? end : comma;
        const char *last = next;
        while (at < last && *at == ' ')
            at++;
        while (last > at && last[-1] == ' ')
            last--;
        if (last > at)
            read_place(reader, settings, (struct remora_slice){ at, (size_t)(last - at) });
        at = next + 1;
    }
    if (settings->place_count == 0)
        reader_complain(reader, "missing or empty hosts field from metadata");
}

bool
settings_read(struct settings *settings, const struct remora_config *config,
              char why[SETTINGS_WHY_BYTES])
{
    struct remora_slice text;
    int64_t number;
    *settings = (struct settings){ .timeout_ms = TIMEOUT_MS };
    struct reader reader = { .config = config, .why = why, .why_bytes = SETTINGS_WHY_BYTES };
    read_hosts(&reader, settings);
    if (reader_find(&reader, "maxIdleConnections", &text) && !remora_parse_i64(text, &number))
        reader_complain(&reader, "error parsing maxIdleConnections");
    if (reader_find(&reader, "timeout", &text)) {
        if (!remora_parse_i64(text, &number) || number > TIMEOUT_MS_MAX)
            reader_complain(&reader, "error parsing timeout");
        else if (number >= 0)
            settings->timeout_ms = number > 0 ? number : TIMEOUT_OF_ZERO_MS;
    }
    return !reader.failed;
}
