/* SPDX-License-Identifier: Apache-2.0 */
/* Messages from the server; what anybody may have published is bounded here. */
#include "delivery.h"

#include <inttypes.h>
#include <stdio.h>

#include "../shared/escape.h"
#include "bounds.h"

#define NAME_PREFIX "metadata."

enum { PROPERTIES = 4, NUMBER_BYTES = 40, BODY_FIRST_BYTES = 1024 * 1024 };

/* --- properties --------------------------------------------------------------------------------*/

struct shown {
    struct remora_pair pairs[PROPERTIES + HEADERS_MAX];
    size_t count;
    char *at, *end;
};

static bool
put(struct shown *shown, struct remora_slice *ret, const char *prefix, const void *data, size_t len)
{
    size_t before = strlen(prefix);
    if ((size_t)(shown->end - shown->at) < before + len)
        return false;
    *ret = (struct remora_slice){ shown->at, before + len };
    memcpy(shown->at, prefix, before);
    if (len > 0)
        memcpy(shown->at + before, data, len);
    shown->at += before + len;
    return true;
}

/* What does not fit is left out. */
static void
show(struct shown *shown, const void *name, size_t name_len, const void *value, size_t len)
{
    struct remora_pair *pair = &shown->pairs[shown->count];
    if (shown->count < PROPERTIES + HEADERS_MAX &&
        put(shown, &pair->name, NAME_PREFIX, name, name_len) &&
        put(shown, &pair->value, "", value, len))
        shown->count++;
}

static void
show_property(struct shown *shown, const char *name, bool is_set, amqp_bytes_t value)
{
    if (is_set && value.len > 0)
        show(shown, name, strlen(name), value.bytes, value.len);
}

/* Tables and lists are no text and are left out. */
static void
show_header(struct shown *shown, const amqp_table_entry_t *entry)
{
    char number[NUMBER_BYTES];
    const amqp_field_value_t *value = &entry->value;
    switch (value->kind) {
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        show(shown, entry->key.bytes, entry->key.len, value->value.bytes.bytes,
             value->value.bytes.len);
        return;
    case AMQP_FIELD_KIND_BOOLEAN:
        snprintf(number, sizeof number, "%s", value->value.boolean ? "true" : "false");
        break;
    case AMQP_FIELD_KIND_I8:
        snprintf(number, sizeof number, "%d", value->value.i8);
        break;
    case AMQP_FIELD_KIND_U8:
        snprintf(number, sizeof number, "%u", value->value.u8);
        break;
    case AMQP_FIELD_KIND_I16:
        snprintf(number, sizeof number, "%d", value->value.i16);
        break;
    case AMQP_FIELD_KIND_U16:
        snprintf(number, sizeof number, "%u", value->value.u16);
        break;
    case AMQP_FIELD_KIND_I32:
        snprintf(number, sizeof number, "%" PRId32, value->value.i32);
        break;
    case AMQP_FIELD_KIND_U32:
        snprintf(number, sizeof number, "%" PRIu32, value->value.u32);
        break;
    case AMQP_FIELD_KIND_I64:
        snprintf(number, sizeof number, "%" PRId64, value->value.i64);
        break;
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_TIMESTAMP:
        snprintf(number, sizeof number, "%" PRIu64, value->value.u64);
        break;
    case AMQP_FIELD_KIND_F32:
        snprintf(number, sizeof number, "%.9g", (double)value->value.f32);
        break;
    case AMQP_FIELD_KIND_F64:
        snprintf(number, sizeof number, "%.17g", value->value.f64);
        break;
    default:
        return;
    }
    show(shown, entry->key.bytes, entry->key.len, number, strlen(number));
}

/* As the reference shows what a queue of a binding holds: texts alone, fit for a URL's query. */
static void
show_escaped(struct shown *shown, const amqp_table_entry_t *entry)
{
    struct remora_slice name = { entry->key.bytes, entry->key.len };
    struct remora_slice value = { entry->value.value.bytes.bytes, entry->value.value.bytes.len };
    struct remora_pair *pair = &shown->pairs[shown->count];
    size_t room = (size_t)(shown->end - shown->at) / ESCAPE_FACTOR;
    if (entry->value.kind != AMQP_FIELD_KIND_UTF8 || name.len > room || value.len > room - name.len)
        return;
    pair->name = (struct remora_slice){ shown->at, escape_query(name, shown->at) };
    shown->at += pair->name.len;
    pair->value = (struct remora_slice){ shown->at, escape_query(value, shown->at) };
    shown->at += pair->value.len;
    shown->count++;
}

static void
show_properties(struct shown *shown, const amqp_basic_properties_t *from)
{
    show_property(shown, "messageid", from->_flags & AMQP_BASIC_MESSAGE_ID_FLAG, from->message_id);
    show_property(shown, "correlationid", from->_flags & AMQP_BASIC_CORRELATION_ID_FLAG,
                  from->correlation_id);
    show_property(shown, "type", from->_flags & AMQP_BASIC_TYPE_FLAG, from->type);
    show_property(shown, "contenttype", from->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG,
                  from->content_type);
}

static void
take_properties(struct delivery *delivery, const amqp_basic_properties_t *from,
                enum delivery_view view)
{
    delivery->texts = memory_new(HEADER_BYTES_MAX);
    struct shown shown = { .at = delivery->texts, .end = delivery->texts + HEADER_BYTES_MAX };
    int count = from->_flags & AMQP_BASIC_HEADERS_FLAG ? from->headers.num_entries : 0;
    if (view == DELIVERY_PROPERTIES)
        show_properties(&shown, from);
    for (int i = 0; i < count && i < HEADERS_MAX; i++)
        if (view == DELIVERY_PROPERTIES)
            show_header(&shown, &from->headers.entries[i]);
        else
            show_escaped(&shown, &from->headers.entries[i]);
    delivery->pairs = memory_new(shown.count * sizeof shown.pairs[0] + 1);
    memcpy(delivery->pairs, shown.pairs, shown.count * sizeof shown.pairs[0]);
    delivery->message.metadata = delivery->pairs;
    delivery->message.metadata_count = shown.count;
}

/* --- the message -------------------------------------------------------------------------------*/

struct delivery *
delivery_new(struct intake *intake, struct envelope envelope,
             const amqp_basic_properties_t *properties, uint64_t size, enum delivery_view view)
{
    struct delivery *delivery = memory_new(sizeof *delivery);
    delivery->intake = intake;
    delivery->envelope = envelope;
    delivery->size = (size_t)size;
    /* What is only announced is not paid for at once. */
    delivery->body = memory_new(size < BODY_FIRST_BYTES ? (size_t)size + 1 : BODY_FIRST_BYTES);
    if (view != DELIVERY_BARE)
        take_properties(delivery, properties, view);
    return delivery;
}

bool
delivery_append(struct delivery *delivery, amqp_bytes_t piece)
{
    if (piece.len > delivery->size - delivery->len)
        return false;
    if (delivery->len <= BODY_FIRST_BYTES && delivery->len + piece.len > BODY_FIRST_BYTES) {
        char *body = realloc(delivery->body, delivery->size + 1);
        if (body == NULL)
            abort();
        delivery->body = body;
    }
    if (piece.len > 0)
        memcpy(delivery->body + delivery->len, piece.bytes, piece.len);
    delivery->len += piece.len;
    delivery->message.data = (struct remora_slice){ delivery->body, delivery->len };
    return true;
}

void
delivery_free(struct delivery *delivery)
{
    if (delivery == NULL)
        return;
    free(delivery->pairs);
    free(delivery->texts);
    free(delivery->body);
    free(delivery);
}
