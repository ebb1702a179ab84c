/* SPDX-License-Identifier: Apache-2.0 */
/* See entry.h. */
#include "entry.h"

#include <string.h>

#include "../shared/base64.h"
#include "layout.h"
#include "wire.h"

static struct remora_slice
column(const PGresult *result, int row, int at)
{
    return (struct remora_slice){ PQgetvalue(result, row, at),
                                  (size_t)PQgetlength(result, row, at) };
}

/* A JSON text of base64, in its quotes. */
static bool
decode(remora_call *call, struct remora_slice text, struct remora_bytes *ret)
{
    if (text.len < 2 || text.data[0] != '"' || text.data[text.len - 1] != '"')
        return false;
    char *bytes = remora_call_alloc(call, text.len);
    size_t len;
    if (!base64_decode(text.data + 1, text.len - 2, bytes, &len))
        return false;
    *ret = (struct remora_bytes){ .data = bytes, .len = len };
    return true;
}

bool
entry_read(remora_call *call, const PGresult *result, int row, struct remora_state_value *ret_value)
{
    static const struct remora_failure failure = {
        .code = REMORA_DATA_LOSS, .message = "failed to decode base64 data: it is not base64"
    };
    struct remora_slice value = column(result, row, COLUMN_VALUE);
    struct remora_slice is_binary = column(result, row, COLUMN_BINARY);
    *ret_value = (struct remora_state_value){ .found = true,
                                              .has_etag = true,
                                              .etag = column(result, row, COLUMN_ETAG),
                                              .value = { .data = value.data, .len = value.len } };
    if (!PQgetisnull(result, row, COLUMN_EXPIRES) && PQgetlength(result, row, COLUMN_EXPIRES) == 8)
        ret_value->expires_unix_ms = wire_get_i64(PQgetvalue(result, row, COLUMN_EXPIRES));
    if (is_binary.len != 1 || is_binary.data[0] == 0 || decode(call, value, &ret_value->value))
        return true;
    ret_value->value = (struct remora_bytes){ .data = "" };
    ret_value->failure = &failure;
    return false;
}
