/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of librdkafka; see client.h. */
#include "client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "chore.h"
#include "gate.h"

enum {
    EVENTS_MAX = 2000,            /* of a turn */
    QUEUED_KIB = 256,             /* read ahead of a partition; beyond it comes one more fetch */
    PRODUCER_KIB = 64 * 1024,     /* messages that wait for the servers */
    GROUP_SILENCE_MS_MIN = 60000, /* without a look at the queue a consumer is out */
    TOLD_S = 60,
    FETCH_RESPONSE_BYTES = 1 << 20, /* unless a message is larger */
};

static const uint64_t wake_mark = 1; /* what is written into an eventfd */

/* --- configuration -----------------------------------------------------------------------------*/

struct setup {
    rd_kafka_conf_t *conf;
    char *why;
    bool failed;
};

static void
set(struct setup *setup, const char *name, const char *value)
{
    if (setup->failed || value == NULL)
        return;
    /* Its words may repeat the value, which may be a secret. */
    char words[CLIENT_WHY_BYTES];
    setup->failed = rd_kafka_conf_set(setup->conf, name, value, words, sizeof words) !=
                    RD_KAFKA_CONF_OK;
    if (setup->failed)
        snprintf(setup->why, CLIENT_WHY_BYTES, "kafka error: the client refuses '%s'", name);
}

static void
set_number(struct setup *setup, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    set(setup, name, text);
}

static void
set_security(struct setup *setup, const struct settings *settings)
{
    bool is_sasl = settings->auth == AUTH_PASSWORD, is_tls = settings_use_tls(settings);
    if (gate_is_needed(settings)) { /* it knows passwords and certificates */
        set(setup, "security.protocol", "plaintext");
        return;
    }
    set(setup, "security.protocol",
        is_sasl ? (is_tls ? "sasl_ssl" : "sasl_plaintext") : (is_tls ? "ssl" : "plaintext"));
    if (is_sasl) {
        set(setup, "sasl.mechanism", settings->sasl_mechanism);
        set(setup, "sasl.username", settings->sasl_username);
        set(setup, "sasl.password", settings->sasl_password);
    }
    if (!is_tls)
        return;
    set(setup, "ssl.ca.pem", settings->ca_cert);
    const char *authorities = getenv("SSL_CERT_FILE");
    if (settings->ca_cert == NULL && authorities != NULL && access(authorities, R_OK) == 0)
        set(setup, "ssl.ca.location", authorities);
    if (settings->auth == AUTH_MTLS) {
        set(setup, "ssl.certificate.pem", settings->client_cert);
        set(setup, "ssl.key.pem", settings->client_key);
    }
    if (settings->skip_verify) {
        set(setup, "enable.ssl.certificate.verification", "false");
        set(setup, "ssl.endpoint.identification.algorithm", "none");
    }
}

static void
set_common(struct setup *setup, const struct settings *settings)
{
    set(setup, "bootstrap.servers", settings->brokers);
    set(setup, "client.id", settings->client_id);
    set_security(setup, settings);
    set_number(setup, "topic.metadata.refresh.interval.ms", settings->metadata_refresh_ms);
    set(setup, "topic.metadata.propagation.max.ms", "5000");
    bool is_tcp = !gate_is_needed(settings);
    set(setup, "socket.keepalive.enable", is_tcp && settings->keep_alive_ms > 0 ? "true" : "false");
    set(setup, "socket.nagle.disable", is_tcp ? "true" : "false");
    set(setup, "socket.timeout.ms", "10000");
    set(setup, "socket.connection.setup.timeout.ms", "10000");
    set(setup, "reconnect.backoff.ms", "100");
    set(setup, "reconnect.backoff.max.ms", "1000");
    set(setup, "log.queue", "true");
    set(setup, "log.connection.close", "false");
}

/* A message without a key goes anywhere, one with a key where the reference's hash has it. */
static void
set_producer(struct setup *setup, const struct settings *settings)
{
    set(setup, "acks", "all");
    set(setup, "linger.ms", "0");
    set(setup, "request.timeout.ms", "5000");
    set(setup, "message.timeout.ms", "10000");
    set(setup, "max.in.flight.requests.per.connection", "5");
    set(setup, "partitioner", "fnv1a_random");
    set(setup, "compression.codec", settings->compression);
    set(setup, "message.copy.max.bytes", "16384"); /* the rest stays where it is until it is sent */
    set_number(setup, "message.max.bytes", settings->message_bytes_max);
    set_number(setup, "queue.buffering.max.kbytes", PRODUCER_KIB);
}

/* Offsets are stored by us, once the sidecar is done with a message; the client commits what is
 * stored, each second and when a partition goes. Partitions are assigned as the reference's members
 * of a group want it. */
