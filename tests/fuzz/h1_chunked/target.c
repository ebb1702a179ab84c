/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked bodies: however the bytes are cut, data and end are the same. */
#include "http/h1_chunked.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    enum h1_got got;
    uint64_t hash;
    size_t data_bytes;
    size_t used;
};

static struct result
decode(struct slice all, size_t step)
{
    struct h1_chunked c = { 0 };
    struct result r = { .got = H1_GOT_MORE };
    while (r.got == H1_GOT_MORE && r.used < all.len) {
        struct slice in = slice_first(slice_from(all, r.used), step), data;
        size_t before = in.len;
        while ((r.got = h1_chunked_next(&c, &in, &data)) == H1_GOT_DATA) {
            assert(data.len > 0);
            for (size_t i = 0; i < data.len; i++)
                r.hash = r.hash * 31 + (unsigned char)data.data[i];
            r.data_bytes += data.len;
        }
        r.used += before - in.len;
    }
    return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size);
    struct result whole = decode(all, size + 1), bytewise = decode(all, 1);
    assert(whole.got == bytewise.got && whole.hash == bytewise.hash);
    assert(whole.data_bytes == bytewise.data_bytes && whole.used == bytewise.used);
    assert(whole.data_bytes <= size);
    return 0;
}
