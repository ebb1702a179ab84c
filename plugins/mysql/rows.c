/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading. Which row is for which key is decided here, by their bytes: the database may take keys
 * for the same that are not.
 */
#include "rows.h"

#include <string.h>

#include "../shared/base64.h"
#include "../shared/memory.h"

enum { COLUMN_ID, COLUMN_VALUE, COLUMN_ETAG, COLUMN_BINARY, COLUMN_EXPIRES, COLUMN_COUNT };

struct reading {
    const struct remora_state_get *gets;
    struct row **rows;
    size_t *order; /* of gets, by key */
    size_t count;
    size_t bytes; /* of the values so far */
};

void
row_free(void *arg)
{
    struct row *row = arg;
    if (row == NULL)
        return;
    failure_free(row->failure);
    free(row);
}

/* --- one row -----------------------------------------------------------------------------------*/

static struct remora_slice
column(char **columns, const unsigned long *lengths, int at)
{
    return columns[at] == NULL ? (struct remora_slice){ "", 0 }
                               : (struct remora_slice){ columns[at], lengths[at] };
}

static bool
decode(struct remora_slice text, char *to, size_t *ret_len)
{
    return text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"' &&
           base64_decode(text.data + 1, text.len - 2, to, ret_len);
}

static struct row *
row_new(char **columns, const unsigned long *lengths)
{
    struct remora_slice value = column(columns, lengths, COLUMN_VALUE),
                        etag = column(columns, lengths, COLUMN_ETAG),
                        binary = column(columns, lengths, COLUMN_BINARY),
                        expires = column(columns, lengths, COLUMN_EXPIRES);
    struct row *row = memory_new(sizeof(*row) + value.len + etag.len + 1);
    char *at = (char *)(row + 1);
    memcpy(at, etag.data, etag.len);
    row->etag = at;
    row->etag_len = etag.len;
    at += etag.len;
    row->value = at;
    row->value_len = value.len;
    bool is_binary = binary.len > 0 && !remora_slice_eq(binary, "0");
    if (is_binary && !decode(value, at, &row->value_len)) {
        row->value_len = 0;
        row->failure = failure_new(REMORA_DATA_LOSS, REMORA_EFFECT_FAILED,
                                   "failed to decode binary data: illegal base64 data");
    } else if (!is_binary) {
        memcpy(at, value.data, value.len);
    }
    int64_t unix_s;
    if (expires.len > 0 && remora_parse_i64(expires, &unix_s))
        row->expires_unix_ms = unix_s * 1000;
    return row;
}

/* --- which is whose ----------------------------------------------------------------------------*/

static int
compare(struct remora_slice a, struct remora_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int
compare_gets(const void *a, const void *b, void *arg)
{
    const struct remora_state_get *gets = arg;
    return compare(gets[*(const size_t *)a].key, gets[*(const size_t *)b].key);
}

/* The first place in the order whose key is not smaller. */
static size_t
find(const struct reading *reading, struct remora_slice key)
{
    size_t low = 0, high = reading->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(reading->gets[reading->order[middle]].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct failure *
take_row(char **columns, const unsigned long *lengths, void *arg)
{
    struct reading *reading = arg;
    struct remora_slice key = column(columns, lengths, COLUMN_ID);
    for (size_t i = find(reading, key); i < reading->count; i++) {
        size_t at = reading->order[i];
        if (compare(reading->gets[at].key, key) != 0)
            break;
        reading->bytes += lengths[COLUMN_VALUE] + sizeof(struct row);
        if (reading->bytes > RESULT_BYTES_MAX && reading->count > 1)
            return failure_new(REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                               "an answer holds at most %d bytes: ask for fewer keys",
                               RESULT_BYTES_MAX);
        row_free(reading->rows[at]);
        reading->rows[at] = row_new(columns, lengths);
    }
    return NULL;
}

/* --- statements --------------------------------------------------------------------------------*/

/* From *at on as many keys as one statement takes. */
static struct failure *
read_some(struct session *session, const struct table *table, struct reading *reading, size_t *at)
{
    struct text *text = &session->text;
    text_clear(text);
    text_add(text,
             "SELECT id, value, eTag, isbinary, UNIX_TIMESTAMP(expiredate) FROM `%s`"
             " WHERE id IN (",
             table->name);
    for (size_t i = 0; *at < reading->count && i < READ_KEYS_MAX && text->len < READ_BYTES_MAX;
         i++, (*at)++) {
        if (i > 0)
            text_put(text, ",");
        text_quote(text, session->db, reading->gets[reading->order[*at]].key);
    }
    text_put(text, ") AND (expiredate IS NULL OR expiredate > CURRENT_TIMESTAMP)");
    return session_read(session, COLUMN_COUNT, take_row, reading);
}

static struct failure *
read_all(struct session *session, const struct table *table, struct reading *reading)
{
    size_t at = 0;
    struct failure *failure = read_some(session, table, reading, &at);
    if (failure != NULL || at == reading->count)
        return failure;
    /* Once more, with all statements seeing the same. */
    failure = session_run_words(session, "START TRANSACTION WITH CONSISTENT SNAPSHOT");
    for (at = 0; failure == NULL && at < reading->count;)
        failure = read_some(session, table, reading, &at);
    if (session->db != NULL)
        failure_free(session_run_words(session, "ROLLBACK")); /* nothing was written */
    return failure;
}

static void
forget(struct reading *reading)
{
    for (size_t i = 0; i < reading->count; i++) {
        row_free(reading->rows[i]);
        reading->rows[i] = NULL;
    }
    reading->bytes = 0;
}

struct failure *
rows_get(struct session *session, const struct table *table, const struct remora_state_get *gets,
         struct row **rows, size_t count)
{
    struct reading reading = { .gets = gets,
                               .rows = rows,
                               .count = count,
                               .order = memory_new((count + 1) * sizeof(size_t)) };
    for (size_t i = 0; i < count; i++) {
        reading.order[i] = i;
        rows[i] = NULL;
    }
    qsort_r(reading.order, count, sizeof(size_t), compare_gets, (void *)(uintptr_t)gets);
    struct failure *failure = count == 0 ? NULL : read_all(session, table, &reading);
    /* A connection may have died while it lay idle; a read can be done again. */
    if (failure_is(failure, FAILURE_LOST)) {
        forget(&reading);
        failure_free(failure);
        failure = session_open(session, true);
        if (failure == NULL)
            failure = read_all(session, table, &reading);
    }
    if (failure != NULL) {
        forget(&reading);
        if (failure->base.effect == REMORA_EFFECT_UNKNOWN)
            failure->base.effect = REMORA_EFFECT_FAILED;
    }
    free(reading.order);
    return failure;
}
