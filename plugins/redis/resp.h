/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Redis serialization protocol, versions 2 and 3: commands out, replies in. Pure: no sockets,
 * no clock. A reply is first scanned, which is resumable and costs each byte once however it
 * arrives, and only when it is complete turned into a tree, whose texts point into the bytes given.
 * The server is not trusted: lengths, counts, lines and nesting have limits, and nothing is
 * allocated on the word of a length alone.
 */
#ifndef REDIS_RESP_H
#define REDIS_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <remora_plugin.h>

enum {
    RESP_DEPTH_MAX = 8,              /* arrays in arrays */
    RESP_LINE_BYTES_MAX = 64 * 1024, /* a status or an error text */
    RESP_BULK_BYTES_MAX = 512 << 20, /* one string: the server's own proto-max-bulk-len */
    RESP_VALUES_MAX = 1 << 20,       /* values in one reply, nested ones included */
};

/* --- out ---------------------------------------------------------------------------------------*/

/* A growing buffer; zero is an empty one. */
struct resp_buf {
    char *data; /* owned */
    size_t len, cap;
};

void resp_buf_append(struct resp_buf *buf, const void *data, size_t len);
/* Makes room for `room` more bytes and returns where they go. */
char *resp_buf_reserve(struct resp_buf *buf, size_t room);
/* Drops the first `len` bytes. */
void resp_buf_consume(struct resp_buf *buf, size_t len);
void resp_buf_fini(struct resp_buf *buf);

/* Appends one command: an array of strings. */
void resp_put_command(struct resp_buf *buf, const struct remora_slice *args, size_t count);

/* --- in ----------------------------------------------------------------------------------------*/

enum resp_type {
    RESP_STATUS,  /* text */
    RESP_ERROR,   /* text */
    RESP_STRING,  /* text; may hold any byte */
    RESP_INTEGER, /* integer */
    RESP_BOOLEAN, /* integer: 0 or 1 */
    RESP_NUMBER,  /* text: a double or a big number, as the server wrote it */
    RESP_NIL,
    RESP_ARRAY, /* items, count; sets too */
    RESP_MAP,   /* items, count: name, value, name, value */
    RESP_PUSH,  /* items, count; not the answer to a command */
};

struct resp_value {
    enum resp_type type;
    size_t count;
    union {
        struct remora_slice text;
        int64_t integer;
        const struct resp_value *items;
    };
};

enum resp_result { RESP_MORE, RESP_COMPLETE, RESP_BROKEN };

/* How far a reply has been scanned. Zero at the start of each reply. */
struct resp_scan {
    size_t pos;      /* complete values end here */
    size_t searched; /* no end of line before this */
    size_t values;
    unsigned depth;
    size_t left[RESP_DEPTH_MAX]; /* values still missing at each level */
};

/* `data` holds the reply from its first byte on, as far as it has arrived. On RESP_COMPLETE the
 * reply is scan->pos bytes long and has scan->values values. After RESP_BROKEN there is no way to
 * find the next reply: give the connection up. */
enum resp_result resp_scan(struct resp_scan *scan, const char *data, size_t len);

/* The tree of a reply that resp_scan() found complete; values[] has room for scan->values. */
const struct resp_value *resp_tree(const char *data, struct resp_value *values);

/* True for an error reply that begins with the word `code` ("WRONGTYPE"). */
bool resp_is_error(const struct resp_value *value, const char *code);

#endif
