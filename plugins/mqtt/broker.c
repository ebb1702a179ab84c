/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a component: its connection, its clock, its end. */
#include "broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"

enum {
    SWEEP_MS = 200,
    START_SPARE_MS = 300,     /* before the sidecar's patience ends, so that it hears why */
    HANDOVER_SPARE_MS = 1000, /* of the time for letting go, left for the next generation */
};

#define START_FAILED "failed to establish connection to broker: "

uint16_t
broker_new_id(struct broker *broker)
{
    do
        broker->last_id++;
    while (broker->last_id == 0 || (broker->ids[broker->last_id / 8] >> broker->last_id % 8 & 1));
    return broker->last_id; /* at most SENDINGS_MAX are taken */
}

bool
broker_may_complain(struct broker *broker)
{
    uint64_t now_ms = monotonic_now_ms();
    if (broker->complained_at_ms != 0 && now_ms - broker->complained_at_ms < COMPLAINT_PAUSE_MS)
        return false;
    broker->complained_at_ms = now_ms;
    return true;
}

/* --- the end -----------------------------------------------------------------------------------*/

static void
broker_free(struct broker *broker)
{
    ev_timer_stop(remora_loop(), &broker->sweep);
    ev_timer_stop(remora_loop(), &broker->pause);
    conn_free(broker->conn);
    broker->conn = NULL;
    sendings_free(broker);
    held_free_all(broker);
    intakes_free(broker);
    tls_context_free(broker->tls);
    settings_fini(&broker->settings);
    free(broker);
}

/* Trying goes on: a component that served before is wanted again when its server is. */
static void
start_failed(struct broker *broker, enum remora_code code, const char *why)
{
    remora_call *call = broker->starting;
    broker->starting = NULL;
    remora_reply_error(call, code, START_FAILED "%s",
                       why[0] == '\0' ? "context deadline exceeded" : why);
}

/* The session is for the next one: the server lets only one client have it. */
static void
let_go(struct broker *broker)
{
    void (*rested)(void *arg) = broker->rested;
    broker->rested = NULL;
    conn_free(broker->conn);
    broker->conn = NULL;
    broker->is_down = false;
    rested(broker->rested_arg);
}

void
broker_settle(struct broker *broker)
{
    if (broker->rested == NULL)
        return;
    for (const struct intake *intake = broker->intakes; intake != NULL; intake = intake->next)
        if (intake->out.count > 0)
            return;
    if (sendings_have_call(broker) ||
        (conn_is_ready(broker->conn) && !conn_is_flushed(broker->conn)))
        return; /* what is published, and acknowledgements */
    let_go(broker);
}

void
broker_rest(struct broker *broker, uint64_t left_ms, void (*rested)(void *arg), void *arg)
{
    broker->is_quiet = true;
    if (broker->starting != NULL)
        start_failed(broker, REMORA_CANCELLED, "it is to let go already");
    broker->rested = rested;
    broker->rested_arg = arg;
    broker->resting_until_ms = UINT64_MAX;
    if (left_ms != UINT64_MAX)
        broker->resting_until_ms = monotonic_now_ms() + (left_ms > 2 * HANDOVER_SPARE_MS
                                                             ? left_ms - HANDOVER_SPARE_MS
                                                             : left_ms / 2);
    broker_watch(broker);
    broker_settle(broker);
}

bool
broker_is_at_rest(const struct broker *broker)
{
    return broker->conn == NULL && broker->rested == NULL;
}

static void
reply_rested(void *arg)
{
    remora_reply_ok(arg);
}

void
mqtt_broker_quiesce(remora_call *call, void *self)
{
    broker_rest(self, remora_call_time_left_ms(call), reply_rested, call);
}

void
broker_forget(struct broker *broker)
{
    ev_timer_stop(remora_loop(), &broker->pause);
    held_free_all(broker);
    intakes_free(broker);
}

void
mqtt_broker_close(void *self)
{
    broker_free(self);
}

/* --- the clock ---------------------------------------------------------------------------------*/

static void
on_sweep(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct broker *broker = watcher->data;
    uint64_t now_ms = monotonic_now_ms();
    bool is_any = sendings_sweep(broker, now_ms);
    is_any = intakes_sweep(broker, now_ms) || is_any;
    if (broker->starting != NULL && now_ms >= broker->starting_until_ms)
        start_failed(broker, REMORA_UNAVAILABLE, conn_why(broker->conn));
    if (broker->rested != NULL && now_ms >= broker->resting_until_ms)
        let_go(broker); /* what an application is slow with comes to the next one again */
    broker_settle(broker);
    if (!is_any && broker->starting == NULL && broker->rested == NULL)
        ev_timer_stop(loop, watcher);
}

void
broker_watch(struct broker *broker)
{
    if (!ev_is_active(&broker->sweep))
        ev_timer_start(remora_loop(), &broker->sweep);
}

/* --- the connection ----------------------------------------------------------------------------*/

static void
on_ready(void *owner, bool session_present)
{
    struct broker *broker = owner;
    if (broker->is_down)
        remora_log(REMORA_INFO, "mqtt: connected again server=%s", broker->address);
    broker->is_down = false;
    broker->generation++;
    held_on_ready(broker, session_present);
    intakes_on_ready(broker);
    sendings_on_ready(broker);
    remora_call *call = broker->starting;
    broker->starting = NULL;
    if (call != NULL)
        remora_reply_ok(call);
    broker_settle(broker);
}

