/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component's metadata, checked: what a connection needs, and what the state store needs. Used by
 * every component type of this plugin. Fields that are known but not supported are refused, so that
 * nobody runs without the security or the servers they asked for.
 */
#ifndef REDIS_SETTINGS_H
#define REDIS_SETTINGS_H

#include "conn.h"
#include "sentinel.h"

enum { SETTINGS_WHY_BYTES = 512, SETTINGS_HOSTS_MAX = SENTINELS_MAX };

struct settings {
    struct {
        char *host, *port;       /* owned */
    } hosts[SETTINGS_HOSTS_MAX]; /* more than one: the sentinels, or seeds of the cluster */
    size_t host_count;
    bool is_cluster;
    char *username, *password; /* owned; never NULL */
    char *shown_host;          /* "host:port,…", for users */
    bool failover;
    char *master_name, *sentinel_username, *sentinel_password; /* never NULL */
    char *client_cert, *client_key, *ca_cert;                  /* owned, or NULL */
    int64_t db;
    int64_t max_retries;           /* of the first connection; -1 means none */
    int64_t min_retry_interval_ms; /* between them */
    int64_t dial_timeout_ms, read_timeout_ms, write_timeout_ms;
    bool enable_tls, skip_verify;
    bool has_ttl; /* for saves that give none */
    int64_t ttl_seconds;
};

/* False on failure, with the reason for the user in `why`; `ret` then needs no settings_fini(). */
bool settings_parse(const struct remora_config *config, struct settings *ret,
                    char why[SETTINGS_WHY_BYTES]);
void settings_fini(struct settings *settings);

/* What pub/sub adds. */
struct broker_settings {
    char *consumer;                /* owned; the group, and the consumer in it */
    int64_t redeliver_interval_ms; /* 0: what is pending is left alone */
    int64_t processing_timeout_ms; /* 0: the same */
    bool acks_on_error;            /* what the application refuses does not come again */
    int64_t queue_depth;           /* messages read ahead, at least 1 */
    int64_t concurrency;           /* messages of one subscription with the sidecar */
    int64_t max_len;               /* of a stream, about; 0: any */
    int64_t stream_ttl_ms;         /* older entries go, about; 0: none do */
};

/* False on failure, as settings_parse(). */
bool broker_settings_parse(const struct remora_config *config, struct broker_settings *ret,
                           char why[SETTINGS_WHY_BYTES]);
void broker_settings_fini(struct broker_settings *settings);

/* Go's strconv.ParseInt(text, 10, 64), with its words of failure. */
bool parse_int(struct remora_slice text, const char *function, int64_t *ret,
               char why[SETTINGS_WHY_BYTES]);

#endif
