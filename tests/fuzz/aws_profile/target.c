/* SPDX-License-Identifier: Apache-2.0 */
/* Files of profiles, points in time and answers of STS, of any bytes: keys that may stand in a
 * header, or words. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "plugins/shared/aws_profile.c"

#include "plugins/shared/aws_keys.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
judge_keys(const struct aws_keys *keys)
{
    assert(keys->access_key != NULL && keys->secret_key != NULL);
    assert(strpbrk(keys->access_key, "\r\n \t") == NULL);
    assert(keys->session_token == NULL || strpbrk(keys->session_token, "\r\n \t") == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char words[AWS_PROFILE_WORDS_BYTES] = "";
    struct aws_keys keys = { .access_key = NULL };
    const char *text = (const char *)data, *expiration;
    if (aws_profile_read(text, size, "default", &keys, words) == AWS_PROFILE_FOUND)
        judge_keys(&keys);
    else
        assert(*words != '\0' && keys.access_key == NULL);
    aws_keys_fini(&keys);

    cJSON *tree = cJSON_ParseWithLength(text, size);
    aws_keys_from_json(tree, &keys, &expiration);
    if (aws_keys_expire(&keys, expiration) == NULL) {
        judge_keys(&keys);
        assert(keys.session_token != NULL && keys.expires_s > 0);
    }
    aws_keys_fini(&keys);
    cJSON_Delete(tree);
    return 0;
}
