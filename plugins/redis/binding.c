/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys, written and read; see binding.h. Each operation is one command, or one script where a time
 * to live has to come about with what it is for.
 */
#include "binding.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../shared/ttl.h"
#include "client.h"
#include "failure.h"

enum { NUMBER_BYTES = 24, WHY_BYTES = 256 };

static const char increment_script[] = "local number = redis.call('INCR', KEYS[1])\n"
                                       "redis.call('PEXPIRE', KEYS[1], ARGV[1])\n"
                                       "return number\n";

struct invoking {
    struct client *client;
    remora_call *call;
    struct remora_slice key;
    bool is_write;
};

static struct remora_slice
text(const char *literal)
{
    return (struct remora_slice){ literal, strlen(literal) };
}

/* Values are strings and there is nothing to say of writing one; a key that is not there is an
 * answer without a byte. */
static void
on_done(const struct conn_result *result, void *arg)
{
    const struct invoking *invoking = arg;
    const struct resp_value *value = result->value;
    if (value == NULL && !result->sent) { /* it has waited: once is enough */
        remora_reply_error(invoking->call, REMORA_UNAVAILABLE, "%s", result->why);
        return;
    }
    if (client_failed(invoking->client, invoking->call, result, invoking->is_write) ||
        value == NULL)
        return;
    struct remora_bytes data = { "", 0, NULL, NULL };
    switch (value->type) {
    case RESP_STRING:
        data.data = value->text.data;
        data.len = value->text.len;
        break;
    case RESP_NIL:
        break;
    case RESP_STATUS:
    case RESP_INTEGER:
        remora_reply_ok(invoking->call);
        return;
    case RESP_ERROR:
    case RESP_BOOLEAN:
    case RESP_NUMBER:
    case RESP_ARRAY:
    case RESP_MAP:
    case RESP_PUSH:
        remora_reply_error(invoking->call, REMORA_INTERNAL, "redis answered with something else");
        return;
    }
    remora_binding_reply(invoking->call, data, NULL, 0, NULL);
}

static void
run(const struct invoking *wanted, const struct remora_slice *args, size_t count)
{
    struct invoking *invoking = remora_call_alloc(wanted->call, sizeof *invoking);
    *invoking = *wanted;
    client_command(invoking->client, invoking->call, invoking->key, args, count, on_done, invoking);
}

static void
get(struct client *client, remora_call *call, const struct remora_binding_request *request,
    struct remora_slice key)
{
    struct remora_slice text_of_delete;
    bool deletes = remora_metadata_get(request->metadata, request->metadata_count, "delete",
                                       &text_of_delete) &&
                   remora_slice_eq(text_of_delete, "true");
    run(&(struct invoking){ client, call, key, deletes },
        (struct remora_slice[]){ text(deletes ? "GETDEL" : "GET"), key }, 2);
}

/* False: the call has been answered. *ret is empty where there is no time to live. */
static bool
take_ttl(remora_call *call, const struct remora_binding_request *request, char ret[NUMBER_BYTES])
{
    char why[WHY_BYTES];
    int64_t ttl_ms;
    ret[0] = '\0';
    if (!ttl_of(request->metadata, request->metadata_count, &ttl_ms, why, sizeof why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        return false;
    }
    if (ttl_ms == 0) { /* the server would take it for no wish at all, or refuse it */
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "ttl value must be higher than zero");
        return false;
    }
    if (ttl_ms > 0)
        (void)snprintf(ret, NUMBER_BYTES, "%" PRId64, ttl_ms);
    return true;
}

static void
create(struct client *client, remora_call *call, const struct remora_binding_request *request,
       struct remora_slice key)
{
    char ttl[NUMBER_BYTES];
    if (!take_ttl(call, request, ttl))
        return;
    const struct remora_slice args[] = { text("SET"), key, request->data, text("PX"), text(ttl) };
    run(&(struct invoking){ client, call, key, true }, args, ttl[0] == '\0' ? 3 : 5);
}

static void
increment(struct client *client, remora_call *call, const struct remora_binding_request *request,
          struct remora_slice key)
{
    char ttl[NUMBER_BYTES];
    if (!take_ttl(call, request, ttl))
        return;
    if (ttl[0] == '\0')
        run(&(struct invoking){ client, call, key, true },
            (struct remora_slice[]){ text("INCR"), key }, 2);
    else
        run(&(struct invoking){ client, call, key, true },
            (struct remora_slice[]){ text("EVAL"), text(increment_script), text("1"), key,
                                     text(ttl) },
            5);
}

static void
invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    struct remora_slice key;
    if (!remora_metadata_get(request->metadata, request->metadata_count, "key", &key) ||
        key.len == 0)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "redis binding: missing key in request metadata");
    else if (remora_slice_eq(request->operation, "create"))
        create(self, call, request, key);
    else if (remora_slice_eq(request->operation, "get"))
        get(self, call, request, key);
    else if (remora_slice_eq(request->operation, "increment"))
        increment(self, call, request, key);
    else
        run(&(struct invoking){ self, call, key, true },
            (struct remora_slice[]){ text("DEL"), key }, 2);
}

const struct remora_binding_ops redis_binding_ops = {
    .operations = "create,delete,get,increment",
    .invoke = invoke,
};

void
redis_binding_init(remora_call *call, const struct remora_config *config)
{
    static const struct client_kind kind = { .shown = "redis binding",
                                             .fault = "redis binding: error connecting to redis",
                                             .capabilities = REMORA_CAP_OUTPUT_BINDING };
    client_init(call, config, &kind);
}
