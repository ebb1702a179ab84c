/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of addresses and what callers put into them: three lines, pattern, id, namespace; the
 * first byte picks the syntax. What comes out has nothing of the caller's but plain words. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/names/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct remora_slice
take_line(struct remora_slice *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    struct remora_slice line = { rest->data, end != NULL ? (size_t)(end - rest->data) : rest->len };
    size_t used = line.len + (end != NULL);
    *rest = (struct remora_slice){ rest->data + used, rest->len - used };
    return line;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct remora_slice rest = { (const char *)data + 1, size - 1 };
    struct remora_slice text = take_line(&rest);
    struct remora_name_query query = { .id = take_line(&rest),
                                       .namespace_ = take_line(&rest),
                                       .port = 50002 };
    struct pattern pattern;
    char error[ERROR_BYTES] = "", address[ADDRESS_BYTES_MAX];
    size_t len = 0;
    if (!pattern_init(&pattern, text, data[0] == 't' ? SYNTAX_TEMPLATE : SYNTAX_APPID, error)) {
        assert(*error != '\0');
        return 0;
    }
    if (!pattern_fill(&pattern, &query, (struct remora_slice){ "default", 7 }, address, &len,
                      error)) {
        assert(*error != '\0');
    } else {
        assert(len > 0 && len < sizeof address && memchr(address, ':', len) != NULL);
        for (size_t i = 0; pattern_has(&pattern, PART_ID) && i < query.id.len; i++)
            assert(strchr(":/@.# %?[]", query.id.data[i]) == NULL || query.id.data[i] == '\0');
    }
    pattern_fini(&pattern);
    return 0;
}
