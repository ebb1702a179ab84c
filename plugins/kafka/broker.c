/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a broker. */
#include "broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROBE_MS = 8000,       /* for the first answer of a server */
    UNREACHABLE_MS = 1000, /* and where none is to be reached at all: the reference's attempts */
};

static struct broker *brokers; /* all there are */

static void
broker_free(struct broker *broker)
{
    struct broker **at = &brokers;
    while (*at != broker)
        at = &(*at)->next;
    *at = broker->next;
    client_close(&broker->consumer);
    client_close(&broker->producer);
    settings_fini(&broker->settings);
    free(broker);
}

bool
broker_chore_is_over(struct broker *broker)
{
    broker->chores--;
    if (!broker->is_closed || broker->chores > 0)
        return false;
    broker_free(broker);
    return true;
}

static void
close_broker(struct broker *broker)
{
    ev_timer_stop(remora_loop(), &broker->init_end);
    group_free(broker);
    registry_close(broker->registry);
    broker->registry = NULL;
    broker->is_closed = true;
    if (broker->chores == 0)
        broker_free(broker);
}

/* --- the beginning -----------------------------------------------------------------------------*/

static void
init_failed(struct broker *broker, const char *why)
{
    remora_call *call = broker->init;
    broker->init = NULL;
    remora_reply_error(call, REMORA_UNAVAILABLE,
                       "failed to get latest Kafka clients for initialization: "
                       "kafka: client has run out of available brokers to talk to: %s",
                       why[0] != '\0' ? why : "no answer");
    close_broker(broker);
}

struct probing {
    struct chore chore;
    struct broker *broker;
    rd_kafka_t *rk;
    rd_kafka_resp_err_t err;
};

/* Which servers there are: any of them may say so. */
static void
probe(struct chore *chore)
{
    struct probing *probing = (struct probing *)chore;
    const struct rd_kafka_metadata *metadata = NULL;
    probing->err = rd_kafka_metadata(probing->rk, 0, NULL, &metadata, PROBE_MS);
    if (probing->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
}

static void
on_probed(struct chore *chore)
{
    struct probing *probing = (struct probing *)chore;
    struct broker *broker = probing->broker;
    rd_kafka_resp_err_t err = probing->err;
    free(probing);
    if (broker_chore_is_over(broker) || broker->init == NULL)
        return;
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        client_poll(&broker->producer); /* it may know more */
        if (broker->init != NULL)
            init_failed(broker, broker->producer.why[0] != '\0' ? broker->producer.why
                                                                : rd_kafka_err2str(err));
        return;
    }
    remora_call *call = broker->init;
    broker->init = NULL;
    ev_timer_stop(remora_loop(), &broker->init_end);
    client_is_well(&broker->producer);
    remora_reply_init(call, broker, broker->capabilities, 0);
}

static void
on_init_end(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct broker *broker = watcher->data;
    init_failed(broker, broker->producer.why);
}

/* From within the client's own round: the broker must not go away in it. */
static void
on_producer_trouble(void *owner, bool is_refused)
{
    struct broker *broker = owner;
    if (broker->init == NULL || ev_is_active(&broker->init_end))
        return;
    ev_timer_set(&broker->init_end, is_refused ? 0.0 : UNREACHABLE_MS / 1e3, 0.0);
    ev_timer_start(remora_loop(), &broker->init_end);
}

static bool
on_producer_event(void *owner, rd_kafka_event_t *event)
{
    struct broker *broker = owner;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
        broker_on_reports(broker, event);
    return false;
}

/* The sidecar waits no longer. A broker that came up later would be nobody's. */
static void
on_init_cancelled(remora_call *call, void *arg)
{
    struct broker *broker = arg;
    (void)call;
    if (broker->init != NULL)
        init_failed(broker, broker->producer.why);
}

void
broker_open(remora_call *call, struct settings settings, uint32_t capabilities)
{
    char why[CLIENT_WHY_BYTES];
    struct broker *broker = calloc(1, sizeof *broker);
    struct probing *probing = calloc(1, sizeof *probing);
    if (broker == NULL || probing == NULL)
        abort();
    ev_init(&broker->init_end, on_init_end);
    broker->init_end.data = broker;
    broker->producer = (struct client){ .owner = broker,
                                        .on_event = on_producer_event,
                                        .on_trouble = on_producer_trouble };
    broker->settings = settings;
    broker->capabilities = capabilities;
    broker->is_binding = (capabilities & REMORA_CAP_INPUT_BINDING) != 0;
    if (!client_open(&broker->producer, RD_KAFKA_PRODUCER, &broker->settings, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        settings_fini(&broker->settings);
        free(probing);
        free(broker);
        return;
    }
    broker->next = brokers;
    brokers = broker;
    if (broker->settings.registry_url != NULL)
        broker->registry = registry_new(&broker->settings);
    broker->init = call;
    broker->chores++;
    *probing = (struct probing){ .chore = { .work = probe, .done = on_probed },
                                 .broker = broker,
                                 .rk = broker->producer.rk };
    chore_start(&probing->chore);
    remora_call_on_cancel(call, on_init_cancelled,
                          broker); /* which may be at once: nothing follows */
}

void
kafka_broker_init(remora_call *call, const struct remora_config *config)
{
    char why[SETTINGS_WHY_BYTES];
    struct settings settings;
    if (settings_parse(config, &settings, why))
        broker_open(call, settings, REMORA_CAP_BULK_PUBLISH | REMORA_CAP_BULK_SUBSCRIBE);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
}

/* --- the end -----------------------------------------------------------------------------------*/

void
broker_settle(struct broker *broker)
{
    remora_call *call = broker->quiescing;
    if (call == NULL)
        return;
    for (const struct intake *intake = broker->intakes; intake != NULL; intake = intake->next)
        if (intake->out > 0)
            return;
    broker->quiescing = NULL;
    remora_reply_ok(call);
}

/* What has been read and not handed over is the next member's. */
void
kafka_broker_quiesce(remora_call *call, void *self)
{
    struct broker *broker = self;
    broker->is_quiet = true;
    broker->quiescing = call;
    broker_settle(broker);
}

void
kafka_broker_close(void *self)
{
    close_broker(self);
}

/* The sidecar is gone. A member that leaves its group does not keep others waiting until they miss
 * it; nothing else is to be done, and nothing runs on the loop any more. */
void
kafka_brokers_leave(void)
{
    for (struct broker *broker = brokers; broker != NULL; broker = broker->next) {
        group_free(broker);
        if (broker->group_state != GROUP_ASSIGNING) /* or a chore is asking through it */
            client_close(&broker->consumer);
    }
    chores_finish();
}

const struct remora_pubsub_ops kafka_broker_ops = { .publish = broker_publish,
                                                    .publish_many = broker_publish_many,
                                                    .subscribe = broker_subscribe,
                                                    .unsubscribe = broker_unsubscribe };
