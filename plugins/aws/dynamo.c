/* SPDX-License-Identifier: Apache-2.0 */
/* A component and its operations on one item; see dynamo.h. */
#include "dynamo.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../shared/memory.h"
#include "../shared/state_ttl.h"
#include "dynamo_failure.h"

enum {
    TIMEOUT_MS = 60 * 1000,
    ITEM_ANSWER_BYTES_MAX = 4 * 1024 * 1024,    /* each byte of it may be escaped */
    BATCH_ANSWER_BYTES_MAX = 128 * 1024 * 1024, /* 16 MiB of them */
    TRANSACTION_MAX = 100,                      /* the service's */
};

static const struct service service = {
    .name = "dynamodb",
    .title = "DynamoDB",
    .target = "DynamoDB_20120810",
    .version = "1.0",
};

/* A call under way, in its memory. */
struct operation {
    remora_call *call;
    struct dynamo *dynamo;
    struct service_ask *ask;
    struct remora_slice key; /* of a get */
    bool is_write;
};

struct service_ask *
dynamo_ask(const struct dynamo *dynamo, remora_call *call, const char *operation, struct text body,
           service_done *done, void *arg)
{
    const uint64_t left = remora_call_time_left_ms(call);
    const struct service_question question = {
        .service = &service,
        .settings = &dynamo->settings,
        .operation = operation,
        .body = body,
        .answer_bytes_max = strcmp(operation, "BatchGetItem") == 0 ? BATCH_ANSWER_BYTES_MAX
                                                                   : ITEM_ANSWER_BYTES_MAX,
        .timeout_ms = left > TIMEOUT_MS ? TIMEOUT_MS : left,
    };
    return service_ask(&question, done, arg);
}

static struct operation *
operation_new(remora_call *call, void *self, struct remora_slice key, bool is_write)
{
    struct operation *operation = remora_call_alloc(call, sizeof *operation);
    *operation = (struct operation){
        .call = call, .dynamo = self, .key = key, .is_write = is_write
    };
    return operation;
}

static void
on_cancelled(remora_call *call, void *arg)
{
    struct operation *operation = arg;
    const bool may_be_done = operation->is_write && service_ask_was_sent(operation->ask);
    service_ask_end(operation->ask);
    remora_reply_failure(call, dynamo_failure_given_up(call, may_be_done));
}

static void
start(struct operation *operation, const char *name, struct text body, service_done *done)
{
    operation->ask = dynamo_ask(operation->dynamo, operation->call, name, body, done, operation);
    remora_call_on_cancel(operation->call, on_cancelled, operation); /* which may be at once */
}

/* --- reading -----------------------------------------------------------------------------------*/

static void
on_item(const struct service_reply *reply, void *arg)
{
    struct operation *operation = arg;
    remora_call *call = operation->call;
    char why[ITEM_WHY_BYTES];
    struct remora_state_value value = { .found = false };
    const struct remora_failure *failure = dynamo_failure(call, reply, false);
    if (failure != NULL) {
        remora_reply_failure(call, failure);
        return;
    }
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(reply->tree, "Item");
    if (cJSON_GetArraySize(item) == 0 ||
        item_read(call, &operation->dynamo->names, item, operation->key, time(NULL), &value, why))
        remora_state_reply_value(call, &value);
    else
        remora_reply_error(call, REMORA_INTERNAL, "%s", why);
}

static struct text
get_body(const struct dynamo *dynamo, struct remora_slice key, bool is_consistent)
{
    struct text body = { .bytes = NULL };
    json_put_raw(&body, "{\"TableName\":");
    json_put(&body, (struct remora_slice){ dynamo->names.table, strlen(dynamo->names.table) });
    json_put_raw(&body, ",\"Key\":");
    item_put_key(&body, &dynamo->names, key);
    json_put_raw(&body, is_consistent ? ",\"ConsistentRead\":true}" : "}");
    return body;
}

