/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol's packets, read with suspicion and written plainly. */
#include "packet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH_BYTES_MAX = 4, /* of the remaining length: seven bits each */
    LEVEL_3_1_1 = 4,
    CONNECT_CLEAN = 1 << 1,
    CONNECT_PASSWORD = 1 << 6,
    CONNECT_USERNAME = 1 << 7,
    PUBLISH_RETAIN = 1 << 0,
    PUBLISH_QOS_SHIFT = 1,
    PUBLISH_AGAIN = 1 << 3,
    FLAGS_RESERVED = 1 << 1, /* what SUBSCRIBE, UNSUBSCRIBE and PUBREL have for flags */
};

/* --- bytes -------------------------------------------------------------------------------------*/

char *
bytes_reserve(struct bytes *bytes, size_t more)
{
    if (bytes->cap - bytes->len < more) {
        size_t wanted = bytes->len + more;
        bytes->cap = wanted < 2 * bytes->cap ? 2 * bytes->cap : wanted;
        bytes->data = realloc(bytes->data, bytes->cap);
        if (bytes->data == NULL)
            abort();
    }
    return bytes->data + bytes->len;
}

void
bytes_consume(struct bytes *bytes, size_t count)
{
    assert(count <= bytes->len);
    bytes->len -= count;
    if (count > 0 && bytes->len > 0)
        memmove(bytes->data, bytes->data + count, bytes->len);
}

void
bytes_fini(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){ 0 };
}

static void
put(struct bytes *to, struct remora_slice text)
{
    char *at = bytes_reserve(to, text.len);
    if (text.len > 0)
        memcpy(at, text.data, text.len);
    to->len += text.len;
}

static void
put_byte(struct bytes *to, unsigned byte)
{
    *bytes_reserve(to, 1) = (char)byte;
    to->len++;
}

static void
put_number(struct bytes *to, size_t number)
{
    put_byte(to, (unsigned)(number >> 8 & 0xff));
    put_byte(to, (unsigned)(number & 0xff));
}

static void
put_text(struct bytes *to, struct remora_slice text)
{
    assert(text.len <= PACKET_TEXT_BYTES_MAX);
    put_number(to, text.len);
    put(to, text);
}

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* --- writing -----------------------------------------------------------------------------------*/

/* `rest` is the length of what follows. */
static void
put_head(struct bytes *to, enum packet_type type, unsigned flags, size_t rest)
{
    put_byte(to, (unsigned)type << 4 | flags);
    do {
        unsigned digit = rest & 0x7f;
        rest >>= 7;
        put_byte(to, digit | (rest > 0 ? 0x80 : 0));
    } while (rest > 0);
}

void
packet_put_connect(struct bytes *to, const struct packet_connect *connect)
{
    bool has_name = connect->username != NULL, has_password = has_name && connect->password != NULL;
    size_t rest = 10 + 2 + strlen(connect->client_id);
    rest += has_name ? 2 + strlen(connect->username) : 0;
    rest += has_password ? 2 + strlen(connect->password) : 0;
    put_head(to, PACKET_CONNECT, 0, rest);
    put_text(to, slice_of("MQTT"));
    put_byte(to, LEVEL_3_1_1);
    put_byte(to, (connect->clean_session ? CONNECT_CLEAN : 0u) |
                     (has_name ? CONNECT_USERNAME : 0u) | (has_password ? CONNECT_PASSWORD : 0u));
    put_number(to, connect->keepalive_s);
    put_text(to, slice_of(connect->client_id));
    if (has_name)
        put_text(to, slice_of(connect->username));
    if (has_password)
        put_text(to, slice_of(connect->password));
}

bool
packet_put_publish(struct bytes *to, const struct packet_publish *publish)
{
    size_t rest = 2 + publish->topic.len + (publish->qos > 0 ? 2 : 0) + publish->payload.len;
    unsigned flags = (unsigned)publish->qos << PUBLISH_QOS_SHIFT;
    if (rest + 1 + LENGTH_BYTES_MAX > PACKET_BYTES_MAX)
        return false;
    flags |= (publish->is_again ? PUBLISH_AGAIN : 0u) | (publish->is_retained ? PUBLISH_RETAIN : 0);
    bytes_reserve(to, rest + 1 + LENGTH_BYTES_MAX);
    put_head(to, PACKET_PUBLISH, flags, rest);
    put_text(to, publish->topic);
    if (publish->qos > 0)
        put_number(to, publish->id);
    put(to, publish->payload);
    return true;
}

void
packet_put_answer(struct bytes *to, enum packet_type type, uint16_t id)
{
    put_head(to, type, type == PACKET_PUBREL ? FLAGS_RESERVED : 0, 2);
    put_number(to, id);
}

