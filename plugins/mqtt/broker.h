/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pubsub.mqtt3: one connection, one session of a server, for all that a component publishes and
 * subscribes to, as the reference has it; the client's identifier is `consumerID`.
 *
 * What the server has sent is *held* until the application has taken it, and acknowledged then.
 * What was refused is handed over again after a pause that grows: the server itself would send it
 * again only over another connection. When the connection is lost, the session (unless it is clean)
 * is resumed: the server sends again what it has no acknowledgement of, and what is held is
 * recognised by its identifier and bytes, so that it is neither handed over twice nor forgotten.
 *
 * A binding (binding.c) is two such brokers: one publishes, one has the subscription whose messages
 * are events.
 *
 * broker.c has the component's life, publish.c what goes out, intake.c the subscriptions, held.c
 * what came in.
 */
#ifndef MQTT_BROKER_H
#define MQTT_BROKER_H

#include <ev.h>

#include "conn.h"
#include "settings.h"

enum {
    WAIT_MS = 20 * 1000,       /* for the server's word, as the reference */
    EVENT_WAIT_MS = 10 * 1000, /* of a binding that is to be read */
    SENDINGS_MAX = 10000,
    SENDING_BYTES_MAX = 64 << 20,
    HELD_MAX = 4096,
    HELD_BYTES_MAX = 64 << 20,
    DONE_MAX = 256, /* handled, and not acknowledged yet for want of a connection */
    REFUSED_PAUSE_MIN_MS = 1000,
    REFUSED_PAUSE_MAX_MS = 60 * 1000,
    EVENT_PAUSE_MAX_MS = 5 * 1000, /* of a binding, as the reference's */
    COMPLAINT_PAUSE_MS = 10 * 1000,
};

struct broker;
struct intake;
struct helds;

/* A message that the server has sent and that has not been acknowledged. */
struct held {
    struct held *next, **at;
    struct helds *list;    /* the one it is in */
    struct broker *broker; /* NULL: gone while the message was with the sidecar */
    struct intake *intake; /* in whose list it is, or NULL */
    uint64_t generation;   /* of the connection on which `id` can be acknowledged */
    uint64_t due_ms;       /* paused: when it is handed over again */
    unsigned refusals;
    uint16_t id;
    uint8_t qos;
    bool is_retained;
    size_t topic_len, payload_len;
    char bytes[]; /* topic, payload */
};

struct helds {
    struct held *first, **last;
    size_t count;
};

/* A subscription. */
struct intake {
    struct intake *next;
    struct broker *broker;
    uint64_t id;
    char *filter; /* as it was asked for; owned */
    uint32_t window;
    bool unsubscribe_on_close;
    bool is_open;          /* the server has agreed once */
    uint16_t subscribe_id; /* of the SUBSCRIBE that awaits an answer; 0: none does */
    remora_call *opening;  /* answered with the server's word */
    uint64_t opening_until_ms;
    remora_call *closing; /* answered when nothing is with the sidecar */
    struct helds queued, out;
};

/* A message that is published; of QoS 2 also the rest of its handshake, when nobody waits. */
struct sending {
    struct sending *next;
    struct broker *broker;
    remora_call *call;                    /* NULL: it has been answered */
    const struct remora_publish *message; /* the call's */
    uint64_t until_ms;
    uint16_t id; /* 0: was never sent, or has QoS 0 */
    uint8_t qos;
    uint8_t tries;
    bool is_retained;
    bool is_released; /* QoS 2: PUBREC came, PUBREL is due */
};

struct broker {
    struct settings settings;
    struct tls_context *tls; /* owned, or NULL */
    struct conn *conn;       /* from `start` to the end of `quiesce`, else NULL */
    char address[300];
    remora_call *starting;
    uint64_t starting_until_ms;
    void (*rested)(void *arg); /* it is to let go of its session, and says so; or NULL */
    void *rested_arg;
    uint64_t resting_until_ms;
    bool is_quiet;
    bool has_events;     /* what it has for the sidecar are events of a binding */
    bool is_down;        /* and it was told */
    uint64_t generation; /* of the connection; counts those that became ready */
    ev_timer sweep;      /* while something waits that has a limit */

