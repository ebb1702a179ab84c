/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata fields of the reference's Redis components, read as the reference reads them: names in
 * any case, an empty value is none, a duration is Go's or a bare number of milliseconds, -1
 * switches a timeout off.
 */
#include "settings.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/reader.h"

enum {
    DIAL_TIMEOUT_MS = 5000,
    READ_TIMEOUT_MS = 3000,
    RETRY_INTERVAL_MAX_MS = 512, /* the reference waits no longer between attempts */
    MAX_RETRIES = 3,
    TEXT_SHOWN = 64,
    REDELIVER_INTERVAL_MS = 60000,
    PROCESSING_TIMEOUT_MS = 15000,
    QUEUE_DEPTH = 100,
    QUEUE_DEPTH_MAX = 10000,
    CONCURRENCY = 10,
};

/* --- values ------------------------------------------------------------------------------------*/

/* As Go's %q shows it, cut to a sensible length. */
static const char *
quoted(struct remora_slice text, char shown[TEXT_SHOWN * 4 + 3])
{
    size_t len = 0;
    shown[len++] = '"';
    for (size_t i = 0; i < text.len && i < TEXT_SHOWN; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte == '"' || byte == '\\') {
            shown[len++] = '\\';
            shown[len++] = (char)byte;
        } else if (byte < 0x20 || byte == 0x7f) {
            static const char hex[] = "0123456789abcdef";
            shown[len++] = '\\';
            shown[len++] = 'x';
            shown[len++] = hex[byte >> 4];
            shown[len++] = hex[byte & 15];
        } else {
            shown[len++] = (char)byte;
        }
    }
    shown[len++] = '"';
    shown[len] = '\0';
    return shown;
}

bool
parse_int(struct remora_slice text, const char *function, int64_t *ret,
          char why[SETTINGS_WHY_BYTES])
{
    char shown[TEXT_SHOWN * 4 + 3];
    size_t i = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    bool negative = text.len > 0 && text.data[0] == '-', fits = true, digits = i < text.len;
    int64_t value = 0;
    for (; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            digits = false;
            break;
        }
        int64_t digit = text.data[i] - '0';
        fits = fits && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, negative ? -digit : digit, &value);
    }
    if (digits && fits) {
        *ret = value;
        return true;
    }
    snprintf(why, SETTINGS_WHY_BYTES, "strconv.%s: parsing %s: %s", function, quoted(text, shown),
             digits ? "value out of range" : "invalid syntax");
    return false;
}

static char *
take_text(struct reader *reader, const char *name, const char *otherwise)
{
    struct remora_slice value;
    if (!reader_find(reader, name, &value))
        value = (struct remora_slice){ otherwise, otherwise == NULL ? 0 : strlen(otherwise) };
    if (value.data == NULL)
        return NULL;
    char *copy = remora_slice_dup(value);
    if (copy == NULL)
        reader_complain(reader, "redis client configuration error: %s holds a zero byte", name);
    return copy;
}

static bool
take_bool(struct reader *reader, const char *name, bool otherwise)
{
    struct remora_slice value;
    bool flag = otherwise;
    if (reader_find(reader, name, &value) && !remora_parse_bool(value, &flag))
        reader_complain(reader, "redis client configuration error: %s is not a boolean", name);
    return flag;
}

static int64_t
take_int(struct reader *reader, const char *name, int64_t otherwise)
{
    struct remora_slice value;
    char why[SETTINGS_WHY_BYTES];
    int64_t number = otherwise;
    if (reader_find(reader, name, &value) && !parse_int(value, "ParseInt", &number, why))
        reader_complain(reader, "redis client configuration error: decode failed. %s: %s", name,
                        why);
    return number;
}

/* -1 when switched off. */
static int64_t
take_timeout_ms(struct reader *reader, const char *name, int64_t otherwise)
{
    struct remora_slice value;
    char why[SETTINGS_WHY_BYTES], shown[TEXT_SHOWN * 4 + 3];
    int64_t ms;
    if (!reader_find(reader, name, &value))
        return otherwise;
    if (!parse_int(value, "ParseInt", &ms, why) && !remora_parse_duration_ms(value, &ms)) {
        reader_complain(
            reader,
            "redis client configuration error: decode failed. %s: time: invalid duration %s", name,
            quoted(value, shown));
        return otherwise;
    }
    return ms < 0 ? -1 : ms == 0 ? otherwise : ms;
}

/* --- address -----------------------------------------------------------------------------------*/

