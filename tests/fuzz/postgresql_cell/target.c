/* SPDX-License-Identifier: Apache-2.0 */
/* Values of results of a PostgreSQL server, of every type that is known here and of arrays of it:
 * whatever a server says becomes JSON, or is refused. The first byte says of which type it is. */
#include <assert.h>

#include "base/json.h"

#include "plugins/postgresql/cell.c"
#include "plugins/shared/base64.c"
#include "plugins/shared/text.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* JSON that a server writes is its own, and bytes that are no ASCII may be no text at all. */
static bool
is_to_be_json(const struct kind *kind, Oid type, const char *value)
{
    for (const char *at = value; *at != '\0'; at++)
        if ((unsigned char)*at >= 0x80)
            return false;
    return kind->put != put_json ||
           (type == kind->type && json_is_valid(slice_of(value, strlen(value))));
}

static void
put(const struct kind *kind, Oid type, const char *value)
{
    struct text out = { 0 };
    if (cell_put(&out, type, value) && is_to_be_json(kind, type, value))
        assert(json_is_valid(slice_of(out.bytes, out.len)));
    free(out.bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct kind *kind = &kinds[data[0] / 2 % (sizeof kinds / sizeof kinds[0])];
    char *value = memory_new(size); /* ends with a NUL; what is behind one in it is cut off */
    memcpy(value, data + 1, size - 1);
    put(kind, data[0] % 2 == 0 ? kind->type : kind->array, value);
    put(kind, 705, value); /* unknown to the server, too */
    free(value);
    return 0;
}
