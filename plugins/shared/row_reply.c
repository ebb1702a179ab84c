/* SPDX-License-Identifier: Apache-2.0 */
/* See row_reply.h. */
#include "row_reply.h"

#include <stdlib.h>

#include "memory.h"

enum { LENT_BYTES_MIN = 4097 }; /* below, a copy costs less than a release */

/* Whether the SDK takes the row. */
static bool
fill(const struct row_kind *kind, void *row, struct remora_state_value *value)
{
    *value = (struct remora_state_value){ .found = row != NULL };
    if (row == NULL)
        return false;
    kind->view(row, value);
    if (value->failure != NULL || value->value.len < LENT_BYTES_MIN)
        return false;
    value->value.release = kind->free;
    value->value.arg = row;
    return true;
}

void
row_reply(remora_call *call, const struct row_kind *kind, void *row)
{
    struct remora_state_value value;
    bool is_lent = fill(kind, row, &value);
    if (value.failure != NULL)
        remora_reply_failure(call, value.failure);
    else
        remora_state_reply_value(call, &value);
    if (!is_lent && row != NULL)
        kind->free(row);
}

/* In the call's memory. What stays ours is moved to the front of `kept`, which is not. */
static struct remora_state_value *
fill_all(remora_call *call, const struct row_kind *kind, void **rows, size_t count, void **kept,
         size_t *ret_kept)
{
    struct remora_state_value *values = remora_call_alloc(call, (count + 1) * sizeof(*values));
    *ret_kept = 0;
    for (size_t i = 0; i < count; i++) {
        void *row = rows[i];
        if (!fill(kind, row, &values[i]) && row != NULL)
            kept[(*ret_kept)++] = row;
    }
    return values;
}

/* Lent rows may be gone before the reply function returns; the others are not needed any more. */
static void
free_all(const struct row_kind *kind, void **kept, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kind->free(kept[i]);
    free(kept);
}

void
row_reply_many(remora_call *call, const struct row_kind *kind, void **rows, size_t count)
{
    void **kept = memory_new((count + 1) * sizeof(*kept));
    size_t kept_count;
    struct remora_state_value *values = fill_all(call, kind, rows, count, kept, &kept_count);
    remora_state_reply_values(call, values, count);
    free_all(kind, kept, kept_count);
}

void
row_reply_query(remora_call *call, const struct row_kind *kind, void **rows, size_t count,
                struct remora_slice token)
{
    void **kept = memory_new((count + 1) * sizeof(*kept));
    size_t kept_count;
    struct remora_state_value *values = fill_all(call, kind, rows, count, kept, &kept_count);
    remora_state_reply_query(call, values, count, token);
    free_all(kind, kept, kept_count);
}