static void
get(remora_call *call, void *self, const struct remora_state_get *get)
{
    char why[ITEM_WHY_BYTES];
    if (!item_check_key(get->key, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        return;
    }
    start(operation_new(call, self, get->key, false), "GetItem",
          get_body(self, get->key, get->consistency == REMORA_STRONG), on_item);
}

/* --- writing -----------------------------------------------------------------------------------*/

/* Without an attribute for it the time to live is ignored, as in the reference. */
static bool
read_expiry(const struct dynamo *dynamo, const struct remora_state_set *set, int64_t now_s,
            int64_t *ret_expires_s, char ret_why[ITEM_WHY_BYTES])
{
    char why[STATE_TTL_WHY_BYTES];
    *ret_expires_s = 0;
    if (dynamo->names.ttl == NULL)
        return true;
    if (!state_ttl_check(set, why)) {
        (void)snprintf(ret_why, ITEM_WHY_BYTES, "dynamodb error: failed to parse ttlInSeconds: %s",
                       why);
        return false;
    }
    const bool expires = set->has_ttl && set->ttl_seconds > 0;
    if (expires && set->ttl_seconds > INT64_MAX / 1000 - now_s - 1) {
        (void)snprintf(ret_why, ITEM_WHY_BYTES,
                       "dynamodb error: failed to parse ttlInSeconds: it is too long");
        return false;
    }
    *ret_expires_s = expires ? now_s + set->ttl_seconds : 0;
    return true;
}

bool
dynamo_read_set(const struct dynamo *dynamo, const struct remora_state_set *set, int64_t now_s,
                struct item_write *ret_write, char ret_why[ITEM_WHY_BYTES])
{
    const bool has_etag = set->has_etag && set->etag.len > 0;
    struct item_write write = {
        .key = set->key,
        .value = set->value,
        .is_json = set->json,
        .condition = has_etag                                 ? ITEM_HAS_ETAG
                     : set->concurrency == REMORA_FIRST_WRITE ? ITEM_ABSENT
                                                              : ITEM_ANY,
        .etag = set->etag,
    };
    if (!read_expiry(dynamo, set, now_s, &write.expires_s, ret_why))
        return false;
    *ret_write = write;
    return item_check(&dynamo->names, ret_write, ret_why);
}

bool
dynamo_read_delete(const struct dynamo *dynamo, const struct remora_state_delete *del,
                   struct item_write *ret_write, char ret_why[ITEM_WHY_BYTES])
{
    *ret_write = (struct item_write){
        .is_delete = true,
        .key = del->key,
        .condition = del->has_etag && del->etag.len > 0 ? ITEM_HAS_ETAG : ITEM_ANY,
        .etag = del->etag,
    };
    return item_check(&dynamo->names, ret_write, ret_why);
}

static void
on_written(const struct service_reply *reply, void *arg)
{
    struct operation *operation = arg;
    const struct remora_failure *failure = dynamo_failure(operation->call, reply, true);
    if (failure == NULL)
        remora_reply_ok(operation->call);
    else
        remora_reply_failure(operation->call, failure);
}

static void
do_write(remora_call *call, struct dynamo *dynamo, const struct item_write *write, int64_t now_s)
{
    struct text body = { .bytes = NULL };
    if (!item_can_match(write)) {
        remora_reply_failure(call, dynamo_failure_mismatch(call));
        return;
    }
    item_put_write(&body, &dynamo->names, write, now_s);
    start(operation_new(call, dynamo, write->key, true),
          write->is_delete ? "DeleteItem" : "PutItem", body, on_written);
}

static void
set(remora_call *call, void *self, const struct remora_state_set *set)
{
    char why[ITEM_WHY_BYTES];
    struct item_write write;
    const int64_t now_s = time(NULL);
    if (dynamo_read_set(self, set, now_s, &write, why))
        do_write(call, self, &write, now_s);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
}

static void
del(remora_call *call, void *self, const struct remora_state_delete *del)
{
    char why[ITEM_WHY_BYTES];
    struct item_write write;
    if (dynamo_read_delete(self, del, &write, why))
        do_write(call, self, &write, time(NULL));
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
}

const struct remora_state_ops dynamo_ops = {
    .get = get,
    .get_many = dynamo_get_many,
    .set = set, /* several one after another, as in the reference */
    .del = del,
    .transact = dynamo_transact,
};

/* --- life --------------------------------------------------------------------------------------*/

void
dynamo_close(void *self)
{
    struct dynamo *dynamo = self;
    settings_fini(&dynamo->settings);
    free((void *)(uintptr_t)dynamo->names.table);
    free((void *)(uintptr_t)dynamo->names.key);
    free((void *)(uintptr_t)dynamo->names.ttl);
    free(dynamo);
}

static void
on_init_cancelled(remora_call *call, void *arg)
{
    struct operation *operation = arg;
    service_ask_end(operation->ask);
    dynamo_close(operation->dynamo);
    remora_reply_failure(call, dynamo_failure_given_up(call, false));
}

static void
on_probed(const struct service_reply *reply, void *arg)
{
    struct operation *operation = arg;
    struct dynamo *dynamo = operation->dynamo;
    const uint32_t capabilities = REMORA_CAP_ETAG | REMORA_CAP_TRANSACTIONAL;
    const struct remora_failure *failure = dynamo_failure(operation->call, reply, false);
    if (failure == NULL) {
        remora_reply_init(operation->call, dynamo,
                          capabilities | (dynamo->names.ttl == NULL ? 0 : REMORA_CAP_TTL),
                          TRANSACTION_MAX);
        return;
    }
    remora_reply_error(operation->call, failure->code,
                       "error validating DynamoDB table '%s' access: %s", dynamo->names.table,
                       failure->message);
    dynamo_close(dynamo);
}

static bool
is_one_of(const char *name, const char *one, const char *two, const char *three)
{
    return name != NULL &&
           (strcmp(name, one) == 0 || strcmp(name, two) == 0 || strcmp(name, three) == 0);
}

static bool
read_settings(const struct remora_config *config, struct dynamo *dynamo,
              char error[SETTINGS_ERROR_BYTES])
{
    struct reader reader = { .config = config, .why = error, .why_bytes = SETTINGS_ERROR_BYTES };
    struct item_names *names = &dynamo->names;
    names->table = settings_text(&reader, "table");
    names->key = settings_text(&reader, "partitionKey");
    names->ttl = settings_text(&reader, "ttlAttributeName");
    if (names->table == NULL)
        reader_complain(&reader, "missing dynamodb table name");
    if (names->key == NULL)
        names->key = memory_text("key");
    if (is_one_of(names->key, "value", "etag", "value"))
        reader_complain(&reader, "partitionKey is the name of another attribute");
    if (is_one_of(names->ttl, "value", "etag", names->key))
        reader_complain(&reader, "ttlAttributeName is the name of another attribute");
    settings_read(&reader, "dynamodb", &dynamo->settings);
    return !reader.failed;
}

/* The table is read once, as in the reference: who has no access to it is told at once. */
void
dynamo_init(remora_call *call, const struct remora_config *config)
{
    static const char probed[] = "dapr-test-table";
    char error[SETTINGS_ERROR_BYTES];
    struct dynamo *dynamo = memory_new(sizeof *dynamo);
    if (!read_settings(config, dynamo, error)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        dynamo_close(dynamo);
        return;
    }
    struct operation *operation = operation_new(
        call, dynamo, (struct remora_slice){ probed, sizeof probed - 1 }, false);
    operation->ask = dynamo_ask(dynamo, call, "GetItem", get_body(dynamo, operation->key, false),
                                on_probed, operation);
    remora_call_on_cancel(call, on_init_cancelled, operation);
}