/* "host", "host:port", "[v6]:port", "[v6]" or a bare "v6". */
static bool
split_address(struct remora_slice text, struct remora_slice *ret_host,
              struct remora_slice *ret_port)
{
    const char *end = text.data + text.len;
    const char *colon = memrchr(text.data, ':', text.len);
    *ret_host = text;
    *ret_port = (struct remora_slice){ "", 0 };
    if (text.data[0] == '[') {
        const char *close = memchr(text.data, ']', text.len);
        if (close == NULL || (close + 1 != end && close[1] != ':'))
            return false;
        *ret_host = (struct remora_slice){ text.data + 1, (size_t)(close - text.data - 1) };
        colon = close + 1 == end ? NULL : close + 1;
    } else if (colon != NULL && memchr(text.data, ':', text.len) != colon) {
        colon = NULL; /* several colons: an address of version 6 */
    } else if (colon != NULL) {
        ret_host->len = (size_t)(colon - text.data);
    }
    if (colon != NULL)
        *ret_port = (struct remora_slice){ colon + 1, (size_t)(end - colon - 1) };
    return ret_host->len > 0 && ret_host->len <= 253;
}

/* One of the addresses of redisHost, with the port that redisPort gives, if any. */
static void
take_address(struct reader *reader, struct remora_slice text, struct settings *ret)
{
    struct remora_slice host, port, configured;
    char why[SETTINGS_WHY_BYTES];
    int64_t number = 0;
    if (text.len == 0 || !split_address(text, &host, &port)) {
        reader_complain(reader, "redis store error: redisHost is not host:port");
        return;
    }
    bool has_port = reader_find(reader, "redisPort", &configured);
    if (has_port && port.len > 0 &&
        (port.len != configured.len || memcmp(port.data, configured.data, port.len) != 0)) {
        reader_complain(
            reader,
            "redis host \"%.*s\" already contains port %.*s, but redisPort is set to %.*s; "
            "either remove the port from redisHost or remove the redisPort setting",
            (int)text.len, text.data, (int)port.len, port.data,
            (int)(configured.len > 20 ? 20 : configured.len), configured.data);
        return;
    }
    if (port.len == 0)
        port = has_port ? configured : (struct remora_slice){ "6379", 4 };
    if (!parse_int(port, "ParseInt", &number, why) || number < 1 || number > 65535) {
        reader_complain(reader,
                        "redis store error: the port of redisHost is not between 1 and 65535");
        return;
    }
    char decimal[8];
    snprintf(decimal, sizeof decimal, "%d", (int)number);
    char *copy = remora_slice_dup(host);
    if (copy == NULL) {
        reader_complain(reader, "redis store error: redisHost holds a zero byte");
        return;
    }
    ret->hosts[ret->host_count].host = copy;
    ret->hosts[ret->host_count++].port = remora_slice_dup(
        (struct remora_slice){ decimal, strlen(decimal) });
}

static void
show_hosts(struct settings *ret)
{
    struct resp_buf shown = { 0 };
    char one[300];
    for (size_t i = 0; i < ret->host_count; i++) {
        const char *host = ret->hosts[i].host;
        snprintf(one, sizeof one, strchr(host, ':') == NULL ? "%s%s:%s" : "%s[%s]:%s",
                 i == 0 ? "" : ",", host, ret->hosts[i].port);
        resp_buf_append(&shown, one, strlen(one));
    }
    resp_buf_append(&shown, "", 1);
    ret->shown_host = shown.data; /* moved */
}

static struct remora_slice
trim(struct remora_slice text)
{
    while (text.len > 0 && isspace((unsigned char)text.data[0]))
        text = (struct remora_slice){ text.data + 1, text.len - 1 };
    while (text.len > 0 && isspace((unsigned char)text.data[text.len - 1]))
        text.len--;
    return text;
}

static void
take_addresses(struct reader *reader, struct settings *ret)
{
    struct remora_slice rest;
    if (!reader_find(reader, "redisHost", &rest)) {
        reader_complain(reader, "redis store error: missing redisHost");
        return;
    }
    for (bool more = true; more && !reader->failed;) {
        const char *comma = memchr(rest.data, ',', rest.len);
        struct remora_slice one = { rest.data,
                                    comma == NULL ? rest.len : (size_t)(comma - rest.data) };
        more = comma != NULL;
        if (ret->host_count == SETTINGS_HOSTS_MAX) {
            reader_complain(reader, "redis store error: redisHost names more than %d hosts",
                            SETTINGS_HOSTS_MAX);
            return;
        }
        take_address(reader, trim(one), ret);
        if (more)
            rest = (struct remora_slice){ comma + 1, rest.len - one.len - 1 };
    }
    if (ret->host_count > 1 && !ret->failover && !ret->is_cluster)
        reader_complain(reader,
                        "redis store error: redisHost names several hosts, which needs failover "
                        "or redisType cluster");
    show_hosts(ret);
}

