/* SPDX-License-Identifier: Apache-2.0 */
/* The secrets file of local-secrets: whatever it holds is refused with words or becomes a sorted
 * set within its bounds, in which every secret is found. The first byte chooses the form. */
#include "plugins/local-secrets/secrets.c"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const separators[] = { ":", "", ".", "::" };
    char error[SECRETS_ERROR_BYTES] = "";
    if (size == 0)
        return 0;
    const struct secrets_form form = { .separator = separators[data[0] & 3],
                                       .is_multi_valued = (data[0] & 4) != 0 };
    struct secrets *secrets = secrets_parse((const char *)data + 1, size - 1, &form, error);
    if (secrets == NULL) {
        assert(error[0] != '\0');
        return 0;
    }
    assert(secrets->pair_count <= SECRETS_COUNT_MAX);
    for (size_t i = 0; i < secrets->count; i++) {
        const struct remora_secret *secret = &secrets->items[i];
        assert(secret->pair_count > 0);
        assert(secrets_find(secrets, secret->name) == secret);
        if (i > 0)
            assert(compare(secrets->items[i - 1].name, secret->name) < 0);
        for (size_t p = 1; p < secret->pair_count; p++)
            assert(compare(secret->pairs[p - 1].name, secret->pairs[p].name) < 0);
    }
    secrets_free(secrets);
    return 0;
}
