/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads metadata as the reference does: names in any case, an empty value is none, durations are
 * Go's or bare seconds, except where a field counts milliseconds.
 */
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../shared/reader.h"

enum {
    RETRY_MS = 100,
    BACKOFF_MS = 5000,
    BACKOFF_INITIAL_MS = 500,
    BACKOFF_MAX_MS = 60000,
    RETRY_MS_MAX = 24 * 3600 * 1000,
    HEARTBEAT_MS = 3000,
    SESSION_TIMEOUT_MS = 10000,
    GROUP_MS_MAX = 3600 * 1000, /* of librdkafka, as are the next ones */
    METADATA_REFRESH_MS = 8 * 60 * 1000,
    METADATA_REFRESH_MS_MAX = 3600 * 1000,
    MESSAGE_BYTES = 1000000,
    MESSAGE_BYTES_MIN = 1000,
    MESSAGE_BYTES_MAX = 1000000000,
    FETCH_BYTES = 256 * 1024,
    FETCH_BYTES_MAX = 64 * 1024 * 1024,
    QUEUED_MESSAGES = 256,
    QUEUED_MESSAGES_MAX = 100000,
    CONCURRENCY_MAX = 1000,
    LATEST_SCHEMA_MS = 5 * 60 * 1000,
    LATEST_SCHEMA_MS_MAX = 24 * 3600 * 1000,
    PATTERN_BYTES_MAX = 512,
    TEXT_SHOWN = 64,
};

/* --- values ------------------------------------------------------------------------------------*/