void
packet_put_subscribe(struct bytes *to, uint16_t id, struct remora_slice filter, uint8_t qos)
{
    put_head(to, PACKET_SUBSCRIBE, FLAGS_RESERVED, 2 + 2 + filter.len + 1);
    put_number(to, id);
    put_text(to, filter);
    put_byte(to, qos);
}

void
packet_put_unsubscribe(struct bytes *to, uint16_t id, struct remora_slice filter)
{
    put_head(to, PACKET_UNSUBSCRIBE, FLAGS_RESERVED, 2 + 2 + filter.len);
    put_number(to, id);
    put_text(to, filter);
}

void
packet_put_bare(struct bytes *to, enum packet_type type)
{
    put_head(to, type, 0, 0);
}

/* --- reading -----------------------------------------------------------------------------------*/

static uint16_t
number_at(const char *at)
{
    return (uint16_t)((unsigned char)at[0] << 8 | (unsigned char)at[1]);
}

/* Of the fixed head: its own length and the one of what follows. */
static enum packet_result
read_length(const char *data, size_t len, size_t *ret_head, size_t *ret_rest)
{
    size_t rest = 0;
    for (unsigned i = 0; i < LENGTH_BYTES_MAX; i++) {
        if (1 + i >= len)
            return PACKET_MORE;
        unsigned char digit = (unsigned char)data[1 + i];
        rest |= (size_t)(digit & 0x7f) << 7 * i;
        if (digit < 0x80) {
            *ret_head = 2 + i;
            *ret_rest = rest;
            return rest + 2 + i > PACKET_BYTES_MAX ? PACKET_TOO_LONG : PACKET_COMPLETE;
        }
    }
    return PACKET_BROKEN;
}

static bool
read_publish(const char *body, size_t len, unsigned flags, struct packet *ret)
{
    ret->qos = (uint8_t)(flags >> PUBLISH_QOS_SHIFT & 3);
    ret->is_again = (flags & PUBLISH_AGAIN) != 0;
    ret->is_retained = (flags & PUBLISH_RETAIN) != 0;
    if (ret->qos > 2 || len < 2)
        return false;
    size_t topic = number_at(body), before = 2 + topic + (ret->qos > 0 ? 2 : 0);
    if (topic == 0 || before > len)
        return false;
    ret->topic = (struct remora_slice){ body + 2, topic };
    ret->payload = (struct remora_slice){ body + before, len - before };
    if (ret->qos > 0)
        ret->id = number_at(body + 2 + topic);
    return ret->qos == 0 || ret->id != 0;
}

static bool
read_body(const char *body, size_t len, unsigned flags, struct packet *ret)
{
    switch (ret->type) {
    case PACKET_PUBLISH:
        return read_publish(body, len, flags, ret);
    case PACKET_CONNACK:
        if (flags != 0 || len != 2)
            return false;
        ret->session_present = (body[0] & 1) != 0;
        ret->code = (uint8_t)body[1];
        return ((unsigned char)body[0] & ~1u) == 0;
    case PACKET_PUBREL:
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP:
    case PACKET_UNSUBACK:
        if (flags != (ret->type == PACKET_PUBREL ? FLAGS_RESERVED : 0) || len != 2)
            return false;
        ret->id = number_at(body);
        return ret->id != 0;
    case PACKET_SUBACK: /* we ask for one filter at a time */
        if (flags != 0 || len != 3)
            return false;
        ret->id = number_at(body);
        ret->code = (uint8_t)body[2];
        return ret->id != 0 && (ret->code <= 2 || ret->code == PACKET_REFUSED);
    case PACKET_PINGRESP:
        return flags == 0 && len == 0;
    case PACKET_CONNECT:
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
    case PACKET_PINGREQ:
    case PACKET_DISCONNECT:
        break;
    }
    return false;
}

enum packet_result
packet_read(const char *data, size_t len, struct packet *ret)
{
    size_t head = 0, rest = 0;
    if (len == 0)
        return PACKET_MORE;
    unsigned first = (unsigned char)data[0];
    *ret = (struct packet){ .type = (enum packet_type)(first >> 4) };
    if (first >> 4 < PACKET_CONNACK || first >> 4 > PACKET_PINGRESP)
        return PACKET_BROKEN;
    enum packet_result result = read_length(data, len, &head, &rest);
    if (result != PACKET_COMPLETE)
        return result;
    ret->bytes = head + rest;
    if (len < ret->bytes)
        return PACKET_MORE;
    return read_body(data + head, rest, first & 0x0f, ret) ? PACKET_COMPLETE : PACKET_BROKEN;
}
