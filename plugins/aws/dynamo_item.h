/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of a DynamoDB table as the reference lays them out: the key, `value` (a text if it is JSON,
 * or else bytes), `etag` (a text), and when it expires, in seconds since 1970. Pure.
 */
#ifndef AWS_PLUGIN_DYNAMO_ITEM_H
#define AWS_PLUGIN_DYNAMO_ITEM_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

#include "../shared/text.h"

enum {
    ITEM_KEY_BYTES_MAX = 2048,
    ITEM_BYTES_MAX = 400 * 1024, /* both are the service's */
    ITEM_ETAG_BYTES = 17,
    ITEM_WHY_BYTES = 400,
};

/* Names of a table's attributes, borrowed. */
struct item_names {
    const char *table, *key;
    const char *ttl; /* NULL: items do not expire */
};

enum item_condition {
    ITEM_ANY,
    ITEM_HAS_ETAG, /* it is there, with that one */
    ITEM_ABSENT,   /* or has expired */
};

/* What is to become of an item. */
struct item_write {
    bool is_delete;
    struct remora_slice key, value;
    bool is_json;
    int64_t expires_s; /* 0: never, as it must be without an attribute for it */
    enum item_condition condition;
    struct remora_slice etag; /* of the condition */
};

/* False, in words: it cannot be a key, or the value and it are too long for the service. */
bool item_check_key(struct remora_slice key, char ret_why[ITEM_WHY_BYTES]);
bool item_check(const struct item_names *names, const struct item_write *write,
                char ret_why[ITEM_WHY_BYTES]);
/* False: its ETag is none that an item can have. */
bool item_can_match(const struct item_write *write);
/* As the service counts; not more than that by much. */
size_t item_bytes(const struct item_names *names, const struct item_write *write);

/* {"TableName":…,"Item":… or "Key":…, and the condition}; a new ETag in it. */
void item_put_write(struct text *out, const struct item_names *names,
                    const struct item_write *write, int64_t now_s);
/* {"key":{"S":…}} */
void item_put_key(struct text *out, const struct item_names *names, struct remora_slice key);

/* In the call's memory; an item that has expired is none. False, in words: it is none of ours. */
bool item_read(remora_call *call, const struct item_names *names, const cJSON *item,
               struct remora_slice key, int64_t now_s, struct remora_state_value *ret_value,
               char ret_why[ITEM_WHY_BYTES]);
/* The text of the key; NULL: it has none. */
const char *item_key(const struct item_names *names, const cJSON *item);

bool item_is_utf8(struct remora_slice text);

#endif