static bool
is_word(struct remora_slice text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

/* What can be shown of a value: printable, and not too much of it. */
static const char *
shown(struct remora_slice text, char ret[TEXT_SHOWN + 1])
{
    size_t len = text.len > TEXT_SHOWN ? TEXT_SHOWN : text.len;
    for (size_t i = 0; i < len; i++)
        ret[i] = (unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f ? '?' : text.data[i];
    ret[len] = '\0';
    return ret;
}

static char *
copy(struct reader *reader, const char *name, struct remora_slice value)
{
    char *text = remora_slice_dup(value);
    if (text == NULL)
        reader_complain(reader, "kafka error: '%s' attribute holds a zero byte", name);
    return text;
}

static char *
take_text(struct reader *reader, const char *name, const char *otherwise)
{
    struct remora_slice value;
    if (!reader_find(reader, name, &value)) {
        if (otherwise == NULL)
            return NULL;
        value = (struct remora_slice){ otherwise, strlen(otherwise) };
    }
    return copy(reader, name, value);
}

static bool
take_bool(struct reader *reader, const char *name, bool otherwise)
{
    struct remora_slice value;
    bool flag = otherwise;
    if (reader_find(reader, name, &value) && !remora_parse_bool(value, &flag))
        reader_complain(reader, "kafka error: invalid value for '%s' attribute", name);
    return flag;
}

static int64_t
take_int(struct reader *reader, const char *name, int64_t otherwise)
{
    struct remora_slice value;
    char text[TEXT_SHOWN + 1];
    int64_t number = otherwise;
    if (reader_find(reader, name, &value) && !remora_parse_i64(value, &number)) {
        reader_complain(reader, "kafka error: cannot parse '%s' as int: \"%s\"", name,
                        shown(value, text));
        return otherwise;
    }
    return number;
}

static int64_t
between(int64_t number, int64_t least, int64_t most)
{
    return number < least ? least : number > most ? most : number;
}

/* A bare number is of `unit_ms`. */
static int64_t
take_duration_ms(struct reader *reader, const char *name, int64_t otherwise, int64_t unit_ms)
{
    struct remora_slice value;
    char text[TEXT_SHOWN + 1];
    int64_t ms = otherwise;
    if (!reader_find(reader, name, &value))
        return otherwise;
    if (unit_ms == 1 && remora_parse_i64(value, &ms)) {
        if (ms < 0 || ms > UINT32_MAX)
            reader_complain(reader, "kafka error: invalid value for '%s' attribute: \"%s\"", name,
                            shown(value, text));
        return ms;
    }
    if (!remora_parse_duration_ms(value, &ms)) {
        reader_complain(reader, "kafka error: error decoding '%s': time: invalid duration \"%s\"",
                        name, shown(value, text));
        return otherwise;
    }
    return ms;
}

/* --- who and how -------------------------------------------------------------------------------*/

static void
take_names(struct reader *reader, struct settings *ret)
{
    const struct remora_config *config = reader->config;
    struct remora_slice value;
    char *id = NULL;
    if (!reader_find(reader, "consumerGroup", &value) && !reader_find(reader, "consumerID", &value))
        value = config->app_id;
    ret->group = copy(reader, "consumerGroup", value);
    if (reader_find(reader, "clientID", &value))
        id = copy(reader, "clientID", value);
    else if (config->namespace_.len == 0)
        id = copy(reader, "clientID", config->app_id);
    else if (asprintf(&id, "%.*s.%.*s", (int)config->namespace_.len, config->namespace_.data,
                      (int)config->app_id.len, config->app_id.data) < 0)
        abort();
    ret->client_id = id;
    if (reader_find(reader, "brokers", &value))
        ret->brokers = copy(reader, "brokers", value);
    else
        reader_complain(reader, "kafka error: missing 'brokers' attribute");
}

/* As Go's pem.Decode looks for a block. */
static bool
is_pem(const char *text)
{
    const char *begin = strstr(text, "-----BEGIN ");
    return begin != NULL && strstr(begin, "-----END ") != NULL;
}

static char *
take_pem(struct reader *reader, const char *name, const char *what)
{
    char *text = take_text(reader, name, NULL);
    if (text != NULL && !is_pem(text))
        reader_complain(reader, "kafka error: invalid %s", what);
    return text;
}

static void
take_password(struct reader *reader, struct settings *ret)
{
    struct remora_slice value = { "", 0 };
    (void)reader_find(reader, "saslMechanism",
                      &value); /* anything else is PLAIN, as in the reference */
    ret->sasl_mechanism = strdup(is_word(value, "SHA-256")   ? "SCRAM-SHA-256"
                                 : is_word(value, "SHA-512") ? "SCRAM-SHA-512"
                                                             : "PLAIN");
    ret->sasl_username = take_text(reader, "saslUsername", NULL);
    ret->sasl_password = take_text(reader, "saslPassword", NULL);
    if (ret->sasl_username == NULL)
        reader_complain(reader, "kafka error: missing SASL Username for authType 'password'");
    if (ret->sasl_password == NULL)
        reader_complain(reader, "kafka error: missing SASL Password for authType 'password'");
}

static void
take_client_certificate(struct reader *reader, struct settings *ret)
{
    ret->client_cert = take_pem(reader, "clientCert", "client certificate");
    ret->client_key = take_pem(reader, "clientKey", "client key");
    if ((ret->client_cert == NULL) != (ret->client_key == NULL))
        reader_complain(reader, "kafka error: clientKey or clientCert is missing");
    if (ret->client_cert == NULL)
        reader_complain(reader,
                        "unable to load client certificate and key pair. Err: there are none");
    if (ret->disable_tls)
        reader_complain(reader,
                        "kafka: cannot configure mTLS authentication when TLSDisable is 'true'");
}

/* The older `authRequired` counts where there is no authType. */
static struct remora_slice
auth_type(struct reader *reader)
{
    struct remora_slice value, legacy, password;
    bool is_required = false;
    if (reader_find(reader, "authType", &value) || !reader_find(reader, "authRequired", &legacy)) {
        if (!reader_find(reader, "authType", &value))
            reader_complain(reader, "kafka error: 'authType' attribute was missing or empty");
        return value;
    }
    if (!remora_parse_bool(legacy, &is_required))
        reader_complain(reader, "kafka error: invalid value for 'authRequired' attribute");
    const char *type = !is_required                                     ? "none"
                       : reader_find(reader, "saslPassword", &password) ? "password"
                                                                        : "mtls";
    return (struct remora_slice){ type, strlen(type) };
}

static void
take_auth(struct reader *reader, struct settings *ret)
{
    ret->disable_tls = take_bool(reader, "disableTls", false);
    ret->skip_verify = take_bool(reader, "skipVerify", false);
    ret->ca_cert = take_pem(reader, "caCert", "ca certificate");
    struct remora_slice type = auth_type(reader);
    if (reader->failed)
        return;
    if (is_word(type, "none")) {
        ret->auth = AUTH_NONE;
    } else if (is_word(type, "password")) {
        ret->auth = AUTH_PASSWORD;
        take_password(reader, ret);
    } else if (is_word(type, "mtls")) {
        ret->auth = AUTH_MTLS;
        take_client_certificate(reader, ret);
    } else if (is_word(type, "certificate")) {
        ret->auth = AUTH_CERTIFICATE;
        if (ret->ca_cert == NULL)
            reader_complain(reader,
                            "missing CA certificate property 'caCert' for authType 'certificate'");
    } else if (is_word(type, "oidc") || is_word(type, "oidc_private_key_jwt") ||
               is_word(type, "awsiam")) {
        reader_complain(reader, "kafka error: authType '%.*s' is not supported yet", (int)type.len,
                        type.data);
    } else {
        reader_complain(reader, "kafka error: invalid value for 'authType' attribute");
    }
}

/* --- messages ----------------------------------------------------------------------------------*/

static void
take_offset(struct reader *reader, struct settings *ret)
{
    struct remora_slice value;
    char text[TEXT_SHOWN + 1];
    if (!reader_find(reader, "initialOffset", &value))
        return;
    ret->from_oldest = is_word(value, "oldest");
    if (!ret->from_oldest && !is_word(value, "newest"))
        reader_complain(reader, "kafka error: invalid initialOffset: %s", shown(value, text));
}

static void
take_compression(struct reader *reader, struct settings *ret)
{
    static const char *const known[] = { "none", "gzip", "snappy", "lz4", "zstd" };
    struct remora_slice value = { "none", 4 };
    char text[TEXT_SHOWN + 1];
    (void)reader_find(reader, "compression", &value);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (is_word(value, known[i])) {
            ret->compression = strdup(known[i]);
            return;
        }
    reader_complain(reader, "kafka error: invalid compression codec '%s'", shown(value, text));
}

/* Go's \d, and (?i) in front of everything, put into the words of the C library. */
static void
take_excluded(struct reader *reader, struct settings *ret)
{
    struct remora_slice value;
    char pattern[PATTERN_BYTES_MAX * 5 + 1];
    size_t len = 0, at = 0;
    int flags = REG_EXTENDED | REG_NOSUB;
    if (!reader_find(reader, "excludeHeaderMetaRegex", &value))
        return;
    if (value.len > PATTERN_BYTES_MAX || memchr(value.data, '\0', value.len) != NULL) {
        reader_complain(reader,
                        "kafka error: invalid value for 'excludeHeaderMetaRegex' attribute");
        return;
    }
    if (value.len >= 4 && memcmp(value.data, "(?i)", 4) == 0) {
        flags |= REG_ICASE;
        at = 4;
    }
    for (; at < value.len; at++) {
        bool is_pair = value.data[at] == '\\' && at + 1 < value.len;
        if (is_pair && value.data[at + 1] == 'd') {
            memcpy(pattern + len, "[0-9]", 5);
            len += 5;
            at++;
            continue;
        }
        pattern[len++] = value.data[at];
        if (is_pair)
            pattern[len++] = value.data[++at];
    }
    pattern[len] = '\0';
    ret->has_excluded = regcomp(&ret->excluded, pattern, flags) == 0;
    if (!ret->has_excluded)
        reader_complain(reader,
                        "kafka error: invalid value for 'excludeHeaderMetaRegex' attribute");
}

/* `consumeRetryInterval` unless the longer names of the reference's back-off are there. */
static void
take_retries(struct reader *reader, struct settings *ret)
{
    struct remora_slice value;
    ret->is_retried = take_bool(reader, "consumeRetryEnabled", true);
    ret->retry_ms = take_duration_ms(reader, "consumeRetryInterval", RETRY_MS, 1);
    ret->retries_max = take_int(reader, "backOffMaxRetries", RETRY_FOR_EVER);
    if (reader_find(reader, "backOffDuration", &value))
        ret->retry_ms = take_duration_ms(reader, "backOffDuration", BACKOFF_MS, 1000);
    if (reader_find(reader, "backOffPolicy", &value)) {
        ret->retry_grows = is_word(value, "exponential");
        if (!ret->retry_grows && !is_word(value, "constant"))
            reader_complain(reader, "kafka error: invalid value for 'backOffPolicy' attribute");
    }
    if (ret->retry_grows)
        ret->retry_ms = take_duration_ms(reader, "backOffInitialInterval", BACKOFF_INITIAL_MS,
                                         1000);
    ret->retry_max_ms = take_duration_ms(reader, "backOffMaxInterval", BACKOFF_MAX_MS, 1000);
    ret->retry_ms = between(ret->retry_ms, 0, RETRY_MS_MAX);
    ret->retry_max_ms = between(ret->retry_max_ms, ret->retry_ms, RETRY_MS_MAX);
    ret->concurrency = between(take_int(reader, "concurrency", 1), 1, CONCURRENCY_MAX);
}

static void
take_messages(struct reader *reader, struct settings *ret)
{
    int64_t bytes = take_int(reader, "maxMessageBytes", 0);
    ret->message_bytes_max = bytes <= 0 ? MESSAGE_BYTES
                                        : between(bytes, MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX);
    ret->fetch_min = between(take_int(reader, "consumerFetchMin", 1), 1, FETCH_BYTES_MAX);
    ret->fetch_default = between(take_int(reader, "consumerFetchDefault", FETCH_BYTES), 1024,
                                 FETCH_BYTES_MAX);
    ret->queued_messages = between(take_int(reader, "channelBufferSize", QUEUED_MESSAGES), 1,
                                   QUEUED_MESSAGES_MAX);
    ret->escape_headers = take_bool(reader, "escapeHeaders", false);
}

/* --- the cluster -------------------------------------------------------------------------------*/

static void
take_timeouts(struct reader *reader, struct settings *ret)
{
    ret->heartbeat_ms = between(take_duration_ms(reader, "heartbeatInterval", HEARTBEAT_MS, 1000),
                                1, GROUP_MS_MAX);
    ret->session_timeout_ms = between(
        take_duration_ms(reader, "sessionTimeout", SESSION_TIMEOUT_MS, 1000), 1, GROUP_MS_MAX);
    int64_t refresh = take_duration_ms(reader, "clientConnectionTopicMetadataRefreshInterval",
                                       METADATA_REFRESH_MS, 1000);
    ret->metadata_refresh_ms = refresh <= 0 ? METADATA_REFRESH_MS
                                            : between(refresh, 10, METADATA_REFRESH_MS_MAX);
    ret->keep_alive_ms = take_duration_ms(reader, "clientConnectionKeepAliveInterval", 0, 1000);
}

/* "2.0.0", or "0.10.2.0". Its meaning is found out by asking the server. */
static void
check_version(struct reader *reader)
{
    struct remora_slice value;
    if (!reader_find(reader, "version", &value))
        return;
    size_t dots = 0;
    bool is_sound = value.data[0] != '.' && value.data[value.len - 1] != '.';
    for (size_t i = 0; i < value.len; i++) {
        dots += value.data[i] == '.';
        is_sound = is_sound && ((value.data[i] >= '0' && value.data[i] <= '9') ||
                                (value.data[i] == '.' && value.data[i - 1] != '.'));
    }
    if (!is_sound ||
        dots != (value.len > 1 && value.data[0] == '0' && value.data[1] == '.' ? 3 : 2))
        reader_complain(reader, "kafka error: invalid kafka version");
}

/* Of schemas, for messages whose metadata say that they are Avro. */
static void
take_registry(struct reader *reader, struct settings *ret)
{
    struct remora_slice url;
    ret->registry_key = take_text(reader, "schemaRegistryAPIKey", "");
    ret->registry_secret = take_text(reader, "schemaRegistryAPISecret", "");
    ret->keeps_schemas = take_bool(reader, "schemaCachingEnabled", true);
    ret->is_avro_json = take_bool(reader, "useAvroJSON", false);
    ret->latest_ms = between(
        take_duration_ms(reader, "schemaLatestVersionCacheTTL", LATEST_SCHEMA_MS, 1000), 0,
        LATEST_SCHEMA_MS_MAX);
    if (!reader_find(reader, "schemaRegistryURL", &url))
        return;
    while (url.len > 0 && url.data[url.len - 1] == '/')
        url.len--;
    ret->registry_url = copy(reader, "schemaRegistryURL", url);
    const char *text = ret->registry_url == NULL ? "" : ret->registry_url;
    if (strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0)
        reader_complain(reader, "kafka error: invalid value for 'schemaRegistryURL' attribute");
}

/* What all members of a group have to agree on. Any other word is the first, as in the reference.
 */
static void
take_strategy(struct reader *reader, struct settings *ret)
{
    struct remora_slice value = { "range", 5 };
    char text[TEXT_SHOWN + 1];
    (void)reader_find(reader, "consumerGroupRebalanceStrategy", &value);
    ret->strategy = is_word(value, "sticky")       ? SHARE_STICKY
                    : is_word(value, "roundrobin") ? SHARE_ROUND_ROBIN
                                                   : SHARE_BY_RANGE;
    if (ret->strategy == SHARE_BY_RANGE && !is_word(value, "range"))
        remora_log(REMORA_WARN,
                   "Invalid consumer group rebalance strategy: %s. Using default strategy: 'range'",
                   shown(value, text));
}

bool
settings_use_tls(const struct settings *settings)
{
    return settings->auth != AUTH_NONE && !settings->disable_tls;
}

bool
settings_parse(const struct remora_config *config, struct settings *ret,
               char why[SETTINGS_WHY_BYTES])
{
    struct reader reader = { .config = config, .why = why, .why_bytes = SETTINGS_WHY_BYTES };
    struct settings settings = { 0 };
    take_offset(&reader, &settings);
    take_names(&reader, &settings);
    take_auth(&reader, &settings);
    take_registry(&reader, &settings);
    take_strategy(&reader, &settings);
    check_version(&reader);
    take_compression(&reader, &settings);
    take_retries(&reader, &settings);
    take_messages(&reader, &settings);
    take_timeouts(&reader, &settings);
    take_excluded(&reader, &settings);
    if (reader.failed) {
        settings_fini(&settings);
        return false;
    }
    *ret = settings;
    return true;
}

/* --- a binding ---------------------------------------------------------------------------------*/

static bool
has_topic(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->topic_count; i++)
        if (strcmp(settings->topics[i], name) == 0)
            return true;
    return false;
}

static void
add_topic(struct reader *reader, struct settings *ret, struct remora_slice name)
{
    while (name.len > 0 && name.data[0] == ' ')
        name = (struct remora_slice){ name.data + 1, name.len - 1 };
    while (name.len > 0 && name.data[name.len - 1] == ' ')
        name.len--;
    char *topic = name.len == 0 ? NULL : copy(reader, "topics", name);
    if (topic == NULL || has_topic(ret, topic)) {
        free(topic);
        return;
    }
    if (ret->topic_count == SETTINGS_TOPICS_MAX) {
        reader_complain(reader, "kafka error: 'topics' are more than %d", SETTINGS_TOPICS_MAX);
        free(topic);
        return;
    }
    ret->topics[ret->topic_count++] = topic;
}

bool
settings_parse_binding(const struct remora_config *config, struct settings *ret,
                       char why[SETTINGS_WHY_BYTES])
{
    struct reader reader = { .config = config, .why = why, .why_bytes = SETTINGS_WHY_BYTES };
    struct remora_slice names;
    if (!settings_parse(config, ret, why))
        return false;
    ret->publish_topic = take_text(&reader, "publishTopic", "");
    if (!reader_find(&reader, "topics", &names))
        names.len = 0;
    while (names.len > 0) {
        const char *comma = memchr(names.data, ',', names.len);
        size_t len = comma == NULL ? names.len : (size_t)(comma - names.data);
        add_topic(&reader, ret, (struct remora_slice){ names.data, len });
        len += comma != NULL;
        names = (struct remora_slice){ names.data + len, names.len - len };
    }
    if (reader.failed)
        settings_fini(ret);
    return !reader.failed;
}

static void
wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void
settings_fini(struct settings *settings)
{
    free(settings->brokers);
    free(settings->group);
    free(settings->client_id);
    free(settings->sasl_mechanism);
    free(settings->sasl_username);
    wipe(settings->sasl_password);
    free(settings->ca_cert);
    free(settings->client_cert);
    wipe(settings->client_key);
    free(settings->compression);
    wipe(settings->registry_url); /* may have a password in front of the host */
    free(settings->registry_key);
    wipe(settings->registry_secret);
    free(settings->publish_topic);
    for (size_t i = 0; i < settings->topic_count; i++)
        free(settings->topics[i]);
    if (settings->has_excluded)
        regfree(&settings->excluded);
    *settings = (struct settings){ 0 };
}
