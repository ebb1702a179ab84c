/* SPDX-License-Identifier: Apache-2.0 */
/* Component metadata. */
#include "settings.h"

#include <stdio.h>

#include "../shared/reader.h"
#include "../shared/ttl.h"

enum { SHOWN_BYTES = 64 };

static int
shown(struct remora_slice text)
{
    return text.len > SHOWN_BYTES ? SHOWN_BYTES : (int)text.len;
}

static struct remora_slice
text_or(const struct reader *reader, const char *name, const char *otherwise)
{
    struct remora_slice text;
    return reader_find(reader, name, &text) ? text
                                            : (struct remora_slice){ otherwise, strlen(otherwise) };
}

static char *
take_text(struct reader *reader, const char *name, const char *otherwise)
{
    struct remora_slice text = text_or(reader, name, otherwise);
    if (text.len > NAME_BYTES_MAX || memchr(text.data, '\0', text.len) != NULL) {
        reader_complain(reader, "%s is too long or holds a zero byte", name);
        return NULL;
    }
    return memory_slice(text);
}

static bool
take_bool(struct reader *reader, const char *name, bool otherwise)
{
    struct remora_slice text;
    bool flag = otherwise;
    if (reader_find(reader, name, &text) && !remora_parse_bool(text, &flag))
        reader_complain(reader, "'%s' is not a boolean: \"%.*s\"", name, shown(text), text.data);
    return flag;
}

static int64_t
take_number(struct reader *reader, const char *name, int64_t otherwise, int64_t max)
{
    struct remora_slice text;
    int64_t number = otherwise;
    if (reader_find(reader, name, &text) &&
        (!remora_parse_i64(text, &number) || number < 0 || number > max)) {
        reader_complain(reader, "'%s' is not a number from 0 to %lld: \"%.*s\"", name,
                        (long long)max, shown(text), text.data);
        return otherwise;
    }
    return number;
}

static int64_t
take_duration_ms(struct reader *reader, const char *name, int64_t otherwise)
{
    struct remora_slice text;
    int64_t ms = otherwise;
    if (reader_find(reader, name, &text) &&
        (!remora_parse_duration_ms(text, &ms) || ms < 0 || ms > TTL_MS_MAX)) {
        reader_complain(reader, "'%s' is not a duration: \"%.*s\"", name, shown(text), text.data);
        return otherwise;
    }
    return ms;
}

/* --- the connection ----------------------------------------------------------------------------*/

static void
take_connection_string(struct reader *reader, struct remora_slice uri, struct settings *ret)
{
    char why[WHY_BYTES];
    struct remora_slice protocol;
    if (!address_parse(uri, &ret->address, why)) {
        reader_complain(reader, "invalid connection string, err: %s", why);
        return;
    }
    const char *scheme = ret->address.is_tls ? "amqps" : "amqp";
    if (reader_find(reader, "protocol", &protocol) && !remora_slice_eq(protocol, scheme))
        reader_complain(reader,
                        "protocol does not match connection string, protocol: %.*s, "
                        "connection string: %s",
                        shown(protocol), protocol.data, ret->address.shown);
}

static void
take_address(struct reader *reader, struct settings *ret)
{
    struct remora_slice uri;
    char why[WHY_BYTES];
    if (reader_find(reader, "connectionString", &uri)) {
        take_connection_string(reader, uri, ret);
        return;
    }
    if (reader_find(reader, "host", &uri)) { /* as it was called once */
        take_connection_string(reader, uri, ret);
        return;
    }
    if (!address_from_parts(
            text_or(reader, "protocol", "amqp"), text_or(reader, "hostname", "localhost"),
            text_or(reader, "username", ""), text_or(reader, "password", ""), &ret->address, why))
        reader_complain(reader, "%s", why);
}

static char *
take_pem(struct reader *reader, const char *name)
{
    struct remora_slice text;
    if (!reader_find(reader, name, &text))
        return NULL;
    if (text.len > PEM_BYTES_MAX || memchr(text.data, '\0', text.len) != NULL ||
        memmem(text.data, text.len, "-----BEGIN ", 11) == NULL ||
        memmem(text.data, text.len, "-----END ", 9) == NULL) {
        reader_complain(reader, "invalid TLS configuration: invalid %s", name);
        return NULL;
    }
    return memory_slice(text);
}

