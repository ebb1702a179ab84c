/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the JSON of the configuration. A registration goes to the agent as the user wrote it, with
 * the port and our generation added: the agent knows its own fields best.
 */
#include "settings.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../shared/memory.h"

struct reading {
    struct settings *settings;
    const struct remora_instance *instance;
    char *error;
    bool has_failed; /* the first failure counts */
};

static void
fail(struct reading *reading, const char *where, const char *what)
{
    if (!reading->has_failed)
        snprintf(reading->error, ERROR_BYTES, "error deserializing to configSpec: %s %s", where,
                 what);
    reading->has_failed = true;
}

/* --- members -----------------------------------------------------------------------------------*/

/* NULL if it is absent or null, or no object (which is an error). */
static const cJSON *
get_object(struct reading *reading, const cJSON *from, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(from, name);
    if (item == NULL || cJSON_IsNull(item))
        return NULL;
    if (cJSON_IsObject(item))
        return item;
    fail(reading, name, "is no map");
    return NULL;
}

/* Borrowed; NULL if it is absent or empty. */
static const char *
get_text(struct reading *reading, const cJSON *from, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(from, name);
    if (item == NULL || cJSON_IsNull(item))
        return NULL;
    if (!cJSON_IsString(item)) {
        fail(reading, name, "is no string");
        return NULL;
    }
    if (strpbrk(item->valuestring, "\r\n") != NULL)
        fail(reading, name, "has a line break");
    return *item->valuestring != '\0' ? item->valuestring : NULL;
}

static char *
copy_text(struct reading *reading, const cJSON *from, const char *name)
{
    const char *text = get_text(reading, from, name);
    return text != NULL ? memory_text(text) : NULL;
}

static bool
get_bool(struct reading *reading, const cJSON *from, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(from, name);
    bool value = false;
    if (item == NULL || cJSON_IsNull(item))
        return false;
    if (cJSON_IsBool(item))
        return cJSON_IsTrue(item);
    struct remora_slice text = { item->valuestring,
                                 cJSON_IsString(item) ? strlen(item->valuestring) : 0 };
    if (!cJSON_IsString(item) || !remora_parse_bool(text, &value))
        fail(reading, name, "is no boolean");
    return value;
}

/* Durations are nanoseconds, or texts such as "10s". */
static int64_t
get_duration_ms(struct reading *reading, const cJSON *from, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(from, name);
    int64_t ms = 0;
    if (item == NULL || cJSON_IsNull(item))
        return 0;
    if (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble < 1e18)
        return (int64_t)(item->valuedouble / 1e6);
    struct remora_slice text = { item->valuestring,
                                 cJSON_IsString(item) ? strlen(item->valuestring) : 0 };
    if (!cJSON_IsString(item) || !remora_parse_duration_ms(text, &ms) || ms < 0)
        fail(reading, name, "is no duration");
    return ms;
}

/* --- what the environment of the sidecar says --------------------------------------------------*/

static char *
value_of(const struct remora_instance *instance, const char *name, size_t len)
{
    const struct {
        const char *name;
        unsigned port;
    } ports[] = {
        { "APP_PORT", instance->app_port },
        { "DAPR_HTTP_PORT", instance->http_port },
        { "DAPR_GRPC_PORT", instance->grpc_port },
        { "DAPR_PORT", instance->internal_port },
    };
    struct remora_slice wanted = { name, len };
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
        if (remora_slice_eq(wanted, ports[i].name))
            return memory_printf("%u", ports[i].port);
    struct remora_slice text = remora_slice_eq(wanted, "APP_ID")         ? instance->app_id
                               : remora_slice_eq(wanted, "HOST_ADDRESS") ? instance->host_address
                               : remora_slice_eq(wanted, "NAMESPACE")
                                   ? instance->namespace_
                                   : (struct remora_slice){ NULL, 0 };
    return text.data != NULL ? memory_printf("%.*s", (int)text.len, text.data) : NULL;
}

