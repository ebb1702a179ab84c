/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bound of this plugin, in one place. Beyond a bound a request is answered with an error that
 * names it; nothing grows without one.
 */
#ifndef SQLITE_PLUGIN_BOUNDS_H
#define SQLITE_PLUGIN_BOUNDS_H

enum {
    /* Work waiting for a thread of one database. Values stay in the SDK's memory meanwhile. */
    QUEUED_JOBS_MAX = 8192,
    QUEUED_BYTES_MAX = 32 * 1024 * 1024,

    /* One transaction of the writer: large enough to spread a sync over many saves, small enough
     * that the first of them does not wait for long. */
    GROUP_OPERATIONS_MAX = 1024,
    GROUP_BYTES_MAX = 8 * 1024 * 1024,

    /* A bulk get of more keys than this leaves the plugin's own thread. */
    GETS_INLINE_MAX = 64,

    VALUE_BYTES_MAX = 256 * 1024 * 1024,

    IDENTIFIER_BYTES_MAX = 128,
    CONNECTION_STRING_BYTES_MAX = 4096,

    PATTERN_BYTES_MAX = 4096,

    /* What one query or key listing may hold in memory at a time. */
    RESULT_ROWS_MAX = 100000,
    RESULT_BYTES_MAX = 32 * 1024 * 1024,

    CLEANUP_BATCH_ROWS = 500,

    /* Name resolution: instances of one application, as the sidecar takes them. */
    HOSTS_MAX = 256,
    ADDRESS_BYTES_MAX = 272,
    APP_ID_BYTES_MAX = 1024,
    UPDATE_INTERVAL_MAX_MS = 24 * 3600 * 1000,

    /* Pub/sub. One transaction claims so much for a subscription, and so much of it is on its way
     * to the sidecar at a time, whatever the window in messages is. */
    CLAIM_MESSAGES_MAX = 256,
    CLAIM_BYTES_MAX = 512 * 1024,
    TOPIC_BYTES_MAX = 1024,
    GROUP_NAME_BYTES_MAX = 1024,
    EXPIRE_BATCH_ROWS = 500,

    /* Configuration. An answer, and what is told of changes at a time; one item may be larger. */
    ITEMS_MAX = 65536,
    ITEMS_BYTES_MAX = 7 * 1024 * 1024,
    CHANGED_ITEMS_MAX = 256,
    CHANGED_BYTES_MAX = 512 * 1024,
    ITEM_METADATA_MAX = 64,
    SUBSCRIPTIONS_MAX = 4096,

    /* Page caches, in KiB. A connection grows to its share only when it is used. */
    WRITER_CACHE_KIB = 1024,
    READER_CACHE_KIB = 512,
    WAL_CHECKPOINT_PAGES = 2000,
};

#endif
