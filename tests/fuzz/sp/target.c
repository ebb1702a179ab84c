/* SPDX-License-Identifier: Apache-2.0 */
/* SP decoding: any bytes, in pieces whose lengths come from the input, give messages or an error.
 */
#include "bus/sp.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MESSAGE_MAX = 512 };
    struct buf in;
    buf_init(&in, MESSAGE_MAX + SP_HANDSHAKE_BYTES + SP_HEADER_BYTES + 256);
    struct sp_decoder decoder = { .peer = SP_PAIR0, .message_bytes_max = MESSAGE_MAX };
    enum sp_status status = SP_MORE;
    while (size > 1 && status == SP_MORE) {
        const size_t piece = data[0] < size - 1 ? data[0] : size - 1;
        const bool is_room = buf_append(&in, slice_of((const char *)data + 1, piece));
        assert(is_room); /* whoever waits for more has room for it */
        data += 1 + piece;
        size -= 1 + piece;
        struct slice message;
        while ((status = sp_decode(&decoder, &in, &message)) == SP_MESSAGE)
            assert(message.len <= MESSAGE_MAX);
    }
    assert(sp_status_name(status)[0] != '?');
    buf_fini(&in);
    return 0;
}