/* Fills in ${APP_ID} and its like, as the reference's examples have them; others stay. */
static char *
expand(const struct remora_instance *instance, const char *text)
{
    char *out;
    size_t len;
    FILE *stream = open_memstream(&out, &len);
    if (stream == NULL)
        abort();
    const char *at = text;
    for (const char *open; (open = strstr(at, "${")) != NULL;) {
        const char *close = strchr(open, '}');
        char *value = close != NULL ? value_of(instance, open + 2, (size_t)(close - open - 2))
                                    : NULL;
        const char *end = value != NULL ? close + 1 : open + 2;
        fwrite(at, 1, (size_t)((value != NULL ? open : end) - at), stream);
        if (value != NULL)
            fputs(value, stream);
        free(value);
        at = end;
    }
    fputs(at, stream);
    if (fclose(stream) != 0)
        abort();
    return out;
}

/* cJSON refuses documents deeper than its own limit, so this ends. */
static void
expand_all(const struct remora_instance *instance, cJSON *item)
{
    if (item == NULL)
        return;
    if (cJSON_IsString(item) && strstr(item->valuestring, "${") != NULL) {
        char *text = expand(instance, item->valuestring);
        cJSON_free(item->valuestring);
        item->valuestring = cJSON_malloc(strlen(text) + 1);
        if (item->valuestring == NULL)
            abort();
        memcpy(item->valuestring, text, strlen(text) + 1);
        free(text);
    }
    for (cJSON *child = item->child; child != NULL; child = child->next)
        expand_all(instance, child);
}

/* --- client ------------------------------------------------------------------------------------*/

static void
read_tls(struct reading *reading, const cJSON *client, struct agent_settings *agent,
         char **ret_server_name)
{
    const cJSON *tls = get_object(reading, client, "tlsConfig");
    if (tls == NULL)
        return;
    *ret_server_name = copy_text(reading, tls, "address");
    agent->ca_file = copy_text(reading, tls, "caFile");
    agent->ca_path = copy_text(reading, tls, "caPath");
    agent->cert_file = copy_text(reading, tls, "certFile");
    agent->key_file = copy_text(reading, tls, "keyFile");
    agent->skip_verify = get_bool(reading, tls, "insecureSkipVerify");
    if ((agent->cert_file == NULL) != (agent->key_file == NULL))
        fail(reading, "tlsConfig", "needs both certFile and keyFile, or none");
}

static bool
is_set(const char *variable)
{
    const char *text = getenv(variable);
    bool value = false;
    struct remora_slice slice = { text, text != NULL ? strlen(text) : 0 };
    return text != NULL && remora_parse_bool(slice, &value) && value;
}

/* The host of an authority, for a URL that has another name in its place. */
static const char *
port_of(const char *authority)
{
    const char *port = strrchr(authority, ':');
    return port != NULL && strchr(port, ']') == NULL ? port : "";
}

static void
set_url(struct reading *reading, const char *address, const char *scheme, const char *server_name)
{
    struct agent_settings *agent = &reading->settings->agent;
    const char *separator = strstr(address, "://");
    if (separator != NULL) {
        size_t len = (size_t)(separator - address);
        scheme = len == 5 && strncasecmp(address, "https", 5) == 0  ? "https"
                 : len == 4 && strncasecmp(address, "http", 4) == 0 ? "http"
                 : len == 4 && strncasecmp(address, "unix", 4) == 0 ? "unix"
                                                                    : "";
        address = separator + 3;
    }
    bool is_unix = strcasecmp(scheme, "unix") == 0;
    if (!is_unix && strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0) {
        fail(reading, "client", "has an unknown protocol scheme");
    } else if (is_unix) {
        agent->unix_path = memory_text(address);
        agent->url = memory_text("http://127.0.0.1");
    } else if (*address == '\0' || strpbrk(address, "/?#@ ") != NULL) {
        fail(reading, "client.address", "is no host:port");
    } else if (server_name != NULL) {
        if (strpbrk(server_name, "/?#@: ") != NULL)
            fail(reading, "tlsConfig.address", "is no host name");
        agent->connect_to = memory_text(address);
        agent->url = memory_printf("%s://%s%s", scheme, server_name, port_of(address));
    } else {
        agent->url = memory_printf("%s://%s", scheme, address);
    }
}

