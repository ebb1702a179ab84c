/* SPDX-License-Identifier: Apache-2.0 */
/* URLs and references: parts lie in the text, nothing that ends a line passes, results resolve. */
#include "base/url.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct url *url, size_t most)
{
    assert(url->host.len <= url->authority.len);
    assert(url->path.len == 0 || url->path.data[0] == '/');
    assert(url->authority.len + url->path.len + url->query.len <= most);
    for (size_t i = 0; i < url->path.len; i++)
        assert((unsigned char)url->path.data[i] >= ' ' && url->path.data[i] != '?');
    for (size_t i = 0; i < url->query.len; i++)
        assert((unsigned char)url->query.data[i] >= ' ' && url->query.data[i] != '#');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena);
    struct slice text = slice_of(data, size), error, line;
    struct url url, next;
    (void)slice_split(&text, '\n', &line);
    if (url_parse(&arena, line, &url, &error)) {
        check(&url, size);
        assert(url_show(&arena, &url).len <= size + 16);
        if (url_resolve(&arena, &url, text, &next, &error))
            check(&next, 2 * size + 1);
    }
    arena_fini(&arena);
    return 0;
}