static void
take_failover(struct reader *reader, struct settings *ret)
{
    ret->failover = take_bool(reader, "failover", false);
    ret->master_name = take_text(reader, "sentinelMasterName", "");
    ret->sentinel_username = take_text(reader, "sentinelUsername", "");
    ret->sentinel_password = take_text(reader, "sentinelPassword", "");
    if (ret->failover && ret->master_name != NULL && ret->master_name[0] == '\0')
        reader_complain(reader, "redis store error: failover needs sentinelMasterName");
}

/* With failover the sentinels have the word, as in the reference's client. */
static void
take_type(struct reader *reader, struct settings *ret)
{
    struct remora_slice value;
    if (!reader_find(reader, "redisType", &value))
        return;
    ret->is_cluster = remora_slice_eq(value, "cluster") && !ret->failover;
    if (!remora_slice_eq(value, "cluster") && !remora_slice_eq(value, "node"))
        reader_complain(reader, "redis store error: redisType must be node or cluster");
}

/* --- what we do not do -------------------------------------------------------------------------*/

static void
refuse_unsupported(struct reader *reader)
{
    static const char *const switches[] = { "useEntraID", "useAzureAD", "useOIDC" };
    struct remora_slice value;
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
        if (take_bool(reader, switches[i], false))
            reader_complain(reader, "redis store error: %s is not supported yet", switches[i]);
    if (reader_find(reader, "queryIndexes", &value))
        reader_complain(reader, "redis store error: queryIndexes is not supported yet");
}

/* Read for their form only: one pipelined connection has no pool to size. */
static void
check_pool_fields(struct reader *reader)
{
    static const char *const numbers[] = { "poolSize", "minIdleConns" };
    static const char *const durations[] = { "maxConnAge", "poolTimeout", "idleTimeout",
                                             "idleCheckFrequency", "redisMaxRetryInterval" };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        (void)take_int(reader, numbers[i], 0);
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++)
        (void)take_timeout_ms(reader, durations[i], 0);
}

static void
take_retries(struct reader *reader, struct settings *ret)
{
    struct remora_slice value;
    ret->max_retries = take_int(
        reader, reader_find(reader, "redisMaxRetries", &value) ? "redisMaxRetries" : "maxRetries",
        MAX_RETRIES);
    if (ret->max_retries == 0)
        ret->max_retries = MAX_RETRIES; /* zero is "default" in the reference's client */
    ret->min_retry_interval_ms = take_timeout_ms(reader, "redisMinRetryInterval",
                                                 RETRY_INTERVAL_MAX_MS);
    if (reader_find(reader, "maxRetryBackoff", &value) &&
        !reader_find(reader, "redisMinRetryInterval", &value))
        ret->min_retry_interval_ms = take_int(reader, "maxRetryBackoff", 0) / 1000000; /* ns */
    if (ret->min_retry_interval_ms > RETRY_INTERVAL_MAX_MS)
        ret->min_retry_interval_ms = RETRY_INTERVAL_MAX_MS;
    if (ret->min_retry_interval_ms < 0)
        ret->min_retry_interval_ms = 0;
}

static void
take_ttl(struct reader *reader, struct settings *ret)
{
    struct remora_slice value;
    ret->has_ttl = reader_find(reader, "ttlInSeconds", &value);
    ret->ttl_seconds = take_int(reader, "ttlInSeconds", 0);
}

