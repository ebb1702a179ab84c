/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bound of this plugin, in one place. Beyond a bound a request is answered with an error that
 * names it; nothing grows without one.
 */
#ifndef MYSQL_PLUGIN_BOUNDS_H
#define MYSQL_PLUGIN_BOUNDS_H

enum {
    /* Work waiting for the connections of one server. Values stay in the SDK's memory meanwhile. */
    QUEUED_JOBS_MAX = 8192,
    QUEUED_BYTES_MAX = 32 * 1024 * 1024,

    /* Connections to one server, and how long one stays without work. */
    CONNECTIONS_MAX = 8,
    IDLE_MS = 30 * 1000,

    /* A server that cannot be reached is left alone for so long. */
    PAUSE_MIN_MS = 50,
    PAUSE_MAX_MS = 1000,
    CONNECT_MS_MAX = 10 * 1000,

    /* A transaction that was the victim of a deadlock is done again so often. */
    ATTEMPTS_MAX = 20,

    /* Many operations in one statement: fewer round trips, and well below max_allowed_packet. */
    STATEMENT_ROWS_MAX = 256,
    STATEMENT_BYTES_MAX = 256 * 1024,
    /* Keys of one reading statement. */
    READ_KEYS_MAX = 16384,
    READ_BYTES_MAX = 512 * 1024,

    PACKET_BYTES_MAX = 64 * 1024 * 1024,
    RESULT_BYTES_MAX = 64 * 1024 * 1024, /* of one answer */

    PATTERN_BYTES_MAX = 4096,
    PAGE_KEYS_MAX = 10000, /* of a listing without a size of its own, too */

    CLEANUP_ROWS = 500, /* one statement deletes */

    IDENTIFIER_BYTES_MAX = 64,
    CONNECTION_STRING_BYTES_MAX = 4096,
    TIMEOUT_S_MAX = 24 * 3600,
};

#endif
