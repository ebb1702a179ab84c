/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.aws.dynamodb: a table of DynamoDB. Plugin thread only.
 *
 * Reading order: dynamo.c is a component's life and operations on one item, dynamo_many.c the
 * others, dynamo_item.c how an item is laid out, dynamo_failure.c what refusals mean.
 */
#ifndef AWS_PLUGIN_DYNAMO_H
#define AWS_PLUGIN_DYNAMO_H

#include <remora_plugin.h>

#include "dynamo_item.h"
#include "service.h"

struct dynamo {
    struct settings settings;
    struct item_names names; /* of owned texts */
};

void dynamo_init(remora_call *call, const struct remora_config *config);
void dynamo_close(void *self);
extern const struct remora_state_ops dynamo_ops;

/* --- for dynamo_many.c -------------------------------------------------------------------------*/

/* Asks for `operation` within the call's time; `body` is moved. */
struct service_ask *
dynamo_ask(const struct dynamo *dynamo, remora_call *call, const char *operation, struct text body,
           service_done *done, void *arg);
/* False, in words: it is no write that the service takes. */
bool dynamo_read_set(const struct dynamo *dynamo, const struct remora_state_set *set, int64_t now_s,
                     struct item_write *ret_write, char ret_why[ITEM_WHY_BYTES]);
bool dynamo_read_delete(const struct dynamo *dynamo, const struct remora_state_delete *del,
                        struct item_write *ret_write, char ret_why[ITEM_WHY_BYTES]);

void dynamo_get_many(remora_call *call, void *self, const struct remora_state_get *gets,
                     size_t count, uint32_t parallelism);
void dynamo_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
                     size_t count, const struct remora_pair *metadata, size_t metadata_count);

#endif