static void
read_client(struct reading *reading, const cJSON *root)
{
    struct agent_settings *agent = &reading->settings->agent;
    const cJSON *client = get_object(reading, root, "client");
    char *server_name = NULL;
    const char *address = get_text(reading, client, "address");
    const char *scheme = get_text(reading, client, "scheme");
    agent->token = copy_text(reading, client, "token");
    agent->token_file = copy_text(reading, client, "tokenFile");
    const cJSON *auth = get_object(reading, client, "httpAuth");
    agent->user = copy_text(reading, auth, "username");
    agent->password = copy_text(reading, auth, "password");
    read_tls(reading, client, agent, &server_name);

    const char *variable = getenv("CONSUL_HTTP_TOKEN");
    if (agent->token == NULL && agent->token_file == NULL && variable != NULL && *variable != '\0')
        agent->token = memory_text(variable);
    if (agent->token != NULL && strlen(agent->token) >= TOKEN_BYTES_MAX)
        fail(reading, "client.token", "is too long");
    variable = getenv("CONSUL_HTTP_ADDR");
    if (address == NULL)
        address = variable != NULL && *variable != '\0' ? variable : "127.0.0.1:8500";
    if (scheme == NULL)
        scheme = is_set("CONSUL_HTTP_SSL") ? "https" : "http";
    set_url(reading, address, scheme, server_name);
    free(server_name);
}

/* --- questions ---------------------------------------------------------------------------------*/

static void
add_parameter(FILE *query, const char *name, const char *value)
{
    if (value == NULL)
        return;
    char *escaped = agent_escape(value, strlen(value));
    fprintf(query, "&%s=%s", name, escaped);
    free(escaped);
}

static void
write_query(struct reading *reading, const cJSON *options, const char *datacenter, FILE *query)
{
    const char *own = get_text(reading, options, "datacenter");
    add_parameter(query, "dc", own != NULL ? own : datacenter);
    add_parameter(query, "ns", get_text(reading, options, "namespace"));
    add_parameter(query, "partition", get_text(reading, options, "partition"));
    add_parameter(query, "near", get_text(reading, options, "near"));
    add_parameter(query, "filter", get_text(reading, options, "filter"));
    if (get_bool(reading, options, "allowStale"))
        fputs("&stale", query);
    if (get_bool(reading, options, "requireConsistent"))
        fputs("&consistent", query);
    if (get_bool(reading, options, "connect"))
        fputs("&connect=true", query);
    if (get_bool(reading, options, "localOnly"))
        fputs("&local-only=true", query);
    const cJSON *factor = cJSON_GetObjectItem(options, "relayFactor");
    if (cJSON_IsNumber(factor) && factor->valuedouble >= 1 && factor->valuedouble <= 255)
        fprintf(query, "&relay-factor=%d", (int)factor->valuedouble);
    const cJSON *meta = get_object(reading, options, "nodeMeta");
    for (const cJSON *pair = meta != NULL ? meta->child : NULL; pair != NULL; pair = pair->next) {
        char *text = memory_printf("%s:%s", pair->string,
                                   cJSON_IsString(pair) ? pair->valuestring : "");
        add_parameter(query, "node-meta", text);
        free(text);
    }
}

static void
read_caching(struct reading *reading, const cJSON *options)
{
    long max_age = (long)(get_duration_ms(reading, options, "maxAge") / 1000);
    long stale = (long)(get_duration_ms(reading, options, "staleIfError") / 1000);
    if (max_age > 0 && stale > 0)
        reading->settings->cache_control = memory_printf("max-age=%ld, stale-if-error=%ld", max_age,
                                                         stale);
    else if (max_age > 0)
        reading->settings->cache_control = memory_printf("max-age=%ld", max_age);
    else if (stale > 0)
        reading->settings->cache_control = memory_printf("stale-if-error=%ld", stale);
}

