/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server says in memcached's text protocol, and what it is asked. Both are strict: a key
 * that would end a line early is never sent, and an answer that is not the one due ends the
 * connection.
 */
#ifndef MEMCACHED_PLUGIN_ANSWER_H
#define MEMCACHED_PLUGIN_ANSWER_H

#include <remora_plugin.h>

enum {
    KEY_BYTES_MAX = 250,
    LINE_BYTES_MAX = 2048,
    VALUE_BYTES_MAX = 64 * 1024 * 1024, /* in an answer; servers have their own limit, 1 MiB */
    EXPIRY_RELATIVE_MAX_S = 30 * 24 * 3600,
};

enum command { COMMAND_GET, COMMAND_SET, COMMAND_DELETE, COMMAND_VERSION };

enum answer_kind {
    ANSWER_MORE,      /* it is not complete yet */
    ANSWER_BAD,       /* it is no answer to the command */
    ANSWER_DONE,      /* stored, deleted, or alive */
    ANSWER_VALUE,     /* found */
    ANSWER_MISSING,   /* not found */
    ANSWER_TOO_LARGE, /* the server has no room for one that large */
    ANSWER_REFUSED,   /* the server says no; words are its own */
};

struct answer {
    enum answer_kind kind;
    size_t bytes;              /* of the whole answer */
    struct remora_slice value; /* or words; of the data given */
};

/* `key` is the one asked for, with COMMAND_GET. */
struct answer
answer_read(enum command command, struct remora_slice key, const char *data, size_t len);

/* Up to 250 bytes, none of them a space or a control character. */
bool key_is_legal(struct remora_slice key);

/* Which of the servers has the key: as gomemcache counts. */
size_t key_place(struct remora_slice key, size_t server_count);

/* For a time to live in seconds: what stands in a command. False: it cannot be said. */
bool expiry_of(int64_t ttl_s, int64_t now_unix_s, int64_t *ret_expiry);

#endif