static void
set_consumer(struct setup *setup, const struct settings *settings)
{
    int64_t silence_ms = settings->session_timeout_ms > GROUP_SILENCE_MS_MIN
                             ? settings->session_timeout_ms
                             : GROUP_SILENCE_MS_MIN;
    set(setup, "group.id", settings->group);
    static const char *const strategies[] = { [SHARE_BY_RANGE] = "range",
                                              [SHARE_ROUND_ROBIN] = "roundrobin",
                                              [SHARE_STICKY] = "cooperative-sticky" };
    set(setup, "partition.assignment.strategy", strategies[settings->strategy]);
    set(setup, "isolation.level", "read_uncommitted");
    set(setup, "auto.offset.reset", settings->from_oldest ? "earliest" : "latest");
    set(setup, "enable.auto.offset.store", "false");
    set(setup, "enable.auto.commit", "true");
    set(setup, "auto.commit.interval.ms", "1000");
    set_number(setup, "session.timeout.ms", settings->session_timeout_ms);
    set_number(setup, "heartbeat.interval.ms", settings->heartbeat_ms);
    set_number(setup, "max.poll.interval.ms", silence_ms);
    set_number(setup, "queued.min.messages", settings->queued_messages);
    set_number(setup, "queued.max.messages.kbytes", QUEUED_KIB);
    set_number(setup, "fetch.min.bytes", settings->fetch_min);
    set_number(setup, "fetch.message.max.bytes", settings->fetch_default);
    set_number(setup, "fetch.max.bytes",
               settings->fetch_default > FETCH_RESPONSE_BYTES ? settings->fetch_default
                                                              : FETCH_RESPONSE_BYTES);
}

/* --- events ------------------------------------------------------------------------------------*/

const char *
client_words(rd_kafka_resp_err_t err)
{
    static const struct {
        rd_kafka_resp_err_t err;
        const char *words;
    } known[] = {
        { RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
          "kafka server: Message was too large, server rejected it to avoid allocation error" },
        { RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
          "kafka server: Request was for a topic or partition that does not exist on this broker" },
        { RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
          "kafka server: Request was for a topic or partition that does not exist on this broker" },
        { RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
          "kafka server: The request attempted to perform an operation on an invalid topic" },
        { RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
          "kafka server: The client is not authorized to access this topic" },
        { RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
          "kafka server: The client is not authorized to access this group" },
        { RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
          "kafka: client has run out of available brokers to talk to" },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].err == err)
            return known[i].words;
    return rd_kafka_err2str(err);
}

static void
on_log(rd_kafka_event_t *event)
{
    enum { SYSLOG_ERROR = 3, SYSLOG_INFO = 6 };
    const char *facility, *text;
    int level;
    if (rd_kafka_event_log(event, &facility, &text, &level) != 0)
        return;
    /* Each failed attempt to connect is a line: what matters is told as trouble. */
    remora_log(level <= SYSLOG_ERROR && strcmp(facility, "FAIL") != 0 &&
                       strcmp(facility, "ERROR") != 0
                   ? REMORA_WARN
                   : REMORA_DEBUG,
               "kafka: client says facility=%s text=\"%s\"", facility, text);
}

void
client_tell(struct client *client, rd_kafka_resp_err_t err, const char *words)
{
    ev_tstamp now = ev_now(remora_loop());
    bool is_new = err != client->told || now - client->told_at > TOLD_S;
    remora_log(is_new ? REMORA_WARN : REMORA_DEBUG, "kafka: %s", words);
    client->told = err;
    client->told_at = is_new ? now : client->told_at;
}

void
client_is_well(struct client *client)
{
    if (client->is_down)
        remora_log(REMORA_INFO, "kafka: connected again");
    client->is_down = false;
}

/* No server, or none that lets us in. */
static void
set_down(struct client *client, bool is_refused)
{
    if (!client->is_down)
        remora_log(REMORA_WARN, "kafka: no connection, trying on reason=\"%s\"", client->why);
    client->is_down = true;
    if (client->on_trouble != NULL)
        client->on_trouble(client->owner, is_refused);
}

static void
on_error(struct client *client, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    bool is_refused = err == RD_KAFKA_RESP_ERR__AUTHENTICATION || err == RD_KAFKA_RESP_ERR__SSL ||
                      err == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
    bool is_all = err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
    bool is_transport = err == RD_KAFKA_RESP_ERR__TRANSPORT || err == RD_KAFKA_RESP_ERR__RESOLVE;
    if (!is_all && (client->gate == NULL || !is_transport)) /* whose words say less than others */
        snprintf(client->why, sizeof client->why, "%s", rd_kafka_event_error_string(event));
    if (is_all || is_refused)
        set_down(client, is_refused);
    else if (!is_transport)
        client_tell(client, err, rd_kafka_event_error_string(event));
    else if (client->on_trouble != NULL)
        client->on_trouble(client->owner, false);
}

static void
on_gate_trouble(void *owner, const char *words, bool is_refused)
{
    struct client *client = owner;
    snprintf(client->why, sizeof client->why, "%s", words);
    set_down(client, is_refused);
}

