/* SPDX-License-Identifier: Apache-2.0 */
/* A component's metadata, checked; the fields of the reference's component. */
#ifndef MQTT_SETTINGS_H
#define MQTT_SETTINGS_H

#include <remora_plugin.h>

enum { SETTINGS_WHY_BYTES = 512 };

/* All owned; NULL where a text may be missing. */
struct settings {
    char *host, *port;
    char *username, *password; /* or NULL; no password without a name */
    char *client_id;
    char *ca_cert, *client_cert, *client_key; /* or NULL */
    bool is_secure;
    uint8_t qos;
    bool is_retained;
    bool clean_session;

    /* Of a binding. */
    char *topic;         /* what is read, and published to if a message names none; or NULL */
    int64_t retries_max; /* then the message is left with the server; < 0: never */
};

/* A binding has two sessions, since a server lets only one client have each. */
enum settings_side { SETTINGS_PRODUCER, SETTINGS_CONSUMER };

/* False on failure, with the reason for the user in `why`, in which there is no secret; `ret` then
 * needs no settings_fini(). */
bool settings_parse(const struct remora_config *config, struct settings *ret,
                    char why[SETTINGS_WHY_BYTES]);
bool settings_parse_binding(const struct remora_config *config, enum settings_side side,
                            struct settings *ret, char why[SETTINGS_WHY_BYTES]);
void settings_fini(struct settings *settings);

/* Go's strconv.ParseBool. */
bool settings_parse_bool(struct remora_slice text, bool *ret);

#endif
