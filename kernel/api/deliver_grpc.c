/* SPDX-License-Identifier: Apache-2.0 */
/* Events for gRPC applications; see deliver_grpc.h. */
#include "api/deliver_grpc.h"

#include <stdlib.h>

#include "api/deliver_headers.h"
#include "app/grpc_app.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pb.h"
#include "base/wire.h"
#include "dapr/proto/runtime/v1/appcallback.pb-c.h"

#define SCOPE "dapr.runtime.processor.subscription"

enum { NUMBER_CHARS_MAX = 64, DEPTH_MAX = 32 };

typedef Dapr__Proto__Runtime__V1__TopicEventRequest event_t;
typedef Google__Protobuf__Value value_t;

/* --- data --------------------------------------------------------------------------------------*/

struct slice
deliver_data_of(struct arena *arena, const struct cloudevent *event)
{
    struct slice encoded = cloudevent_text(event, SLICE("data_base64"));
    struct slice raw = cloudevent_raw(event, SLICE("data")), text;
    if (encoded.data != NULL)
        return base64_decode_arena(arena, encoded, &text) ? text : SLICE_EMPTY;
    if (raw.data == NULL)
        return SLICE_EMPTY;
    text = cloudevent_text(event, SLICE("data"));
    bool is_json = cloudevent_is_json(cloudevent_text(event, SLICE("datacontenttype")));
    return text.data != NULL && !is_json ? text : raw;
}

/* --- extensions --------------------------------------------------------------------------------*/

static value_t *read_value(struct arena *arena, struct json *json, unsigned depth);

static Google__Protobuf__Struct *
struct_new(struct arena *arena, size_t room)
{
    Google__Protobuf__Struct *made = ARENA_NEW(arena, Google__Protobuf__Struct);
    google__protobuf__struct__init(made);
    made->fields = ARENA_ARRAY(arena, Google__Protobuf__Struct__FieldsEntry *, room + 1);
    return made;
}

static void
struct_add(struct arena *arena, Google__Protobuf__Struct *to, struct slice name, value_t *value)
{
    Google__Protobuf__Struct__FieldsEntry *entry = ARENA_NEW(arena,
                                                             Google__Protobuf__Struct__FieldsEntry);
    google__protobuf__struct__fields_entry__init(entry);
    entry->key = pb_string(arena, name);
    entry->value = value;
    to->fields[to->n_fields++] = entry;
}

/* How many members or elements; the cursor stays where it is. */
static size_t
count_of(struct arena *arena, struct json json)
{
    struct slice name, raw;
    size_t count = 0;
    bool is_list = json_peek(&json) == JSON_ARRAY;
    json_enter(&json);
    while (is_list ? json_array_next(&json) : json_object_next(&json, arena, &name)) {
        if (!json_skip(&json, &raw))
            break;
        count++;
    }
    return count;
}

static void
read_object(struct arena *arena, struct json *json, unsigned depth, value_t *value)
{
    struct slice name;
    value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    value->struct_value = struct_new(arena, count_of(arena, *json));
    json_enter(json);
    while (json_object_next(json, arena, &name))
        struct_add(arena, value->struct_value, name, read_value(arena, json, depth));
}

static void
read_array(struct arena *arena, struct json *json, unsigned depth, value_t *value)
{
    Google__Protobuf__ListValue *list = ARENA_NEW(arena, Google__Protobuf__ListValue);
    google__protobuf__list_value__init(list);
    list->values = ARENA_ARRAY(arena, value_t *, count_of(arena, *json) + 1);
    json_enter(json);
    while (json_array_next(json))
        list->values[list->n_values++] = read_value(arena, json, depth);
    value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
    value->list_value = list;
}

static double
number_of(struct slice raw)
{
    char text[NUMBER_CHARS_MAX + 1];
    size_t len = raw.len < NUMBER_CHARS_MAX ? raw.len : NUMBER_CHARS_MAX;
    memcpy(text, raw.data, len);
    text[len] = '\0';
    return strtod(text, NULL);
}

/* What is nested too deeply becomes null. */
static value_t *
read_value(struct arena *arena, struct json *json, unsigned depth)
{
    value_t *value = ARENA_NEW(arena, value_t);
    struct slice raw = SLICE_EMPTY;
    google__protobuf__value__init(value);
    value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
    enum json_type type = depth == 0 ? JSON_NONE : json_peek(json);
    if (type == JSON_OBJECT) {
        read_object(arena, json, depth - 1, value);
    } else if (type == JSON_ARRAY) {
        read_array(arena, json, depth - 1, value);
    } else if (type == JSON_STRING) {
        if (json_string(json, arena, &raw)) {
            value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
            value->string_value = pb_string(arena, raw);
        }
    } else if (json_skip(json, &raw) && (type == JSON_NUMBER || type == JSON_BOOL)) {
        value->kind_case = type == JSON_NUMBER ? GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE
                                               : GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        if (type == JSON_NUMBER)
            value->number_value = number_of(raw);
        else
            value->bool_value = slice_eq(raw, SLICE("true"));
    }
    return value;
}

