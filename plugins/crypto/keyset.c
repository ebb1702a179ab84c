/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of keys; see keyset.h. */
#include "keyset.h"

#include <string.h>

#include "base64_any.h"
#include "parse.h"

struct keyset {
    size_t count;
    struct key *keys[]; /* a reference each */
};

static bool
read_keys(struct keyset *set, const cJSON *list, struct why *why)
{
    const cJSON *item;
    struct why inner = { "" };
    cJSON_ArrayForEach(item, list)
    {
        struct key *key = jwk_read(item, &inner);
        if (key == NULL)
            return why_set(why, "failed to parse JWKS: key %zu: %s", set->count, inner.text);
        set->keys[set->count++] = key;
    }
    return true;
}

static struct keyset *
parse_json(const char *bytes, size_t len, struct why *why)
{
    struct why inner = { "" };
    cJSON *tree = json_parse(bytes, len, &inner);
    const cJSON *list = tree == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(tree, "keys");
    const int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1;
    struct keyset *set = NULL;
    if (count < 0 || count > KEYSET_KEYS_MAX) {
        (void)why_set(why, "failed to parse JWKS: %s",
                      tree == NULL ? inner.text
                      : count < 0  ? "there is no list of keys"
                                   : "there are too many keys");
    } else {
        set = memory_new(sizeof *set + (size_t)count * sizeof *set->keys);
        if (!read_keys(set, list, why)) {
            keyset_free(set);
            set = NULL;
        }
    }
    json_secret_delete(tree);
    return set;
}

struct keyset *
keyset_parse(const char *bytes, size_t len, struct why *why)
{
    if (len == 0 || len > KEYSET_BYTES_MAX) {
        (void)why_set(why, "failed to parse JWKS: it is %s", len == 0 ? "empty" : "too large");
        return NULL;
    }
    unsigned char *decoded = memory_new(base64_any_decoded_max(len));
    size_t decoded_len = 0;
    struct keyset *set = base64_any_decode(bytes, len, decoded, &decoded_len)
                             ? parse_json((const char *)decoded, decoded_len, why)
                             : parse_json(bytes, len, why);
    OPENSSL_cleanse(decoded, base64_any_decoded_max(len));
    free(decoded);
    return set;
}

void
keyset_free(struct keyset *set)
{
    for (size_t i = 0; set != NULL && i < set->count; i++)
        key_unref(set->keys[i]);
    free(set);
}

struct key *
keyset_find(const struct keyset *set, struct remora_slice id)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->keys[i]->id != NULL && remora_slice_eq(id, set->keys[i]->id))
            return set->keys[i];
    return NULL;
}

size_t
keyset_count(const struct keyset *set)
{
    return set->count;
}