static void
take_tls(struct reader *reader, struct settings *ret)
{
    ret->ca_cert = take_pem(reader, "caCert");
    ret->client_cert = take_pem(reader, "clientCert");
    ret->client_key = take_pem(reader, "clientKey");
    if (!ret->sasl_external ||
        (ret->ca_cert != NULL && ret->client_cert != NULL && ret->client_key != NULL))
        return;
    reader->prefix = NULL; /* of this only, and if it is the first complaint, the last one too */
    reader_complain(reader,
                    "saslExternal can only be set to true, when all these properties are set: "
                    "caCert, clientCert, clientKey");
}

/* --- topology ----------------------------------------------------------------------------------*/

static bool
take_declare_mode(struct reader *reader, const char *name, const char *what)
{
    struct remora_slice mode = text_or(reader, name, "declare");
    if (mode.len == 7 && strncasecmp(mode.data, "declare", 7) == 0)
        return false;
    if (mode.len == 7 && strncasecmp(mode.data, "passive", 7) == 0)
        return true;
    reader_complain(reader,
                    "invalid RabbitMQ %s declare mode \"%.*s\", accepted values are "
                    "\"declare\" and \"passive\"",
                    what, shown(mode), mode.data);
    return false;
}

static void
take_exchange_kind(struct reader *reader, struct settings *ret)
{
    static const char *const kinds[] = { "fanout", "topic", "direct", "headers",
                                         "x-consistent-hash" };
    ret->exchange_passive = take_declare_mode(reader, "exchangeDeclareMode", "exchange");
    ret->queue_passive = take_declare_mode(reader, "queueDeclareMode", "queue");
    ret->exchange_kind = take_text(reader, "exchangeKind", "fanout");
    if (ret->exchange_kind == NULL || ret->exchange_passive)
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(ret->exchange_kind, kinds[i]) == 0)
            return;
    reader_complain(reader,
                    "invalid RabbitMQ exchange kind \"%.64s\"; the component can declare "
                    "fanout, topic, direct, headers and x-consistent-hash. To use an "
                    "exchange of any other kind, create it out-of-band and set "
                    "exchangeDeclareMode to \"passive\"",
                    ret->exchange_kind);
}

/* Both spellings are in the reference's documents. */
static bool
take_concurrency(struct reader *reader)
{
    struct remora_slice mode;
    const char *name = "concurrency";
    if (!reader_find(reader, name, &mode)) {
        name = "concurrencyMode";
        mode = text_or(reader, name, "parallel");
    }
    bool is_single = remora_slice_eq(mode, "single");
    if (!is_single && !remora_slice_eq(mode, "parallel"))
        reader_complain(reader, "invalid %s %.*s", name, shown(mode), mode.data);
    return is_single;
}

static void
take_publishing(struct reader *reader, struct settings *ret)
{
    char why[WHY_BYTES];
    struct remora_slice mode;
    int64_t number = 0;
    if (reader_find(reader, "deliveryMode", &mode) &&
        (!remora_parse_i64(mode, &number) || number < 0 || number > 2))
        reader_complain(reader, "invalid RabbitMQ delivery mode, accepted values are between "
                                "0 and 2");
    ret->delivery_mode = (uint8_t)number;
    if (!ttl_of(reader->config->metadata, reader->config->metadata_count, &ret->ttl_ms, why,
                sizeof why))
        reader_complain(reader, "parse RabbitMQ ttl metadata with error: %s", why);
    ret->publisher_confirm = take_bool(reader, "publisherConfirm", true);
}

static void
take_consuming(struct reader *reader, struct settings *ret)
{
    struct remora_slice wait;
    ret->durable = take_bool(reader, "durable", true);
    ret->delete_when_unused = take_bool(reader, "deletedWhenUnused", true);
    ret->auto_ack = take_bool(reader, "autoAck", false);
    ret->requeue_in_failure = take_bool(reader, "requeueInFailure", false);
    ret->enable_dead_letter = take_bool(reader, "enableDeadLetter", false);
    ret->has_properties = take_bool(reader, "publishMessagePropertiesToMetadata", false);
    ret->prefetch_count = (uint32_t)take_number(reader, "prefetchCount", 0, PREFETCH_MAX);
    ret->max_len = take_number(reader, "maxLen", 0, INT64_MAX);
    ret->max_len_bytes = take_number(reader, "maxLenBytes", 0, INT64_MAX);
    ret->is_single = take_concurrency(reader);
    const char *name = reader_find(reader, "reconnectWaitSeconds", &wait) ? "reconnectWaitSeconds"
                                                                          : "reconnectWait";
    ret->reconnect_wait_ms = take_duration_ms(reader, name, RECONNECT_WAIT_MS);
    ret->heartbeat_ms = take_duration_ms(reader, "heartBeat", HEARTBEAT_DEFAULT_MS);
}

