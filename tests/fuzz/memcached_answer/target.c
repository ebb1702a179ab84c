/* SPDX-License-Identifier: Apache-2.0 */
/* The memcached plugin's answers: whatever arrives is refused, waited for, or understood with its
 * value inside the bytes given, and with the same meaning when more follows. The first byte chooses
 * the command, the second the length of the key that follows. */
#include <assert.h>

#include "plugins/memcached/answer.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2)
        return 0;
    enum command command = bytes[0] % 4;
    size_t key_len = bytes[1] < size - 2 ? bytes[1] : size - 2;
    const char *data = (const char *)bytes + 2 + key_len;
    struct remora_slice key = { (const char *)bytes + 2, key_len };
    size_t len = size - 2 - key_len;
    struct answer answer = answer_read(command, key, data, len);
    if (answer.kind == ANSWER_MORE || answer.kind == ANSWER_BAD)
        return 0;
    assert(answer.bytes > 0 && answer.bytes <= len);
    assert(answer.value.len == 0 || (answer.value.data >= data &&
                                     answer.value.data + answer.value.len <= data + answer.bytes));
    struct answer again = answer_read(command, key, data, answer.bytes);
    assert(again.kind == answer.kind && again.bytes == answer.bytes);
    assert(answer_read(command, key, data, answer.bytes - 1).kind == ANSWER_MORE);
    if (key_is_legal(key))
        assert(key_place(key, 7) < 7);
    return 0;
}