    struct sending *sendings, **sendings_last; /* in the order they came */
    size_t sending_count, sending_bytes;
    uint16_t last_id;
    uint8_t ids[PACKET_IDS / 8]; /* of messages under way */

    struct intake *intakes;
    struct helds parked; /* for no subscription that there is */
    struct helds paused; /* refused */
    struct helds done;   /* to be acknowledged when the server sends them again */
    size_t held_count, held_bytes;
    bool has_missed; /* there was no room; resuming the session brings it again */
    uint64_t complained_at_ms;
    ev_timer pause;
    uint8_t received[PACKET_IDS / 8]; /* QoS 2: PUBREC was said, PUBREL is awaited */
};

/* broker.c */
void mqtt_broker_init(remora_call *call, const struct remora_config *config);
void mqtt_broker_start(remora_call *call, void *self);
void mqtt_broker_quiesce(remora_call *call, void *self);
void mqtt_broker_close(void *self);
extern const struct remora_pubsub_ops mqtt_broker_ops;
/* The settings are moved. NULL: `why`. */
struct broker *broker_make(struct settings settings, char why[SETTINGS_WHY_BYTES]);
/* Connects, if it has let go, and hands over again. */
void broker_go_on(struct broker *broker);
/* Nothing new is handed over; when what is open has been answered, or that takes too long, the
 * session is let go of and `rested` called, perhaps at once. */
void broker_rest(struct broker *broker, uint64_t left_ms, void (*rested)(void *arg), void *arg);
bool broker_is_at_rest(const struct broker *broker);
/* Of a broker at rest: subscriptions, and what came for them, which the session brings again. */
void broker_forget(struct broker *broker);

/* binding.c */
void mqtt_binding_init(remora_call *call, const struct remora_config *config);
void mqtt_binding_start(remora_call *call, void *self);
void mqtt_binding_quiesce(remora_call *call, void *self);
void mqtt_binding_close(void *self);
extern const struct remora_binding_ops mqtt_binding_ops;
/* Something waits that the sweep ends when its time is over. */
void broker_watch(struct broker *broker);
/* Comes to rest if it is to, and nothing is open. */
void broker_settle(struct broker *broker);
/* An identifier that no message under way has. */
uint16_t broker_new_id(struct broker *broker);
/* True not more often than every COMPLAINT_PAUSE_MS: the log is not for every message. */
bool broker_may_complain(struct broker *broker);

/* publish.c */
void broker_publish(remora_call *call, void *self, const struct remora_publish *message);
void sendings_on_ready(struct broker *broker);
void sendings_on_packet(struct broker *broker, const struct packet *packet);
/* Somebody waits for the server's word. */
bool sendings_have_call(const struct broker *broker);
/* Ends those whose time is over; true if there are others. */
bool sendings_sweep(struct broker *broker, uint64_t now_ms);
void sendings_free(struct broker *broker);

/* intake.c */
void
broker_subscribe(remora_call *call, void *self, const struct remora_subscription *subscription);
void broker_unsubscribe(remora_call *call, void *self, uint64_t id);
/* Whose message it is; NULL if nobody's. */
struct intake *intake_of_topic(struct broker *broker, struct remora_slice topic);
void intake_pump(struct intake *intake);
void intakes_on_ready(struct broker *broker);
/* Hands over what is there, after a time in which nothing was. */
void intakes_resume(struct broker *broker);
void intakes_on_packet(struct broker *broker, const struct packet *packet);
bool intakes_sweep(struct broker *broker, uint64_t now_ms);
void intakes_free(struct broker *broker);

/* held.c */
void helds_init(struct helds *list);
struct remora_slice held_topic(const struct held *held);
void held_move(struct held *held, struct helds *to, struct intake *intake);
/* To the subscription it belongs to, or to those that wait for one. */
void held_route(struct held *held);
/* Hands over as much as the window of the subscription allows. */
void held_hand_out(struct intake *intake);
void held_on_packet(struct broker *broker, const struct packet *packet);
void held_on_ready(struct broker *broker, bool session_present);
void held_on_pause_over(struct ev_loop *loop, ev_timer *watcher, int events);
void held_free_all(struct broker *broker);

#endif
