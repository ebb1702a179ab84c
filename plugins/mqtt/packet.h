/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MQTT 3.1.1 as bytes: what a client writes, and what it reads of a server. Knows nothing of
 * sockets, sessions or subscriptions.
 *
 * The protocol is here, and no library's, for one reason: a message is acknowledged when the
 * application has taken it, in whatever order that happens. libmosquitto 2.0 sends PUBACK before it
 * calls its user, Paho's C library when its callback returns or into a file of its own: what
 * either of them has taken is lost with the process.
 */
#ifndef MQTT_PACKET_H
#define MQTT_PACKET_H

#include <remora_plugin.h>

enum {
    PACKET_BYTES_MAX = 64 << 20, /* of one; the protocol has room for 256 MiB */
    PACKET_TEXT_BYTES_MAX = 65535,
    PACKET_IDS = 65536, /* 0 is none */
};

/* Bytes that grow; aborts if memory is out. */
struct bytes {
    char *data;
    size_t len, cap;
};

/* Room for that many behind `len`. */
char *bytes_reserve(struct bytes *bytes, size_t more);
void bytes_consume(struct bytes *bytes, size_t count);
void bytes_fini(struct bytes *bytes);

enum packet_type {
    PACKET_CONNECT = 1,
    PACKET_CONNACK,
    PACKET_PUBLISH,
    PACKET_PUBACK,
    PACKET_PUBREC,
    PACKET_PUBREL,
    PACKET_PUBCOMP,
    PACKET_SUBSCRIBE,
    PACKET_SUBACK,
    PACKET_UNSUBSCRIBE,
    PACKET_UNSUBACK,
    PACKET_PINGREQ,
    PACKET_PINGRESP,
    PACKET_DISCONNECT,
};

struct packet {
    enum packet_type type;
    size_t bytes;                /* its whole length */
    uint16_t id;                 /* 0 for a PUBLISH of QoS 0, CONNACK and PINGRESP */
    uint8_t code;                /* CONNACK: 0 is welcome; SUBACK: the QoS, or PACKET_REFUSED */
    bool session_present;        /* CONNACK */
    uint8_t qos;                 /* PUBLISH, as the rest */
    bool is_again, is_retained;  /* DUP, RETAIN */
    struct remora_slice topic;   /* into the bytes that were read */
    struct remora_slice payload; /* the same */
};

enum { PACKET_REFUSED = 0x80 };

enum packet_result {
    PACKET_COMPLETE,
    PACKET_MORE, /* it goes on behind what is there */
    PACKET_BROKEN,
    PACKET_TOO_LONG,
};

/* The packet that `data` begins with, of those that a server sends. */
enum packet_result packet_read(const char *data, size_t len, struct packet *ret);

struct packet_connect {
    const char *client_id;
    const char *username, *password; /* NULL without; no password without a name */
    bool clean_session;
    uint16_t keepalive_s;
};

/* Texts are at most PACKET_TEXT_BYTES_MAX long. */
void packet_put_connect(struct bytes *to, const struct packet_connect *connect);

struct packet_publish {
    struct remora_slice topic, payload;
    uint16_t id; /* 0 with QoS 0 */
    uint8_t qos;
    bool is_again, is_retained;
};

/* False: it is longer than PACKET_BYTES_MAX, and nothing was put. */
bool packet_put_publish(struct bytes *to, const struct packet_publish *publish);
/* PUBACK, PUBREC, PUBREL or PUBCOMP. */
void packet_put_answer(struct bytes *to, enum packet_type type, uint16_t id);
void packet_put_subscribe(struct bytes *to, uint16_t id, struct remora_slice filter, uint8_t qos);
void packet_put_unsubscribe(struct bytes *to, uint16_t id, struct remora_slice filter);
/* PINGREQ or DISCONNECT. */
void packet_put_bare(struct bytes *to, enum packet_type type);

#endif
