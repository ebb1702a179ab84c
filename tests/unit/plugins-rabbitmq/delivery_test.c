/* SPDX-License-Identifier: Apache-2.0 */
/* Messages from the server, which anybody may have made. */
#include "plugins/rabbitmq/delivery.h"

#include "plugins/rabbitmq/bounds.h"
#include "test.h"

static const struct envelope envelope = { .tag = 1 };

static amqp_bytes_t
bytes(const char *text)
{
    return amqp_cstring_bytes(text);
}

/* The value of a name, or "(none)". */
static const char *
shown(const struct delivery *delivery, const char *name)
{
    static char text[64];
    struct remora_slice value;
    if (!remora_metadata_get(delivery->message.metadata, delivery->message.metadata_count, name,
                             &value))
        return "(none)";
    snprintf(text, sizeof text, "%.*s", (int)value.len, value.data);
    return text;
}

TEST(a_body_comes_in_pieces_and_no_more_of_it_than_announced)
{
    enum { SIZE = 3 * 1024 * 1024 };
    static char body[SIZE + 1];
    amqp_basic_properties_t none = { 0 };
    struct delivery *delivery = delivery_new(NULL, envelope, &none, SIZE, DELIVERY_BARE);
    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)(i * 31);
    for (size_t at = 0; at < SIZE; at += 1024 * 256)
        CHECK(delivery_append(delivery, (amqp_bytes_t){ 1024 * 256, body + at }));
    CHECK(!delivery_append(delivery, (amqp_bytes_t){ 1, body }));
    CHECK_EQ_INT(delivery->message.data.len, SIZE);
    CHECK(memcmp(delivery->message.data.data, body, SIZE) == 0);
    CHECK_EQ_INT(delivery->message.metadata_count, 0);
    delivery_free(delivery);
    delivery = delivery_new(NULL, envelope, &none, 3, DELIVERY_BARE);
    CHECK(delivery_append(delivery, bytes("ab")));
    CHECK(!delivery_append(delivery, bytes("cd")));
    CHECK(delivery_append(delivery, bytes("c")));
    delivery_free(delivery);
    delivery_free(NULL);
}

TEST(properties_and_headers_become_metadata)
{
    amqp_table_entry_t headers[] = {
        { bytes("text"), { .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = bytes("value") } },
        { bytes("yes"), { .kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1 } },
        { bytes("small"), { .kind = AMQP_FIELD_KIND_I8, .value.i8 = -3 } },
        { bytes("large"), { .kind = AMQP_FIELD_KIND_I64, .value.i64 = INT64_MIN } },
        { bytes("when"), { .kind = AMQP_FIELD_KIND_TIMESTAMP, .value.u64 = 1700000000 } },
        { bytes("half"), { .kind = AMQP_FIELD_KIND_F64, .value.f64 = 0.5 } },
        { bytes("void"), { .kind = AMQP_FIELD_KIND_VOID } },
        { bytes("table"), { .kind = AMQP_FIELD_KIND_TABLE } },
        { bytes("list"), { .kind = AMQP_FIELD_KIND_ARRAY } },
    };
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG |
                  AMQP_BASIC_CONTENT_TYPE_FLAG,
        .message_id = bytes("m-1"),
        .correlation_id = bytes("not set"),
        .type = bytes(""),
        .content_type = bytes("text/plain"),
        .headers = { sizeof headers / sizeof headers[0], headers },
    };
    struct delivery *delivery = delivery_new(NULL, envelope, &properties, 0, DELIVERY_PROPERTIES);
    CHECK_EQ_STR(shown(delivery, "metadata.messageid"), "m-1");
    CHECK_EQ_STR(shown(delivery, "metadata.contenttype"), "text/plain");
    CHECK_EQ_STR(shown(delivery, "metadata.correlationid"), "(none)");
    CHECK_EQ_STR(shown(delivery, "metadata.type"), "(none)");
    CHECK_EQ_STR(shown(delivery, "metadata.text"), "value");
    CHECK_EQ_STR(shown(delivery, "metadata.yes"), "true");
    CHECK_EQ_STR(shown(delivery, "metadata.small"), "-3");
    CHECK_EQ_STR(shown(delivery, "metadata.large"), "-9223372036854775808");
    CHECK_EQ_STR(shown(delivery, "metadata.when"), "1700000000");
    CHECK_EQ_STR(shown(delivery, "metadata.half"), "0.5");
    CHECK_EQ_INT(delivery->message.metadata_count, 8);
    delivery_free(delivery);
}

TEST(headers_are_bounded_in_number_and_bytes)
{
    static char huge[HEADER_BYTES_MAX + 1];
    amqp_table_entry_t headers[HEADERS_MAX + 20];
    memset(huge, 'v', sizeof huge);
    for (size_t i = 0; i < HEADERS_MAX + 20; i++)
        headers[i] = (amqp_table_entry_t){
            bytes("name"), { .kind = AMQP_FIELD_KIND_BYTES, .value.bytes = { 4, huge } }
        };
    headers[0].value.value.bytes.len = sizeof huge; /* does not fit, and the others do */
    amqp_basic_properties_t properties = { ._flags = AMQP_BASIC_HEADERS_FLAG,
                                           .headers = { HEADERS_MAX + 20, headers } };
    struct delivery *delivery = delivery_new(NULL, envelope, &properties, 0, DELIVERY_PROPERTIES);
    CHECK_EQ_INT(delivery->message.metadata_count, HEADERS_MAX - 1);
    delivery_free(delivery);
}

TEST(headers_of_a_binding_are_texts_fit_for_a_query)
{
    static char huge[HEADER_BYTES_MAX];
    memset(huge, '&', sizeof huge);
    amqp_table_entry_t headers[] = {
        { bytes("a b"), { .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = bytes("c=d\r\n\xff~") } },
        { bytes("number"), { .kind = AMQP_FIELD_KIND_I8, .value.i8 = 1 } },
        { bytes("raw"), { .kind = AMQP_FIELD_KIND_BYTES, .value.bytes = bytes("x") } },
        { bytes("huge"),
          { .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = { HEADER_BYTES_MAX / 3, huge } } },
        { bytes(""), { .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = bytes("") } },
    };
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_HEADERS_FLAG,
        .message_id = bytes("m-1"),
        .headers = { sizeof headers / sizeof headers[0], headers },
    };
    struct delivery *delivery = delivery_new(NULL, envelope, &properties, 0, DELIVERY_HEADERS);
    CHECK_EQ_STR(shown(delivery, "a+b"), "c%3Dd%0D%0A%FF~");
    CHECK_EQ_INT(delivery->message.metadata_count, 2);
    delivery_free(delivery);
}