void
client_poll(struct client *client)
{
    rd_kafka_event_t *event;
    for (int i = 0; client->rk != NULL && !client->is_held; i++) {
        if (i == EVENTS_MAX) {
            ev_feed_event(remora_loop(), &client->watcher, EV_READ);
            return;
        }
        if ((event = rd_kafka_queue_poll(client->queue, 0)) == NULL)
            return;
        bool is_kept = false;
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_LOG)
            on_log(event);
        else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            on_error(client, event);
        else
            is_kept = client->on_event(client->owner, event);
        if (!is_kept)
            rd_kafka_event_destroy(event);
    }
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct client *client = watcher->data;
    uint64_t count;
    (void)loop;
    (void)events;
    (void)!read(client->wake_fd, &count, sizeof count); /* it only had to wake us */
    client_poll(client);
    if (client->rk != NULL && client->on_wake != NULL)
        client->on_wake(client->owner);
}

void
client_watch(struct client *client, rd_kafka_queue_t *queue)
{
    rd_kafka_queue_io_event_enable(queue, client->wake_fd, &wake_mark, sizeof wake_mark);
}

/* Before 2.2 a thread of librdkafka whose read-ahead was full looks again only after a second. This
 * public function makes all of them look, and changes nothing when it says what is known. */
void
client_nudge(struct client *client)
{
    const struct settings *settings = client->settings;
    bool has_password = settings->sasl_password != NULL;
    rd_kafka_error_destroy(
        rd_kafka_sasl_set_credentials(client->rk, has_password ? settings->sasl_username : "-",
                                      has_password ? settings->sasl_password : "-"));
}

/* --- the life ----------------------------------------------------------------------------------*/

static rd_kafka_t *
make(rd_kafka_type_t type, const struct settings *settings, struct gate *gate,
     char why[CLIENT_WHY_BYTES])
{
    struct setup setup = { .conf = rd_kafka_conf_new(), .why = why };
    bool is_producer = type == RD_KAFKA_PRODUCER;
    set_common(&setup, settings);
    if (is_producer)
        set_producer(&setup, settings);
    else
        set_consumer(&setup, settings);
    rd_kafka_conf_set_events(setup.conf,
                             RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_ERROR |
                                 (is_producer ? RD_KAFKA_EVENT_DR
                                              : RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_FETCH |
                                                    RD_KAFKA_EVENT_OFFSET_COMMIT));
    if (gate != NULL)
        gate_set(gate, setup.conf);
    char words[CLIENT_WHY_BYTES - 64];
    rd_kafka_t *rk = setup.failed ? NULL : rd_kafka_new(type, setup.conf, words, sizeof words);
    if (rk == NULL && !setup.failed)
        snprintf(why, CLIENT_WHY_BYTES, "kafka error: %s", words);
    if (rk == NULL)
        rd_kafka_conf_destroy(setup.conf);
    return rk;
}

bool
client_open(struct client *client, rd_kafka_type_t type, const struct settings *settings,
            char why[CLIENT_WHY_BYTES])
{
    client->gate = NULL;
    if (gate_is_needed(settings)) {
        client->gate = gate_new(settings, on_gate_trouble, client, why, CLIENT_WHY_BYTES);
        if (client->gate == NULL)
            return false;
    }
    client->rk = make(type, settings, client->gate, why);
    if (client->rk == NULL) {
        gate_close(client->gate);
        gate_unref(client->gate);
        return false;
    }
    client->settings = settings;
    client->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (client->wake_fd < 0)
        abort();
    if (type == RD_KAFKA_CONSUMER) {
        (void)rd_kafka_poll_set_consumer(client->rk); /* fails for producers only */
        client->queue = rd_kafka_queue_get_consumer(client->rk);
    } else {
        client->queue = rd_kafka_queue_get_main(client->rk);
    }
    (void)rd_kafka_set_log_queue(client->rk, client->queue);
    ev_io_init(&client->watcher, on_readable, client->wake_fd, EV_READ);
    client->watcher.data = client;
    ev_io_start(remora_loop(), &client->watcher);
    client_watch(client, client->queue);
    ev_feed_event(remora_loop(), &client->watcher, EV_READ); /* what it has said before */
    return true;
}

struct ending {
    struct chore chore;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct gate *gate;
    int wake_fd;
};

static void
end(struct chore *chore)
{
    struct ending *ending = (struct ending *)chore;
    if (rd_kafka_type(ending->rk) == RD_KAFKA_CONSUMER)
        (void)rd_kafka_consumer_close(ending->rk); /* what it could not commit comes again */
    rd_kafka_queue_destroy(ending->queue);
    rd_kafka_destroy(ending->rk);
    gate_unref(ending->gate);
    close(ending->wake_fd);
    free(ending);
}

void
client_close(struct client *client)
{
    if (client->rk == NULL)
        return;
    struct ending *ending = calloc(1, sizeof *ending);
    if (ending == NULL)
        abort();
    ev_io_stop(remora_loop(), &client->watcher);
    gate_close(client->gate);
    *ending = (struct ending){ .chore.work = end,
                               .rk = client->rk,
                               .queue = client->queue,
                               .gate = client->gate,
                               .wake_fd = client->wake_fd };
    client->gate = NULL;
    client->rk = NULL;
    client->queue = NULL;
    chore_start(&ending->chore);
}
