/* SPDX-License-Identifier: Apache-2.0 */
/* Items to JSON and back; see dynamo_item.h. */
#include "dynamo_item.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../shared/base64.h"
#include "json.h"

enum { NUMBER_BYTES = 24 };

/* --- checks ------------------------------------------------------------------------------------*/

/* Bytes of the character there; 0: it is none. */
static size_t
character(const unsigned char *p, size_t left)
{
    const unsigned char c = p[0];
    const size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    const bool is_overlong = (c == 0xe0 && p[1] < 0xa0) || (c == 0xf0 && p[1] < 0x90);
    const bool is_surrogate = c == 0xed && p[1] > 0x9f, is_beyond = c == 0xf4 && p[1] > 0x8f;
    return is_overlong || is_surrogate || is_beyond ? 0 : len;
}

bool
item_is_utf8(struct remora_slice text)
{
    for (size_t at = 0; at < text.len;) {
        const size_t len = character((const unsigned char *)text.data + at, text.len - at);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

bool
item_check_key(struct remora_slice key, char ret_why[ITEM_WHY_BYTES])
{
    if (key.len == 0 || key.len > ITEM_KEY_BYTES_MAX) {
        (void)snprintf(ret_why, ITEM_WHY_BYTES,
                       "dynamodb error: a key has 1 to %d bytes, with the prefix, not %zu",
                       ITEM_KEY_BYTES_MAX, key.len);
        return false;
    }
    if (memchr(key.data, '\0', key.len) != NULL || !item_is_utf8(key)) {
        (void)snprintf(ret_why, ITEM_WHY_BYTES,
                       "dynamodb error: a key is a text in UTF-8 without a NUL");
        return false;
    }
    return true;
}

size_t
item_bytes(const struct item_names *names, const struct item_write *write)
{
    const size_t key_bytes = strlen(names->key) + write->key.len;
    const size_t ttl_bytes = write->expires_s == 0 ? 0 : strlen(names->ttl) + NUMBER_BYTES / 2;
    return write->is_delete ? key_bytes
                            : key_bytes + ttl_bytes + strlen("value") + write->value.len +
                                  strlen("etag") + ITEM_ETAG_BYTES - 1;
}

bool
item_check(const struct item_names *names, const struct item_write *write,
           char ret_why[ITEM_WHY_BYTES])
{
    const size_t bytes = item_bytes(names, write);
    if (!item_check_key(write->key, ret_why))
        return false;
    if (bytes > ITEM_BYTES_MAX)
        (void)snprintf(ret_why, ITEM_WHY_BYTES,
                       "dynamodb error: Item size has exceeded the maximum allowed size: it has "
                       "%zu bytes, with its key, DynamoDB takes %d",
                       bytes, ITEM_BYTES_MAX);
    return bytes <= ITEM_BYTES_MAX;
}

bool
item_can_match(const struct item_write *write)
{
    return write->condition != ITEM_HAS_ETAG ||
           (write->etag.len <= ITEM_BYTES_MAX && item_is_utf8(write->etag));
}

/* --- out ---------------------------------------------------------------------------------------*/

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static void
put_name(struct text *out, const char *name)
{
    json_put(out, slice_of(name));
    json_put_raw(out, ":");
}

static void
put_text(struct text *out, struct remora_slice text)
{
    json_put_raw(out, "{\"S\":");
    json_put(out, text);
    json_put_raw(out, "}");
}

static void
put_number(struct text *out, int64_t number)
{
    char digits[NUMBER_BYTES];
    (void)snprintf(digits, sizeof digits, "%" PRId64, number);
    json_put_raw(out, "{\"N\":");
    json_put(out, slice_of(digits));
    json_put_raw(out, "}");
}

static void
put_bytes(struct text *out, struct remora_slice bytes)
{
    const size_t len = base64_encoded_len(bytes.len);
    char *encoded = malloc(len + 1);
    if (encoded == NULL)
        abort();
    base64_encode(bytes.data, bytes.len, encoded);
    json_put_raw(out, "{\"B\":\"");
    text_put(out, encoded, len);
    json_put_raw(out, "\"}");
    free(encoded);
}

void
item_put_key(struct text *out, const struct item_names *names, struct remora_slice key)
{
    json_put_raw(out, "{");
    put_name(out, names->key);
    put_text(out, key);
    json_put_raw(out, "}");
}

static void
put_new_etag(struct text *out)
{
    char etag[ITEM_ETAG_BYTES];
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        abort();
    (void)snprintf(etag, sizeof etag, "%" PRIx64, random);
    put_text(out, slice_of(etag));
}

static void
put_item(struct text *out, const struct item_names *names, const struct item_write *write)
{
    json_put_raw(out, "{");
    put_name(out, names->key);
    put_text(out, write->key);
    json_put_raw(out, ",\"value\":");
    /* A text is UTF-8 there. */
    if (write->is_json && item_is_utf8(write->value))
        put_text(out, write->value);
    else
        put_bytes(out, write->value);
    json_put_raw(out, ",\"etag\":");
    put_new_etag(out);
    if (write->expires_s != 0) {
        json_put_raw(out, ",");
        put_name(out, names->ttl);
        put_number(out, write->expires_s);
    }
    json_put_raw(out, "}");
}

/* What has expired and has not been removed yet is not there. */
static void
put_condition(struct text *out, const struct item_names *names, const struct item_write *write,
              int64_t now_s)
{
    const bool has_etag = write->condition == ITEM_HAS_ETAG, expires = names->ttl != NULL;
    json_put_raw(out, ",\"ConditionExpression\":\"");
    json_put_raw(out, has_etag ? "etag = :etag" : "attribute_not_exists(etag)");
    if (expires)
        json_put_raw(out, has_etag ? " AND (attribute_not_exists(#ttl) OR #ttl > :now)"
                                   : " OR #ttl <= :now");
    json_put_raw(out, "\"");
    if (expires) {
        json_put_raw(out, ",\"ExpressionAttributeNames\":{\"#ttl\":");
        json_put(out, slice_of(names->ttl));
        json_put_raw(out, "}");
    }
    if (!has_etag && !expires)
        return;
    json_put_raw(out, ",\"ExpressionAttributeValues\":{");
    if (has_etag) {
        json_put_raw(out, "\":etag\":");
        put_text(out, write->etag);
    }
    if (expires) {
        json_put_raw(out, has_etag ? ",\":now\":" : "\":now\":");
        put_number(out, now_s);
    }
    json_put_raw(out, "}");
}

void
item_put_write(struct text *out, const struct item_names *names, const struct item_write *write,
               int64_t now_s)
{
    json_put_raw(out, "{\"TableName\":");
    json_put(out, slice_of(names->table));
    json_put_raw(out, write->is_delete ? ",\"Key\":" : ",\"Item\":");
    if (write->is_delete)
        item_put_key(out, names, write->key);
    else
        put_item(out, names, write);
    if (write->condition != ITEM_ANY)
        put_condition(out, names, write, now_s);
    json_put_raw(out, "}");
}

/* --- in ----------------------------------------------------------------------------------------*/

static struct remora_slice
keep(remora_call *call, const char *text)
{
    const size_t len = strlen(text);
    char *copy = remora_call_alloc(call, len + 1);
    memcpy(copy, text, len + 1);
    return (struct remora_slice){ copy, len };
}

static bool
read_value(remora_call *call, const cJSON *value, struct remora_bytes *ret_value)
{
    const char *text = json_text(value, "S"), *encoded = json_text(value, "B");
    if (value == NULL || cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(value, "NULL"))) {
        *ret_value = (struct remora_bytes){ .data = "" };
    } else if (text != NULL) {
        const struct remora_slice kept = keep(call, text);
        *ret_value = (struct remora_bytes){ .data = kept.data, .len = kept.len };
    } else if (encoded != NULL) {
        size_t len = strlen(encoded);
        char *bytes = remora_call_alloc(call, len + 1);
        if (!base64_decode(encoded, len, bytes, &len))
            return false;
        *ret_value = (struct remora_bytes){ .data = bytes, .len = len };
    } else {
        return false;
    }
    return true;
}

/* 0: never. False: it is no number of seconds. */
static bool
read_expiry(const struct item_names *names, const cJSON *item, int64_t *ret_seconds)
{
    const cJSON *ttl = names->ttl == NULL ? NULL
                                          : cJSON_GetObjectItemCaseSensitive(item, names->ttl);
    const char *number = json_text(ttl, "N");
    *ret_seconds = 0;
    return ttl == NULL || (number != NULL && remora_parse_i64(slice_of(number), ret_seconds) &&
                           *ret_seconds < INT64_MAX / 1000);
}

bool
item_read(remora_call *call, const struct item_names *names, const cJSON *item,
          struct remora_slice key, int64_t now_s, struct remora_state_value *ret_value,
          char ret_why[ITEM_WHY_BYTES])
{
    const cJSON *etag = cJSON_GetObjectItemCaseSensitive(item, "etag");
    const char *etag_text = json_text(etag, "S");
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "value");
    struct remora_state_value found = { .found = true, .has_etag = etag_text != NULL };
    int64_t expires_s;
    const bool has_expiry = read_expiry(names, item, &expires_s);
    const bool is_good = has_expiry && (etag == NULL || etag_text != NULL) &&
                         read_value(call, value, &found.value);
    if (!is_good) {
        (void)snprintf(ret_why, ITEM_WHY_BYTES,
                       "dynamodb error: failed to unmarshal value for key %.*s: %s is of no kind "
                       "that is known",
                       (int)(key.len < 200 ? key.len : 200), key.data,
                       !has_expiry                         ? names->ttl
                       : etag != NULL && etag_text == NULL ? "etag"
                                                           : "value");
        return false;
    }
    if (found.has_etag)
        found.etag = keep(call, etag_text);
    found.expires_unix_ms = expires_s > 0 ? expires_s * 1000 : 0;
    const bool has_expired = names->ttl != NULL && expires_s != 0 && expires_s <= now_s;
    if (has_expired)
        found = (struct remora_state_value){ .found = false };
    *ret_value = found;
    return true;
}

const char *
item_key(const struct item_names *names, const cJSON *item)
{
    return json_text(cJSON_GetObjectItemCaseSensitive(item, names->key), "S");
}
