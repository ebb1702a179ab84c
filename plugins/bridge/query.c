/* SPDX-License-Identifier: Apache-2.0 */
/* See query.h. */
#include "query.h"

#include <cjson/cJSON.h>
#include <string.h>

#include <dapr/proto/components/v1/state.pb-c.h>

#include "remote.h"
#include "failure.h"
#include "state.h"
#include "wire.h"

typedef Dapr__Proto__Components__V1__Query query_t;
typedef Dapr__Proto__Components__V1__Query__FilterEntry filter_t;
typedef Dapr__Proto__Components__V1__Sorting sorting_t;
typedef Dapr__Proto__Components__V1__Pagination pagination_t;
typedef Dapr__Proto__Components__V1__QueryResponse response_t;
typedef Dapr__Proto__Components__V1__QueryItem item_t;

enum { FILTERS_MAX = 256, SORTINGS_MAX = 256 };

/* --- the document ------------------------------------------------------------------------------*/

static bool
pack_one_filter(remora_call *call, const cJSON *member, filter_t **ret_filter)
{
    filter_t *filter = remora_call_alloc(call, sizeof *filter);
    Google__Protobuf__Any *any = remora_call_alloc(call, sizeof *any);
    char *text = cJSON_PrintUnformatted(member);
    if (text == NULL)
        return false;
    *filter = (filter_t)DAPR__PROTO__COMPONENTS__V1__QUERY__FILTER_ENTRY__INIT;
    *any = (Google__Protobuf__Any)GOOGLE__PROTOBUF__ANY__INIT;
    any->value = wire_bytes(state_copy(call, wire_str(text)));
    filter->key = wire_text(call, wire_str(member->string));
    filter->value = any;
    cJSON_free(text);
    *ret_filter = filter;
    return true;
}

static const char *
pack_filter(remora_call *call, const cJSON *from, query_t *query)
{
    if (from == NULL || cJSON_IsNull(from))
        return NULL;
    const int count = cJSON_GetArraySize(from);
    if (!cJSON_IsObject(from) || count > FILTERS_MAX)
        return "the filter is no object, or too long";
    query->filter = remora_call_alloc(call, ((size_t)count + 1) * sizeof(filter_t *));
    for (const cJSON *member = from->child; member != NULL; member = member->next)
        if (!pack_one_filter(call, member, &query->filter[query->n_filter++]))
            return "out of memory";
    return NULL;
}

/* An order that is not known is ascending, as the reference has it. */
static const char *
pack_sort(remora_call *call, const cJSON *from, query_t *query)
{
    if (from == NULL || cJSON_IsNull(from))
        return NULL;
    const int count = cJSON_GetArraySize(from);
    if (!cJSON_IsArray(from) || count > SORTINGS_MAX)
        return "sort is no list, or too long";
    query->sort = remora_call_alloc(call, ((size_t)count + 1) * sizeof(sorting_t *));
    for (const cJSON *one = from->child; one != NULL; one = one->next) {
        const cJSON *key = cJSON_GetObjectItemCaseSensitive(one, "key");
        const cJSON *order = cJSON_GetObjectItemCaseSensitive(one, "order");
        if (!cJSON_IsString(key))
            return "a member of sort has no key";
        sorting_t *sorting = remora_call_alloc(call, sizeof *sorting);
        *sorting = (sorting_t)DAPR__PROTO__COMPONENTS__V1__SORTING__INIT;
        sorting->key = wire_text(call, wire_str(key->valuestring));
        if (cJSON_IsString(order) && strcmp(order->valuestring, "DESC") == 0)
            sorting->order = DAPR__PROTO__COMPONENTS__V1__SORTING__ORDER__DESC;
        query->sort[query->n_sort++] = sorting;
    }
    return NULL;
}

