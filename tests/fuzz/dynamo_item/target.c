/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of DynamoDB, and secrets. Bytes taken for an answer are read or refused in words; taken for
 * a key, a value and an ETag, a line each, they make a question that is JSON and says them.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#define remora_call_alloc take
#include "plugins/aws/dynamo_item.c"
#define keep keep_secret
#include "plugins/aws/secret_answer.c"
#undef keep
#include "plugins/aws/json.c"
#include "plugins/shared/base64.c"
#include "plugins/shared/json_secret.c"
#include "plugins/shared/text.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *taken[SECRET_PAIRS_MAX * 2 + 10];
static size_t taken_count;

void *
take(remora_call *call, size_t bytes)
{
    (void)call;
    assert(taken_count < sizeof taken / sizeof taken[0]);
    taken[taken_count] = malloc(bytes);
    assert(taken[taken_count] != NULL);
    return taken[taken_count++];
}

static void
give_back(void)
{
    while (taken_count > 0)
        free(taken[--taken_count]);
}

static const struct item_names names = { "table", "key", "ttl" };
static const struct remora_slice any_key = { "k", 1 };

static void
read_answer(const char *text, size_t len)
{
    static const struct secret_form form = { .value = "SecretString",
                                             .prefix = "",
                                             .is_map = true };
    struct remora_state_value value = { .found = false };
    struct remora_pair *pairs;
    size_t count;
    char why[ITEM_WHY_BYTES] = "";
    cJSON *tree = json_has_nul(text, len) ? NULL : cJSON_ParseWithLength(text, len);
    if (!item_read(NULL, &names, tree, any_key, 100, &value, why))
        assert(*why != '\0' && !value.found);
    else if (value.found)
        assert(value.value.data != NULL && (!value.has_etag || value.etag.data != NULL));
    give_back();
    if (secret_read(NULL, &form, tree, &pairs, &count))
        for (size_t i = 0; i < count; i++)
            assert(pairs[i].name.data != NULL && pairs[i].value.data != NULL);
    json_secret_delete(tree);
    give_back();
}

static struct remora_slice
take_line(struct remora_slice *rest)
{
    const char *end = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);
    const struct remora_slice line = { rest->data,
                                       end == NULL ? rest->len : (size_t)(end - rest->data) };
    rest->data += line.len + (end != NULL);
    rest->len -= line.len + (end != NULL);
    return line;
}

static void
write_item(struct remora_slice rest)
{
    char why[ITEM_WHY_BYTES] = "";
    struct item_write write = { .expires_s = 200, .condition = ITEM_HAS_ETAG, .is_json = true };
    struct text out = { .bytes = NULL };
    struct remora_state_value value;
    write.key = take_line(&rest);
    write.etag = take_line(&rest);
    write.value = rest;
    if (!item_check(&names, &write, why)) {
        assert(*why != '\0');
        return;
    }
    if (!item_can_match(&write))
        write.condition = ITEM_ABSENT;
    item_put_write(&out, &names, &write, 100);
    cJSON *tree = cJSON_ParseWithLength(out.bytes, out.len);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, "Item");
    assert(item_key(&names, item) != NULL && remora_slice_eq(write.key, item_key(&names, item)));
    assert(item_read(NULL, &names, item, write.key, 100, &value, why) && value.found);
    assert(value.expires_unix_ms == 200 * 1000 && value.has_etag);
    if (write.value.len == 0 || memchr(write.value.data, '\0', write.value.len) == NULL)
        assert(value.value.len == write.value.len &&
               (write.value.len == 0 ||
                memcmp(value.value.data, write.value.data, write.value.len) == 0));
    cJSON_Delete(tree);
    free(out.bytes);
    give_back();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_answer((const char *)data, size);
    write_item((struct remora_slice){ (const char *)data, size });
    return 0;
}
