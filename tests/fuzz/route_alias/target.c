/* SPDX-License-Identifier: Apache-2.0 */
/* A table of aliases, and behind a line of three dashes a path and a query, a line each: what comes
 * out may stand in the head of a request, and names a path of the table. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/middleware/routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char memory[1024 * 1024];
static size_t used;

static void *
take(remora_call *call, size_t bytes)
{
    (void)call;
    size_t at = used;
    assert(bytes <= sizeof memory - used);
    used += bytes;
    return memory + at;
}

static struct remora_slice
take_part(struct remora_slice *rest, const char *mark)
{
    const char *end = rest->len > 0 ? memmem(rest->data, rest->len, mark, strlen(mark)) : NULL;
    struct remora_slice part = { rest->data, end != NULL ? (size_t)(end - rest->data) : rest->len };
    size_t taken = part.len + (end != NULL ? strlen(mark) : 0);
    *rest = (struct remora_slice){ rest->data + taken, rest->len - taken };
    return part;
}

static bool
is_visible(struct remora_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] <= ' ' || s.data[i] == 0x7f)
            return false;
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct remora_slice rest = { (const char *)data, size };
    struct remora_slice table = take_part(&rest, "\n---\n");
    struct remora_slice path = take_part(&rest, "\n"), query = take_part(&rest, "\n");
    struct remora_slice to, with;
    char why[ROUTES_WORDS_BYTES] = "";
    struct routes *routes = routes_new();
    used = 0;
    if (!routes_read(routes, table, why)) {
        assert(*why != '\0');
    } else if (is_visible(path) && is_visible(query) &&
               routes_apply(routes, take, NULL, path, query, &to, &with)) {
        assert(to.len > 0 && to.data[0] == '/');
        assert(is_visible(to) && is_visible(with));
    }
    routes_free(routes);
    return 0;
}
