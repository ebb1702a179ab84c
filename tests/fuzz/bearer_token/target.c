/* SPDX-License-Identifier: Apache-2.0 */
/* A set of keys, a line, and a token: nothing that is not signed by one of them is good, and a set
 * of the fuzzer's own making has no private keys to sign with. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plugins/bearer/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct token_expectation expected = {
        .issuer = "i", .audience = "a", .now_s = 1000000, .skew_s = 300
    };
    const char *text = (const char *)data;
    const char *end = size > 0 ? memchr(text, '\n', size) : NULL;
    if (end == NULL)
        return 0;
    json_t *keys = token_keys_parse(text, (size_t)(end - text));
    struct remora_slice token = { end + 1, size - (size_t)(end - text) - 1 };
    if (keys != NULL) {
        enum token_verdict verdict = token_judge(keys, token, &expected);
        assert(verdict == TOKEN_GOOD || verdict == TOKEN_BAD || verdict == TOKEN_KEY_UNKNOWN);
    }
    json_decref(keys);
    return 0;
}
