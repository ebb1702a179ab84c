/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Avro of strangers: the input is a schema, a zero byte, and data or JSON. Whatever they are, they
 * are refused in words or understood within bounds; what is made of data is JSON, and what that is
 * made of, in turn, looks the same.
 */
#include <assert.h>

#include "plugins/kafka/avro_read.c"
#include "plugins/kafka/avro_scalar.c"
#include "plugins/kafka/avro_schema.c"
#include "plugins/kafka/avro_text.c"
#include "plugins/kafka/avro_write.c"
#include "plugins/kafka/tokens.c"

enum { RESULT_BYTES_MAX = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_said(const char *why)
{
    return why[0] != '\0' && strlen(why) < AVRO_WHY_BYTES;
}

static void
check_json(struct avro_schema *schema, const struct avro_bytes *json, enum avro_json kind)
{
    struct avro_bytes again = { .max = 8 * RESULT_BYTES_MAX };
    struct avro_bytes json_again = { .max = RESULT_BYTES_MAX };
    struct tokens tokens;
    const char *words;
    char why[AVRO_WHY_BYTES] = "";
    assert(tokens_read(&tokens, json->data, json->len, &words));
    tokens_fini(&tokens);
    bool is_written = avro_from_json(schema, json->data, json->len, kind, &again, why);
    assert(is_written || is_said(why));
    if (kind == AVRO_JSON_TAGGED) {
        assert(is_written);
        assert(avro_to_json(schema, again.data, again.len, kind, &json_again, why));
        assert(json_again.len == json->len && memcmp(json_again.data, json->data, json->len) == 0);
    }
    avro_bytes_fini(&json_again);
    avro_bytes_fini(&again);
}

static void
check(struct avro_schema *schema, const char *data, size_t size, enum avro_json kind)
{
    struct avro_bytes out = { .max = RESULT_BYTES_MAX };
    char why[AVRO_WHY_BYTES] = "";
    if (avro_to_json(schema, data, size, kind, &out, why))
        check_json(schema, &out, kind);
    else
        assert(is_said(why));
    assert(out.len <= out.max);
    out.len = 0;
    out.is_full = false;
    why[0] = '\0';
    assert(avro_from_json(schema, data, size, kind, &out, why) || is_said(why));
    avro_bytes_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *data = (const char *)bytes;
    const char *zero = size == 0 ? NULL : memchr(data, '\0', size);
    size_t len = zero == NULL ? size : (size_t)(zero - data);
    char why[AVRO_WHY_BYTES] = "";
    struct avro_schema *schema = avro_schema_new(size == 0 ? "" : data, len, why);
    if (schema == NULL) {
        assert(is_said(why));
        return 0;
    }
    if (zero != NULL) {
        check(schema, zero + 1, size - len - 1, AVRO_JSON_STANDARD);
        check(schema, zero + 1, size - len - 1, AVRO_JSON_TAGGED);
    }
    avro_schema_unref(schema);
    return 0;
}
