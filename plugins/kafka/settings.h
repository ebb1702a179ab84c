/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component's metadata, checked. Names, defaults and words of refusal are those of the reference;
 * what is known but not supported is refused, so that nobody runs without what they asked for.
 */
#ifndef KAFKA_SETTINGS_H
#define KAFKA_SETTINGS_H

#include <regex.h>

#include "remora_plugin.h"

enum { SETTINGS_WHY_BYTES = 512, SETTINGS_TOPICS_MAX = 64 };

enum settings_auth {
    AUTH_NONE,
    AUTH_PASSWORD,
    AUTH_MTLS,
    AUTH_CERTIFICATE, /* TLS, with an authority of one's own */
};

enum { RETRY_FOR_EVER = -1 };

struct settings {
    char *brokers, *group, *client_id; /* owned, never NULL */
    enum settings_auth auth;
    char *sasl_mechanism; /* as librdkafka names it */
    char *sasl_username, *sasl_password;
    char *ca_cert, *client_cert, *client_key; /* owned, or NULL */
    bool disable_tls, skip_verify;

    bool from_oldest;          /* where a group begins that has no offset yet */
    int64_t message_bytes_max; /* of one that is published */
    char *compression;

    bool is_retried;      /* what the sidecar refuses; else it is skipped */
    int64_t retry_ms;     /* until it is delivered again; the first time, if it grows */
    bool retry_grows;     /* by half, up to: */
    int64_t retry_max_ms; /* that */
    int64_t retries_max;  /* then it is skipped; RETRY_FOR_EVER */
    int64_t concurrency;  /* messages, or batches, of a partition with the sidecar */
    int64_t heartbeat_ms, session_timeout_ms;
    /* How members share partitions, and, with sticky, whether they give up only what moves. */
    enum settings_strategy { SHARE_BY_RANGE, SHARE_ROUND_ROBIN, SHARE_STICKY } strategy;
    int64_t metadata_refresh_ms, keep_alive_ms;
    int64_t fetch_min, fetch_default; /* bytes */
    int64_t queued_messages;          /* read ahead, of a partition */

    char *registry_url; /* of schemas, without a slash at its end; owned; NULL: none */
    char *registry_key, *registry_secret; /* owned; empty: none */
    bool keeps_schemas;                   /* what the registry says is remembered */
    int64_t latest_ms;                    /* so long, of what the latest schema of a topic is */
    bool is_avro_json; /* Avro is made of Avro's own JSON and the other way round; else standard */

    bool escape_headers;
    char *publish_topic;               /* of a binding: owned; empty: none */
    char *topics[SETTINGS_TOPICS_MAX]; /* likewise: what is read, each once; owned */
    size_t topic_count;
    bool has_excluded; /* names of headers that are not metadata, and the other way round */
    regex_t excluded;
};

/* False on failure, with the reason for the user in `why`; `ret` then needs no settings_fini(). */
bool settings_parse(const struct remora_config *config, struct settings *ret,
                    char why[SETTINGS_WHY_BYTES]);
/* The same for a binding. */
bool settings_parse_binding(const struct remora_config *config, struct settings *ret,
                            char why[SETTINGS_WHY_BYTES]);
void settings_fini(struct settings *settings);

bool settings_use_tls(const struct settings *settings);

#endif