/* All attributes that have no field of their own. */
Google__Protobuf__Struct *
deliver_extensions_of(struct arena *arena, const struct cloudevent *event)
{
    static const char *const own[] = { "id",          "source",          "type",
                                       "specversion", "datacontenttype", "data",
                                       "data_base64" };
    Google__Protobuf__Struct *made = struct_new(arena, event->count);
    for (size_t i = 0; i < event->count; i++) {
        bool is_own = false;
        for (size_t j = 0; j < ARRAY_LEN(own) && !is_own; j++)
            is_own = slice_eq(event->members[i].name, slice_str(own[j]));
        if (is_own)
            continue;
        struct json json;
        json_init(&json, event->members[i].raw);
        struct_add(arena, made, event->members[i].name, read_value(arena, &json, DEPTH_MAX));
    }
    return made;
}

/* --- the call ----------------------------------------------------------------------------------*/

char *
deliver_text_of(struct arena *arena, const struct cloudevent *event, struct slice name)
{
    struct slice text = cloudevent_text(event, name);
    return pb_string(arena, text.data == NULL ? SLICE_EMPTY : text);
}

struct slice
deliver_grpc_pack(struct arena *arena, const struct topic_spec *spec,
                  const struct cloudevent *event, struct slice path)
{
    struct slice data = deliver_data_of(arena, event);
    event_t out = DAPR__PROTO__RUNTIME__V1__TOPIC_EVENT_REQUEST__INIT;
    out.id = deliver_text_of(arena, event, SLICE("id"));
    out.source = deliver_text_of(arena, event, SLICE("source"));
    out.type = deliver_text_of(arena, event, SLICE("type"));
    out.spec_version = deliver_text_of(arena, event, SLICE("specversion"));
    out.data_content_type = deliver_text_of(arena, event, SLICE("datacontenttype"));
    out.data.data = (uint8_t *)(uintptr_t)data.data; /* is only read */
    out.data.len = data.len;
    out.topic = pb_string(arena, spec->topic);
    out.pubsub_name = pb_string(arena, spec->pubsub);
    out.path = pb_string(arena, path);
    out.extensions = deliver_extensions_of(arena, event);
    return pb_pack(arena, &out.base);
}

/* TopicEventResponse { status = 1 }; an empty one is success. */
enum verdict
deliver_verdict_of_grpc(struct slice response, struct slice id)
{
    struct wire_reader r = wire_reader(response);
    struct wire_field f;
    uint64_t status = 0;
    while (wire_next(&r, &f))
        if (f.field == 1)
            status = wire_number(&r, &f);
    if (status == 0 && !r.is_bad)
        return VERDICT_SUCCESS;
    if (status == 2)
        log_warn(SCOPE, "DROP status returned from app while processing pub/sub event " SLICE_FMT,
                 SLICE_ARG(id));
    else
        log_error(SCOPE, "RETRY status returned from app while processing pub/sub event " SLICE_FMT,
                  SLICE_ARG(id));
    return status == 2 ? VERDICT_DROP : VERDICT_RETRY;
}

err_t
deliver_grpc(struct request *rq, const struct topic_spec *spec,
             const struct pubsub_message *message, const struct cloudevent *event,
             struct slice path, enum verdict *ret_verdict, enum grpc_code *ret_code)
{
    struct app_channel *channel = &kernel_worker_of(rq->task)->app;
    struct http_header metadata[DELIVER_HEADERS_MAX];
    struct grpc_answer answer;
    struct slice id = cloudevent_text(event, SLICE("id"));
    size_t count = deliver_headers(rq, spec, message, event, true, metadata);
    if (slice_eq(path, SLICE("/")))
        path = SLICE_EMPTY;
    err_t err = app_enter(rq->task, channel); /* suspends */
    if (err != OK)
        return err;
    err = app_grpc_topic_event(rq->task, channel, deliver_grpc_pack(rq->arena, spec, event, path),
                               metadata, count, &answer); /* suspends */
    app_leave(channel);
    *ret_code = answer.code;
    *ret_verdict = VERDICT_RETRY;
    if (err != OK)
        return err;
    if (answer.code == GRPC_OK)
        *ret_verdict = deliver_verdict_of_grpc(answer.message, id);
    else if (answer.code == GRPC_UNIMPLEMENTED)
        *ret_verdict = VERDICT_DROP; /* nobody there wants it, today or tomorrow */
    if (answer.code != GRPC_OK)
        log_warn(SCOPE,
                 "non-success returned from app while processing pub/sub event " SLICE_FMT
                 ": rpc error: code = %s desc = " SLICE_FMT,
                 SLICE_ARG(id), grpc_code_name(answer.code), SLICE_ARG(answer.text));
    return OK;
}