bool
settings_init(struct settings *settings, const struct remora_config *config, char why[WHY_BYTES])
{
    struct reader reader = {
        .config = config, .why = why, .why_bytes = WHY_BYTES, .prefix = "rabbitmq pub/sub error: "
    };
    *settings = (struct settings){ .shown = "rabbitmq pub/sub", .ttl_ms = -1 };
    take_address(&reader, settings);
    take_publishing(&reader, settings);
    take_exchange_kind(&reader, settings);
    settings->sasl_external = take_bool(&reader, "saslExternal", false);
    take_tls(&reader, settings);
    take_consuming(&reader, settings);
    settings->client_name = take_text(&reader, "clientName", "");
    settings->consumer_id = take_text(&reader, "consumerID", "");
    if (settings->consumer_id != NULL && *settings->consumer_id == '\0' && config->app_id.len > 0) {
        free(settings->consumer_id);
        settings->consumer_id = memory_slice(config->app_id);
    }
    if (reader.failed)
        settings_fini(settings);
    return !reader.failed;
}

/* --- a binding ---------------------------------------------------------------------------------*/

/* As the server takes them: 32 bits of milliseconds, 8 of priority. What is more is the most. */
static void
take_queue(struct reader *reader, struct settings *ret)
{
    char why[WHY_BYTES];
    struct remora_slice text;
    int64_t number;
    ret->queue = take_text(reader, "queueName", "");
    if (ret->queue != NULL && *ret->queue == '\0')
        reader_complain(reader, "missing queue Name");
    if (!ttl_of(reader->config->metadata, reader->config->metadata_count, &ret->queue_ttl_ms, why,
                sizeof why))
        reader_complain(reader, "failed to parse TTL: %s", why);
    ret->queue_ttl_ms = ret->queue_ttl_ms > UINT32_MAX ? UINT32_MAX : ret->queue_ttl_ms;
    ret->max_priority = -1;
    if (!reader_find(reader, "maxPriority", &text))
        return;
    if (!remora_parse_i64(text, &number) || number < 0)
        reader_complain(reader, "can't parse maxPriority field: \"%.*s\"", shown(text), text.data);
    ret->max_priority = number > 255 ? 255 : number;
}

bool
settings_init_binding(struct settings *settings, const struct remora_config *config,
                      char why[WHY_BYTES])
{
    struct remora_slice uri;
    struct reader reader = {
        .config = config, .why = why, .why_bytes = WHY_BYTES, .prefix = "rabbitmq binding error: "
    };
    *settings = (struct settings){ .shown = "rabbitmq binding",
                                   .ttl_ms = -1,
                                   .delivery_mode = 2,
                                   .publisher_confirm = true,
                                   .requeue_in_failure = true,
                                   .is_single = true };
    if (reader_find(&reader, "host", &uri))
        take_connection_string(&reader, uri, settings);
    else
        reader_complain(&reader, "missing host address");
    take_queue(&reader, settings);
    settings->is_exclusive = take_bool(&reader, "exclusive", false);
    settings->durable = take_bool(&reader, "durable", false);
    settings->delete_when_unused = take_bool(&reader, "deleteWhenUnused", false);
    settings->prefetch_count = (uint32_t)take_number(&reader, "prefetchCount", 0, PREFETCH_MAX);
    settings->reconnect_wait_ms = take_duration_ms(&reader, "reconnectWaitInSeconds",
                                                   BINDING_RECONNECT_WAIT_MS);
    settings->heartbeat_ms = HEARTBEAT_DEFAULT_MS;
    settings->sasl_external = take_bool(&reader, "saslExternal", false) ||
                              take_bool(&reader, "externalSasl", false);
    take_tls(&reader, settings);
    settings->exchange_kind = memory_text("");
    settings->client_name = memory_text("");
    settings->consumer_id = memory_text("");
    if (reader.failed)
        settings_fini(settings);
    return !reader.failed;
}

void
settings_fini(struct settings *settings)
{
    free(settings->queue);
    address_fini(&settings->address);
    free(settings->consumer_id);
    free(settings->exchange_kind);
    free(settings->client_name);
    free(settings->ca_cert);
    free(settings->client_cert);
    memory_wipe(settings->client_key);
}
