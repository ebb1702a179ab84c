/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bound of this plugin, in one place.
 */
#ifndef RABBITMQ_PLUGIN_BOUNDS_H
#define RABBITMQ_PLUGIN_BOUNDS_H

enum {
    NAME_BYTES_MAX = 255, /* of an exchange, a queue, a key, a property: AMQP's short string */
    CONNECTION_STRING_BYTES_MAX = 4096,
    PEM_BYTES_MAX = 256 * 1024,
    WHY_BYTES = 512,

    /* Publishing: messages whose callers wait, and what they hold. */
    LETTERS_MAX = 10000,
    LETTERS_BYTES_MAX = 64 * 1024 * 1024,
    LETTER_BYTES_MAX = 128 * 1024 * 1024, /* the server takes no more */
    UNCONFIRMED_MAX = 1024,               /* sent and not yet confirmed */
    PUBLISH_TRIES_MAX = 3,                /* as the reference */
    PUBLISH_WAITS_MS = 30 * 1000,         /* if the caller knows no deadline */
    EXCHANGES_MAX = 1024,                 /* remembered as declared */
    /* Of metadata that become headers: all of them have to fit into a frame. */
    LETTER_HEADERS_MAX = 256,
    LETTER_HEADER_BYTES_MAX = 64 * 1024,

    /* Subscribing. */
    SUBSCRIPTIONS_MAX = 1000,
    PREFETCH_MAX = 65535,
    MESSAGE_BYTES_MAX = 256 * 1024 * 1024, /* what is larger cannot be handed over */
    HEADERS_MAX = 64,                      /* of a message, shown as metadata */
    HEADER_BYTES_MAX = 16 * 1024,
    ROUTING_KEYS_MAX = 64,
    FRAMES_A_TURN = 512,
    REJECT_DELAY_MS = 100,  /* before a message that failed is rejected */
    REQUEUE_DELAY_MS = 500, /* before a message that failed twice is given back */

    /* Connections. */
    FRAME_BYTES = 131072,
    CONNECT_MS = 10 * 1000,
    RPC_MS = 30 * 1000,
    STUCK_MS = RPC_MS + 10 * 1000, /* inside the library: the connection is cut */
    RETRY_MIN_MS = 100,
    HEARTBEAT_DEFAULT_MS = 10 * 1000,
    RECONNECT_WAIT_MS = 3 * 1000,
    BINDING_RECONNECT_WAIT_MS = 5 * 1000,
};

#endif
