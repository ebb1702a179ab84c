/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of a table; see handover.h. */
#include "handover.h"

#include <stdlib.h>
#include <string.h>

enum {
    FORMAT = 1,
    CHANGE_SET = 1,
    CHANGE_DELETED = 2,
    ETAG_BYTES = 36,
    HEAD_BYTES = 1 + 8 + ETAG_BYTES + 4 + 8,
};

/* --- packing -----------------------------------------------------------------------------------*/

static char *
put_number(char *at, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        *at++ = (char)(number >> 8 * i & 0xFF);
    return at;
}

static char *
put_bytes(char *at, const char *bytes, size_t len)
{
    if (len > 0)
        memcpy(at, bytes, len);
    return at + len;
}

static size_t
packed_bytes(const struct entry *entry)
{
    return HEAD_BYTES + entry->key.len + entry->value.len;
}

static char *
put_entry(char *at, const struct entry *entry)
{
    at = put_number(at, entry->is_deleted ? CHANGE_DELETED : CHANGE_SET, 1);
    at = put_number(at, (uint64_t)entry->expires_unix_ms, 8);
    at = put_bytes(at, entry->etag, ETAG_BYTES);
    at = put_number(at, entry->key.len, 4);
    at = put_number(at, entry->value.len, 8);
    at = put_bytes(at, entry->key.data, entry->key.len);
    return put_bytes(at, entry->value.data, entry->value.len);
}

bool
handover_pack(struct table *table, char **ret_piece, size_t *ret_bytes)
{
    size_t bytes = 1, count = 0;
    for (const struct entry *entry = table->export_next;
         entry != NULL && bytes < HANDOVER_PIECE_BYTES; entry = entry->newer, count++)
        bytes += packed_bytes(entry);
    char *piece = malloc(bytes);
    if (piece == NULL)
        return false;
    char *at = put_number(piece, FORMAT, 1);
    for (; count > 0; count--) {
        at = put_entry(at, table->export_next);
        table_export_step(table);
    }
    *ret_piece = piece;
    *ret_bytes = bytes;
    return true;
}

/* --- applying ----------------------------------------------------------------------------------*/

/* Bytes not read yet. */
struct reader {
    struct remora_slice rest;
    bool is_short;
};

static struct remora_slice
read_bytes(struct reader *r, uint64_t len)
{
    if (r->is_short || len > r->rest.len) {
        r->is_short = true;
        return (struct remora_slice){ "", 0 };
    }
    struct remora_slice bytes = { r->rest.data, (size_t)len };
    r->rest = (struct remora_slice){ r->rest.data + len, r->rest.len - (size_t)len };
    return bytes;
}

static uint64_t
read_number(struct reader *r, size_t bytes)
{
    struct remora_slice field = read_bytes(r, bytes);
    uint64_t number = 0;
    for (size_t i = 0; i < field.len; i++)
        number |= (uint64_t)(unsigned char)field.data[i] << 8 * i;
    return number;
}

static bool
apply_change(struct table *table, struct reader *r)
{
    uint64_t kind = read_number(r, 1);
    int64_t expires = (int64_t)read_number(r, 8);
    char etag[ETAG_BYTES + 1] = "";
    struct remora_slice etag_bytes = read_bytes(r, ETAG_BYTES);
    uint64_t key_len = read_number(r, 4), value_len = read_number(r, 8);
    struct remora_slice key = read_bytes(r, key_len), value = read_bytes(r, value_len);
    if (r->is_short || (kind != CHANGE_SET && kind != CHANGE_DELETED))
        return false;
    if (kind == CHANGE_DELETED) {
        table_remove(table, key);
        return true;
    }
    memcpy(etag, etag_bytes.data, ETAG_BYTES);
    struct entry *entry = entry_restore(table, key, value, expires, etag);
    if (entry != NULL)
        table_put(table, entry);
    return entry != NULL;
}

bool
handover_apply(struct table *table, struct remora_slice piece)
{
    struct reader r = { .rest = piece };
    if (read_number(&r, 1) != FORMAT)
        return false;
    while (r.rest.len > 0)
        if (!apply_change(table, &r))
            return false;
    return true;
}