bool
settings_parse(const struct remora_config *config, struct settings *ret,
               char why[SETTINGS_WHY_BYTES])
{
    struct reader reader = { .config = config, .why = why, .why_bytes = SETTINGS_WHY_BYTES };
    struct settings settings = { 0 };
    refuse_unsupported(&reader);
    take_failover(&reader, &settings);
    take_type(&reader, &settings);
    take_addresses(&reader, &settings);
    settings.username = take_text(&reader, "redisUsername", "");
    settings.password = take_text(&reader, "redisPassword", "");
    settings.db = take_int(&reader, "redisDB", 0);
    if (settings.is_cluster) /* which has one, and the reference asks for no other */
        settings.db = 0;
    settings.enable_tls = take_bool(&reader, "enableTLS", false);
    settings.skip_verify = take_bool(&reader, "insecureSkipTLSVerify", false);
    settings.client_cert = take_text(&reader, "clientCert", NULL);
    settings.client_key = take_text(&reader, "clientKey", NULL);
    settings.ca_cert = take_text(&reader, "caCert", NULL);
    settings.dial_timeout_ms = take_timeout_ms(&reader, "dialTimeout", DIAL_TIMEOUT_MS);
    if (settings.dial_timeout_ms < 0)
        settings.dial_timeout_ms = DIAL_TIMEOUT_MS; /* a dial without an end helps nobody */
    settings.read_timeout_ms = take_timeout_ms(&reader, "readTimeout", READ_TIMEOUT_MS);
    settings.write_timeout_ms = take_timeout_ms(&reader, "writeTimeout", settings.read_timeout_ms);
    take_retries(&reader, &settings);
    take_ttl(&reader, &settings);
    check_pool_fields(&reader);
    if (reader.failed) {
        settings_fini(&settings);
        return false;
    }
    *ret = settings;
    return true;
}

void
settings_fini(struct settings *settings)
{
    if (settings->password != NULL)
        explicit_bzero(settings->password, strlen(settings->password));
    if (settings->client_key != NULL)
        explicit_bzero(settings->client_key, strlen(settings->client_key));
    if (settings->sentinel_password != NULL)
        explicit_bzero(settings->sentinel_password, strlen(settings->sentinel_password));
    for (size_t i = 0; i < settings->host_count; i++) {
        free(settings->hosts[i].host);
        free(settings->hosts[i].port);
    }
    free(settings->master_name);
    free(settings->sentinel_username);
    free(settings->sentinel_password);
    free(settings->shown_host);
    free(settings->username);
    free(settings->password);
    free(settings->client_cert);
    free(settings->client_key);
    free(settings->ca_cert);
    *settings = (struct settings){ 0 };
}

/* --- pub/sub -----------------------------------------------------------------------------------*/

/* 0 and less are 0: switched off. */
static int64_t
take_interval_ms(struct reader *reader, const char *name, int64_t otherwise)
{
    struct remora_slice value;
    int64_t ms = otherwise;
    if (reader_find(reader, name, &value) && remora_slice_eq(value, "0"))
        return 0;
    ms = take_timeout_ms(reader, name, otherwise);
    return ms < 0 ? 0 : ms;
}

static int64_t
take_count(struct reader *reader, const char *name, int64_t otherwise, int64_t least, int64_t most)
{
    int64_t count = take_int(reader, name, otherwise);
    if (count < 0)
        reader_complain(reader, "redis client configuration error: %s is negative", name);
    return count < least ? least : count > most ? most : count;
}

bool
broker_settings_parse(const struct remora_config *config, struct broker_settings *ret,
                      char why[SETTINGS_WHY_BYTES])
{
    struct reader reader = { .config = config, .why = why, .why_bytes = SETTINGS_WHY_BYTES };
    struct broker_settings settings = { 0 };
    struct remora_slice value;
    settings.consumer = reader_find(&reader, "consumerID", &value)
                            ? take_text(&reader, "consumerID", "")
                            : remora_slice_dup(config->app_id);
    settings.redeliver_interval_ms = take_interval_ms(&reader, "redeliverInterval",
                                                      REDELIVER_INTERVAL_MS);
    settings.processing_timeout_ms = take_interval_ms(&reader, "processingTimeout",
                                                      PROCESSING_TIMEOUT_MS);
    settings.queue_depth = take_count(&reader, "queueDepth", QUEUE_DEPTH, 1, QUEUE_DEPTH_MAX);
    settings.concurrency = take_count(&reader, "concurrency", CONCURRENCY, 1, QUEUE_DEPTH_MAX);
    settings.acks_on_error = take_bool(&reader, "ackOnError", false);
    settings.max_len = take_count(&reader, "maxLenApprox", 0, 0, INT64_MAX);
    settings.stream_ttl_ms = take_interval_ms(&reader, "streamTTL", 0);
    if (settings.consumer == NULL || settings.consumer[0] == '\0')
        reader_complain(&reader, "redis streams error: missing consumerID");
    if (reader.failed) {
        broker_settings_fini(&settings);
        return false;
    }
    *ret = settings;
    return true;
}

void
broker_settings_fini(struct broker_settings *settings)
{
    free(settings->consumer);
    *settings = (struct broker_settings){ 0 };
}
