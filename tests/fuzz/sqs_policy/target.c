/* SPDX-License-Identifier: Apache-2.0 */
/* The policy of a queue, as anybody may have written it: a topic is added once and for all. */
#include <assert.h>
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/aws/policy.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *allowed = NULL, *again = NULL;
    memcpy(text, data, size);
    text[size] = '\0';
    if (policy_allow(text, "arn:q", "arn:t", &allowed) && allowed != NULL) {
        assert(policy_allow(allowed, "arn:q", "arn:t", &again) && again == NULL);
        assert(strstr(allowed, "\"arn:t\"") != NULL);
    }
    free(allowed);
    free(text);
    return 0;
}