static void
read_query(struct reading *reading, const cJSON *root)
{
    struct settings *settings = reading->settings;
    const cJSON *options = get_object(reading, root, "queryOptions");
    const cJSON *client = get_object(reading, root, "client");
    size_t len;
    FILE *query = open_memstream(&settings->watch_query, &len);
    if (query == NULL)
        abort();
    write_query(reading, options, get_text(reading, client, "datacenter"), query);
    if (fclose(query) != 0)
        abort();
    bool is_cached = options == NULL || (get_bool(reading, options, "useCache") &&
                                         !get_bool(reading, options, "requireConsistent"));
    settings->query = memory_printf("%s%s", settings->watch_query, is_cached ? "&cached" : "");
    if (is_cached)
        read_caching(reading, options);
    settings->query_token = copy_text(reading, options, "token");
    int64_t wait_ms = get_duration_ms(reading, options, "waitTime");
    if (wait_ms == 0)
        wait_ms = get_duration_ms(reading, client, "waitTime");
    settings->watch_wait_s = wait_ms >= 1000 && wait_ms <= 600 * 1000 ? (long)(wait_ms / 1000)
                                                                      : WATCH_WAIT_S;
}

/* --- registration ------------------------------------------------------------------------------*/

static char *
host_and_port(const struct remora_instance *instance, unsigned port)
{
    bool is_v6 = memchr(instance->host_address.data, ':', instance->host_address.len) != NULL;
    return memory_printf(is_v6 ? "[%.*s]:%u" : "%.*s:%u", (int)instance->host_address.len,
                         instance->host_address.data, port);
}

static void
add_default_check(struct reading *reading, cJSON *registration, const char *id)
{
    const struct remora_instance *instance = reading->instance;
    char *address = host_and_port(instance, instance->http_port);
    char *url = memory_printf("http://%s/v1.0/healthz?appid=%.*s", address,
                              (int)instance->app_id.len, instance->app_id.data);
    char *check_id = memory_printf("daprHealth:%s", id);
    cJSON *check = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(registration, "Checks"), check);
    cJSON_AddStringToObject(check, "Name", "Dapr Health Status");
    cJSON_AddStringToObject(check, "CheckID", check_id);
    cJSON_AddStringToObject(check, "Interval", "15s");
    cJSON_AddStringToObject(check, "HTTP", url);
    free(check_id);
    free(url);
    free(address);
}

static void
add_copy(cJSON *to, const char *name, const cJSON *from)
{
    if (from != NULL && !cJSON_IsNull(from))
        cJSON_AddItemToObject(to, name, cJSON_Duplicate(from, true));
}

/* NULL, with the error said, if the sidecar is not known well enough. */
static cJSON *
make_registration(struct reading *reading, const cJSON *root)
{
    const struct remora_instance *instance = reading->instance;
    const char *missing = instance->app_id.len == 0         ? "APP_ID"
                          : instance->host_address.len == 0 ? "HOST_ADDRESS"
                          : instance->http_port == 0        ? "DAPR_HTTP_PORT"
                                                            : NULL;
    if (missing != NULL) {
        if (!reading->has_failed)
            snprintf(reading->error, ERROR_BYTES, "metadata property missing: %s", missing);
        reading->has_failed = true;
        return NULL;
    }
    char *name = memory_printf("%.*s", (int)instance->app_id.len, instance->app_id.data);
    char *host = memory_printf("%.*s", (int)instance->host_address.len,
                               instance->host_address.data);
    char *id = memory_printf("%s-%s-%u", name, host, instance->http_port);
    cJSON *registration = cJSON_CreateObject();
    cJSON_AddStringToObject(registration, "ID", id);
    cJSON_AddStringToObject(registration, "Name", name);
    cJSON_AddStringToObject(registration, "Address", host);
    cJSON_AddNumberToObject(registration, "Port", instance->app_port);
    add_copy(registration, "Tags", cJSON_GetObjectItem(root, "tags"));
    add_copy(registration, "Meta", get_object(reading, root, "meta"));
    const cJSON *checks = cJSON_GetObjectItem(root, "checks");
    if (cJSON_GetArraySize(checks) > 0)
        add_copy(registration, "Checks", checks);
    else
        add_default_check(reading, registration, id);
    free(id);
    free(host);
    free(name);
    return registration;
}

