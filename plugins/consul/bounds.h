/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bound of this plugin, in one place.
 */
#ifndef CONSUL_PLUGIN_BOUNDS_H
#define CONSUL_PLUGIN_BOUNDS_H

enum {
    CONFIGURATION_BYTES_MAX = 256 * 1024,
    ANSWER_BYTES_MAX = 8 * 1024 * 1024,
    TOKEN_BYTES_MAX = 2048,
    APP_ID_BYTES_MAX = 1024,
    ADDRESS_BYTES_MAX = 272,
    WATCHES_MAX = 64, /* services whose instances are kept in memory, a connection each */
    CONNECTIONS_MAX = WATCHES_MAX + 32,
    ERROR_BYTES = 400,

    CONNECT_TIMEOUT_MS = 3000,
    REQUEST_TIMEOUT_MS = 10000,
    WATCH_WAIT_S = 60,              /* how long the agent holds a question without news */
    WATCH_IDLE_MS = 10 * 60 * 1000, /* a service nobody asked for is no longer watched */
    WATCH_RETRY_MIN_MS = 500,
    WATCH_RETRY_MAX_MS = 30 * 1000,
    /* How often it is looked whether the agent still knows the service, which an agent without a
     * data directory forgets when it restarts. */
    REGISTRATION_CHECK_MS = 5 * 1000,
    /* How long the sidecar may go on with an answer. */
    ANSWER_TTL_MS = 1000,
};

#endif