static const char *
pack_page(remora_call *call, const cJSON *from, query_t *query)
{
    pagination_t *page = remora_call_alloc(call, sizeof *page);
    *page = (pagination_t)DAPR__PROTO__COMPONENTS__V1__PAGINATION__INIT;
    query->pagination = page;
    if (from == NULL || cJSON_IsNull(from))
        return NULL;
    const cJSON *limit = cJSON_GetObjectItemCaseSensitive(from, "limit");
    const cJSON *token = cJSON_GetObjectItemCaseSensitive(from, "token");
    if ((limit != NULL && !cJSON_IsNumber(limit)) || (token != NULL && !cJSON_IsString(token)))
        return "page has a limit that is no number, or a token that is no text";
    if (limit != NULL && limit->valuedouble > 0 && limit->valuedouble < INT32_MAX)
        page->limit = (int64_t)limit->valuedouble;
    if (token != NULL)
        page->token = wire_text(call, wire_str(token->valuestring));
    return NULL;
}

/* NULL, or what is wrong with it. */
static const char *
pack_query(remora_call *call, struct remora_slice text, query_t *query)
{
    cJSON *document = cJSON_ParseWithLength(text.data, text.len);
    const char *why = cJSON_IsObject(document) ? NULL : "it is no JSON object";
    if (why == NULL)
        why = pack_filter(call, cJSON_GetObjectItemCaseSensitive(document, "filter"), query);
    if (why == NULL)
        why = pack_sort(call, cJSON_GetObjectItemCaseSensitive(document, "sort"), query);
    if (why == NULL)
        why = pack_page(call, cJSON_GetObjectItemCaseSensitive(document, "page"), query);
    cJSON_Delete(document);
    return why;
}

/* --- the answer --------------------------------------------------------------------------------*/

static struct remora_state_value
value_of(remora_call *call, const item_t *item)
{
    struct remora_state_value value = {
        .found = true,
        .has_etag = item->etag != NULL,
        .etag = wire_str(item->etag == NULL ? "" : item->etag->value),
        .value = { .data = item->data.data, .len = item->data.len },
        .key = wire_str(item->key),
    };
    if (item->error[0] != '\0') {
        struct remora_failure *failure = remora_call_alloc(call, sizeof *failure);
        *failure = (struct remora_failure){ .code = REMORA_INTERNAL, .message = item->error };
        value.failure = failure;
    }
    return value;
}

static void
on_found(struct ask *ask, void *reply, const struct rpc_end *end)
{
    const response_t *in = reply;
    const struct remora_slice *prefix = ask->arg;
    if (in == NULL) {
        const struct remora_failure failure = failure_of(ask->call, end);
        remora_reply_failure(ask->call, &failure);
        return;
    }
    struct remora_state_value *values = remora_call_alloc(ask->call,
                                                          (in->n_items + 1) * sizeof *values);
    size_t count = 0;
    for (size_t i = 0; i < in->n_items; i++)
        if (strncmp(in->items[i]->key, prefix->data, prefix->len) == 0)
            values[count++] = value_of(ask->call, in->items[i]);
    remora_state_reply_query(ask->call, values, count, wire_str(in->token));
}

void
state_query(remora_call *call, void *self, struct remora_slice query,
            struct remora_slice key_prefix, const struct remora_pair *metadata,
            size_t metadata_count)
{
    Dapr__Proto__Components__V1__QueryRequest request =
        DAPR__PROTO__COMPONENTS__V1__QUERY_REQUEST__INIT;
    query_t packed = DAPR__PROTO__COMPONENTS__V1__QUERY__INIT;
    struct remora_slice *prefix = remora_call_alloc(call, sizeof *prefix);
    *prefix = state_copy(call, key_prefix);
    const char *why = pack_query(call, query, &packed);
    if (why != NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "the query cannot be read: %s", why);
        return;
    }
    request.query = &packed;
    request.n_metadata = metadata_count;
    request.metadata = wire_map(
        call, metadata, metadata_count,
        &dapr__proto__components__v1__query_request__metadata_entry__descriptor);
    const struct ask ask = {
        .remote = self,
        .call = call,
        .method = "/" BRIDGE_PACKAGE "QueriableStateStore/Query",
        .request = &request.base,
        .reply = &dapr__proto__components__v1__query_response__descriptor,
        .answer = on_found,
        .arg = prefix,
    };
    ask_remote(&ask);
}