/* Ports are often written as "${APP_PORT}", which is a text. */
static void
make_port_a_number(cJSON *registration)
{
    cJSON *port = cJSON_GetObjectItem(registration, "port");
    int64_t number;
    if (!cJSON_IsString(port))
        return;
    struct remora_slice text = { port->valuestring, strlen(port->valuestring) };
    if (remora_parse_i64(text, &number) && number >= 0 && number <= UINT16_MAX)
        cJSON_ReplaceItemInObject(registration, port->string, cJSON_CreateNumber((double)number));
}

static void
set_meta(cJSON *meta, const char *name, const char *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(meta, name);
    cJSON_AddStringToObject(meta, name, value);
}

static void
finish_registration(struct reading *reading, cJSON *registration)
{
    struct settings *settings = reading->settings;
    cJSON *meta = cJSON_GetObjectItem(registration, "meta");
    if (meta == NULL || cJSON_IsNull(meta)) {
        cJSON_DeleteItemFromObject(registration, "meta");
        meta = cJSON_AddObjectToObject(registration, "Meta");
    }
    char port[8], generation[37];
    snprintf(port, sizeof port, "%u", reading->instance->internal_port);
    remora_uuid(generation);
    set_meta(meta, settings->port_key, port);
    set_meta(meta, GENERATION_KEY, generation);
    settings->generation = memory_text(generation);
    make_port_a_number(registration);
    settings->service_name = copy_text(reading, registration, "name");
    settings->service_id = copy_text(reading, registration, "id");
    if (settings->service_name == NULL)
        fail(reading, "advancedRegistration", "has no name");
    else if (settings->service_id == NULL) /* as the agent does */
        settings->service_id = memory_text(settings->service_name);
    settings->registration = cJSON_PrintUnformatted(registration);
    if (settings->registration == NULL)
        abort();
}

static void
read_registration(struct reading *reading, const cJSON *root)
{
    const cJSON *advanced = get_object(reading, root, "advancedRegistration");
    cJSON *registration = NULL;
    if (advanced != NULL)
        registration = cJSON_Duplicate(advanced, true);
    else if (get_bool(reading, root, "selfRegister"))
        registration = make_registration(reading, root);
    if (registration != NULL)
        finish_registration(reading, registration);
    cJSON_Delete(registration);
}

/* --- all of it ---------------------------------------------------------------------------------*/

static void
read_all(struct reading *reading, const cJSON *root)
{
    struct settings *settings = reading->settings;
    settings->port_key = copy_text(reading, root, "daprPortMetaKey");
    if (settings->port_key == NULL)
        settings->port_key = memory_text("DAPR_PORT");
    settings->deregisters = get_bool(reading, root, "selfDeregister");
    settings->uses_cache = get_bool(reading, root, "useCache");
    read_client(reading, root);
    read_query(reading, root);
    read_registration(reading, root);
}

bool
settings_init(struct settings *settings, const struct remora_config *config, char *error)
{
    *settings = (struct settings){ .query = NULL };
    struct reading reading = { .settings = settings,
                               .instance = &config->instance,
                               .error = error };
    struct remora_slice text = config->configuration;
    if (config->instance.internal_port == 0) {
        snprintf(error, ERROR_BYTES, "metadata property missing: DAPR_PORT");
        return false;
    }
    cJSON *root = text.len == 0                         ? cJSON_CreateObject()
                  : text.len <= CONFIGURATION_BYTES_MAX ? cJSON_ParseWithLength(text.data, text.len)
                                                        : NULL;
    if (!cJSON_IsObject(root)) {
        fail(&reading, "configuration", "is no map");
    } else {
        expand_all(reading.instance, root);
        read_all(&reading, root);
    }
    cJSON_Delete(root);
    if (reading.has_failed)
        settings_fini(settings);
    return !reading.has_failed;
}

void
settings_fini(struct settings *settings)
{
    char **const strings[] = { &settings->port_key,    &settings->query,
                               &settings->watch_query, &settings->cache_control,
                               &settings->query_token, &settings->registration,
                               &settings->service_id,  &settings->service_name,
                               &settings->generation };
    agent_settings_fini(&settings->agent);
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        free(*strings[i]);
        *strings[i] = NULL;
    }
}