static void
on_packet(void *owner, const struct packet *packet)
{
    struct broker *broker = owner;
    if (packet->type == PACKET_PUBLISH || packet->type == PACKET_PUBREL)
        held_on_packet(broker, packet);
    else if (packet->type == PACKET_SUBACK)
        intakes_on_packet(broker, packet);
    else
        sendings_on_packet(broker, packet);
    broker_settle(broker);
}

static void
on_flushed(void *owner)
{
    broker_settle(owner);
}

static void
on_down(void *owner, const char *why, bool refused)
{
    struct broker *broker = owner;
    if (broker->starting != NULL && refused)
        start_failed(broker, REMORA_UNAUTHENTICATED, why);
    if (broker->starting != NULL)
        return; /* the answer tells */
    if (!broker->is_down)
        remora_log(REMORA_WARN, "mqtt: no connection, trying on server=%s reason=\"%s\"",
                   broker->address, why);
    broker->is_down = true;
    broker_settle(broker);
}

/* --- the beginning -----------------------------------------------------------------------------*/

static bool
prepare_tls(struct broker *broker, char why[SETTINGS_WHY_BYTES])
{
    char reason[TLS_ERROR_BYTES];
    const struct settings *settings = &broker->settings;
    const struct tls_settings wanted = { .ca_pem = settings->ca_cert,
                                         .certificate_pem = settings->client_cert,
                                         .key_pem = settings->client_key };
    if (!settings->is_secure)
        return true;
    broker->tls = tls_context_new(&wanted, reason);
    if (broker->tls == NULL)
        snprintf(why, SETTINGS_WHY_BYTES, "invalid TLS configuration: %s", reason);
    return broker->tls != NULL;
}

static void
start_connecting(struct broker *broker)
{
    static const struct conn_events events = {
        .ready = on_ready, .packet = on_packet, .flushed = on_flushed, .down = on_down
    };
    const struct settings *from = &broker->settings;
    const struct conn_settings settings = { .host = from->host,
                                            .port = from->port,
                                            .connect = { .client_id = from->client_id,
                                                         .username = from->username,
                                                         .password = from->password,
                                                         .clean_session = from->clean_session },
                                            .tls = broker->tls };
    broker->conn = conn_new(remora_loop(), &settings, &events, broker);
}

static void
on_start_cancelled(remora_call *call, void *arg)
{
    struct broker *broker = arg;
    if (broker->starting == call)
        start_failed(broker, REMORA_UNAVAILABLE, conn_why(broker->conn));
}

void
broker_go_on(struct broker *broker)
{
    broker->rested = NULL;
    broker->is_quiet = false;
    if (broker->conn == NULL)
        start_connecting(broker);
    intakes_resume(broker);
}

/* Only one generation of a component may have the session, so that connecting is not for `init`. */
void
mqtt_broker_start(remora_call *call, void *self)
{
    struct broker *broker = self;
    if (broker->rested == reply_rested)
        remora_reply_error(broker->rested_arg, REMORA_CANCELLED, "it is to go on");
    broker->rested = NULL;
    if (broker->starting != NULL) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "it is starting already");
        return;
    }
    broker_go_on(broker);
    if (conn_is_ready(broker->conn)) {
        remora_reply_ok(call);
        return;
    }
    uint64_t left_ms = remora_call_time_left_ms(call);
    left_ms = left_ms > START_SPARE_MS ? left_ms - START_SPARE_MS : 0;
    broker->starting = call;
    broker->starting_until_ms = monotonic_now_ms() + (left_ms < WAIT_MS ? left_ms : WAIT_MS);
    broker_watch(broker);
    remora_call_on_cancel(call, on_start_cancelled,
                          broker); /* which may be at once: nothing follows */
}

static struct broker *
broker_new(void)
{
    struct broker *broker = calloc(1, sizeof *broker);
    if (broker == NULL)
        abort();
    broker->sendings_last = &broker->sendings;
    helds_init(&broker->parked);
    helds_init(&broker->paused);
    helds_init(&broker->done);
    ev_timer_init(&broker->sweep, on_sweep, SWEEP_MS / 1e3, SWEEP_MS / 1e3);
    ev_init(&broker->pause, held_on_pause_over);
    broker->sweep.data = broker->pause.data = broker;
    /* A server may remember identifiers of the process before this one. */
    char seed[37];
    remora_uuid(seed);
    for (size_t i = 0; i < 8; i++)
        broker->last_id = (uint16_t)(broker->last_id * 31 + (unsigned char)seed[i]);
    return broker;
}

struct broker *
broker_make(struct settings settings, char why[SETTINGS_WHY_BYTES])
{
    struct broker *broker = broker_new();
    broker->settings = settings;
    if (!prepare_tls(broker, why)) {
        broker_free(broker);
        return NULL;
    }
    snprintf(broker->address, sizeof broker->address,
             strchr(settings.host, ':') != NULL ? "[%s]:%s" : "%s:%s", settings.host,
             settings.port);
    return broker;
}

void
mqtt_broker_init(remora_call *call, const struct remora_config *config)
{
    char why[SETTINGS_WHY_BYTES];
    struct settings settings;
    struct broker *broker = NULL;
    if (settings_parse(config, &settings, why))
        broker = broker_make(settings, why);
    if (broker != NULL)
        remora_reply_init(call, broker, REMORA_CAP_SUBSCRIBE_WILDCARDS, 0);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
}

const struct remora_pubsub_ops mqtt_broker_ops = { .publish = broker_publish,
                                                   .subscribe = broker_subscribe,
                                                   .unsubscribe = broker_unsubscribe };
