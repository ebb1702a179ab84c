/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component's metadata, checked: the fields of the reference's component of the same name, with
 * its defaults and its words. A broker and a binding have one kind of settings.
 */
#ifndef RABBITMQ_PLUGIN_SETTINGS_H
#define RABBITMQ_PLUGIN_SETTINGS_H

#include "address.h"

#define ERROR_PREFIX "%s error: " /* of settings->shown */

struct settings {
    const char *shown; /* who says something: "rabbitmq pub/sub" */
    struct address address;
    char *consumer_id;                        /* owned; empty: none */
    char *exchange_kind, *client_name;        /* owned */
    char *ca_cert, *client_cert, *client_key; /* owned, PEM; NULL: none */
    bool durable, delete_when_unused, auto_ack, requeue_in_failure;
    bool enable_dead_letter, publisher_confirm, sasl_external;
    bool is_single;                       /* one message of a subscription at a time */
    bool exchange_passive, queue_passive; /* somebody else declares them */
    bool has_properties;                  /* of messages, as metadata of deliveries */
    uint8_t delivery_mode;
    uint32_t prefetch_count; /* 0: as many as the sidecar takes */
    int64_t reconnect_wait_ms, heartbeat_ms;
    int64_t max_len, max_len_bytes; /* 0: any */
    int64_t ttl_ms;                 /* of messages that say none; -1: for ever */

    /* A binding has one queue, and no exchange but the server's own. */
    char *queue;                        /* owned; NULL: it is no binding */
    bool is_exclusive;                  /* the queue is for the connection that reads it */
    int64_t queue_ttl_ms, max_priority; /* of the queue; -1: none */
};

/* False: `why` says why not, without a secret, and there is nothing to free. */
bool
settings_init(struct settings *settings, const struct remora_config *config, char why[WHY_BYTES]);
/* The same for a binding. */
bool settings_init_binding(struct settings *settings, const struct remora_config *config,
                           char why[WHY_BYTES]);
void settings_fini(struct settings *settings);

#endif
