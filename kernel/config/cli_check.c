/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of the command line that go beyond a flag's own syntax, and the values worked out of it;
 * see cli.h. Security options that this version does not implement end the start here: a sidecar
 * that runs without the protection that was asked for is worse than none.
 */
#include "config/cli.h"

#include "base/limits.h"
#include "config/number.h"
#include "config/quantity.h"

#define FATAL(...) (*ret_message = arena_printf(arena, __VA_ARGS__), CLI_FATAL)

static enum cli_verdict
check_size(struct arena *arena, const char *name, struct slice text, size_t default_bytes,
           size_t *ret_bytes, struct slice *ret_message)
{
    int64_t value;
    const char *error;
    if (!quantity_parse(text, &value, &error))
        return FATAL("Failed to parse flags: invalid value for '%s' option: %s", name, error);
    *ret_bytes = value <= 0 ? default_bytes : (size_t)value;
    return CLI_RUN;
}

/* The old flags count in MB and KB; -1 and 0 leave the default. */
static void
apply_old_size(int64_t count, size_t unit_bytes, size_t *bytes)
{
    if (count > 0)
        *bytes = (uint64_t)count > SIZE_MAX / 2 / unit_bytes ? SIZE_MAX / 2
                                                             : (size_t)count * unit_bytes;
}

enum cli_verdict
cli_check_sizes(struct arena *arena, struct options *options, struct slice *ret_message)
{
    enum cli_verdict verdict = check_size(arena, "max-body-size", options->max_body_size,
                                          LIMIT_http_body_bytes, &options->max_body_bytes,
                                          ret_message);
    if (verdict == CLI_RUN)
        verdict = check_size(arena, "read-buffer-size", options->read_buffer_size,
                             LIMIT_http_read_buffer_bytes, &options->read_buffer_bytes,
                             ret_message);
    if (verdict != CLI_RUN)
        return verdict;
    if (!options->given[FLAG_max_body_size])
        apply_old_size(options->http_max_request_size_mb, 1024u * 1024u, &options->max_body_bytes);
    if (!options->given[FLAG_read_buffer_size])
        apply_old_size(options->http_read_buffer_size_kb, 1024u, &options->read_buffer_bytes);
    if (options->read_buffer_bytes > LIMIT_http_read_buffer_bytes_max)
        return FATAL("Failed to parse flags: invalid value for 'read-buffer-size' option: more "
                     "than %d bytes",
                     (int)LIMIT_http_read_buffer_bytes_max);
    return CLI_RUN;
}

struct port_row {
    const char *what; /* as the reference names it in its error */
    size_t text_offset;
    size_t port_offset;
};

#define PORT_ROW(what, field)                                                                      \
    {                                                                                              \
        what, offsetof(struct options, field##_text), offsetof(struct options, field)              \
    }

static const struct port_row ports[] = {
    PORT_ROW("dapr-http-port flag", http_port),
    PORT_ROW("dapr-grpc-port flag", grpc_port),
    PORT_ROW("profile-port flag", profile_port),
    PORT_ROW("dapr-internal-grpc-port flag", internal_grpc_port),
    PORT_ROW("dapr-public-port flag", public_port),
    PORT_ROW("app-port flag", app_port),
    PORT_ROW("metrics-port flag", metrics_port),
};

static enum cli_verdict
check_ports(struct arena *arena, struct options *options, struct slice *ret_message)
{
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        struct slice text = *(struct slice *)((char *)options + ports[i].text_offset);
        int64_t port = 0;
        if (text.len == 0)
            continue;
        if (!slice_to_i64(text, &port))
            return FATAL(
                "Fatal error from runtime: error parsing %s: strconv.Atoi: parsing \"%s\": "
                "invalid syntax",
                ports[i].what, text.data);
        /* The reference's command line says -1 for a port that nobody is to open. */
        if (port == -1 && ports[i].port_offset == offsetof(struct options, profile_port))
            port = 0;
        if (port < 0 || port > UINT16_MAX)
            return FATAL("Fatal error from runtime: error parsing %s: port %s is out of range",
                         ports[i].what, text.data);
        *(uint16_t *)((char *)options + ports[i].port_offset) = (uint16_t)port;
    }
    options->has_public_port = options->public_port_text.len > 0;
    if (options->app_port != 0 && options->app_port == options->http_port)
        return FATAL("Fatal error from runtime: the 'dapr-http-port' argument value %u conflicts "
                     "with 'app-port'",
                     options->http_port);
    if (options->app_port != 0 && options->app_port == options->grpc_port)
        return FATAL("Fatal error from runtime: the 'dapr-grpc-port' argument value %u conflicts "
                     "with 'app-port'",
                     options->grpc_port);
    return CLI_RUN;
}

static void
fill_addresses(struct arena *arena, struct options *options)
{
    struct slice part;
    for (struct slice rest = options->listen_addresses_text; slice_split(&rest, ',', &part);) {
        part = slice_trim(part);
        if (part.len > 2 && part.data[0] == '[' && part.data[part.len - 1] == ']')
            part = slice_of(part.data + 1, part.len - 2);
        text_list_add(arena, &options->listen_addresses, part);
    }
}

static void
fill_resources(struct arena *arena, struct options *options)
{
    for (size_t i = 0; i < options->resources_path.count; i++)
        if (options->resources_path.items[i].len > 0)
            text_list_add(arena, &options->resources, options->resources_path.items[i]);
    /* The old name counts only where the new one is not used. */
    if (options->resources.count == 0 && options->components_path.len > 0)
        text_list_add(arena, &options->resources, options->components_path);
}

static struct slice
text_from_env(struct arena *arena, struct env env, const char *name)
{
    struct slice value = slice_str(env_get(env, name));
    return slice_of(arena_str(arena, value), value.len);
}

static void
fill_from_env(struct arena *arena, struct options *options, struct env env)
{
    options->namespace_name = text_from_env(arena, env, "NAMESPACE");
    options->pod_name = text_from_env(arena, env, "POD_NAME");
    options->host_ip = text_from_env(arena, env, "DAPR_HOST_IP");
    options->api_token = text_from_env(arena, env, "DAPR_API_TOKEN");
    options->app_api_token = text_from_env(arena, env, "APP_API_TOKEN");
    options->env_keys = text_from_env(arena, env, "DAPR_ENV_KEYS");
    options->trust_anchors = text_from_env(arena, env, "DAPR_TRUST_ANCHORS");
    options->trust_anchors_file = text_from_env(arena, env, "DAPR_TRUST_ANCHORS_FILE");
    options->sentry_token_file = text_from_env(arena, env, "DAPR_SENTRY_TOKEN_FILE");
    options->sentry_identity = text_from_env(arena, env, "SENTRY_LOCAL_IDENTITY");
    options->xdg_runtime_dir = text_from_env(arena, env, "XDG_RUNTIME_DIR");
    options->disable_h2c = slice_is_truthy(slice_str(env_get(env, "DAPR_HTTP_DISABLE_H2C")));
    if (!options->given[FLAG_control_plane_namespace] &&
        env_get(env, "DAPR_CONTROLPLANE_NAMESPACE") != NULL)
        options->control_plane_namespace = text_from_env(arena, env, "DAPR_CONTROLPLANE_NAMESPACE");
    if (!options->given[FLAG_control_plane_trust_domain] &&
        env_get(env, "DAPR_CONTROLPLANE_TRUST_DOMAIN") != NULL)
        options->control_plane_trust_domain = text_from_env(arena, env,
                                                            "DAPR_CONTROLPLANE_TRUST_DOMAIN");
}

static bool
has_env(struct env env, const char *name)
{
    const char *value = env_get(env, name);
    return value != NULL && value[0] != '\0';
}

/* Variables of the reference whose feature is not there yet. KUBECONFIG is in the environment of
 * many who do not mean us. */
static void
list_idle_variables(struct arena *arena, struct options *options, struct env env)
{
    static const char *const names[] = {
        "DAPR_GRPC_CONN_COLLECTOR_INTERVAL",
        "DAPR_GRPC_MAX_CONN_IDLE",
        "DAPR_SKIP_REMINDER_MIGRATION",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (has_env(env, names[i]))
            text_list_add(arena, &options->ignored, slice_str(names[i]));
}

static enum cli_verdict
check_security(struct arena *arena, const struct options *options, struct slice *ret_message)
{
    bool anchors = options->trust_anchors.len > 0, file = options->trust_anchors_file.len > 0;
    if (options->enable_mtls && anchors && file)
        return FATAL("Fatal error from runtime: trust anchors cannot be specified in both "
                     "TrustAnchors and TrustAnchorsFile");
    if (options->enable_mtls && !anchors && !file)
        return FATAL("Fatal error from runtime: trust anchors are required");
    return CLI_RUN;
}

static enum cli_verdict
check_words(struct arena *arena, struct options *options, struct slice *ret_message)
{
    static const char *const protocols[] = { "http", "https", "grpc", "grpcs", "h2c", "" };
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        known = known || slice_eq_nocase(options->app_protocol, slice_str(protocols[i]));
    if (!known)
        return FATAL("Fatal error from runtime: invalid value for 'app-protocol': %s",
                     options->app_protocol.data);
    if (slice_eq(options->mode, SLICE("kubernetes")))
        return FATAL("Fatal error from runtime: --mode=kubernetes is not implemented in this "
                     "version");
    if (!slice_eq(options->mode, SLICE("standalone")))
        return FATAL("Fatal error from runtime: invalid value for --mode: %s", options->mode.data);
    if (slice_eq(options->sandbox_text, SLICE("require")))
        options->sandbox = SANDBOX_REQUIRE;
    else if (slice_eq(options->sandbox_text, SLICE("off")))
        options->sandbox = SANDBOX_OFF;
    else if (!slice_eq(options->sandbox_text, SLICE("best-effort")))
        return FATAL("invalid value for --sandbox: %s", options->sandbox_text.data);
    if (options->workers < 1 || options->workers > LIMIT_workers_max)
        return FATAL("invalid value for --workers: %lld, expected 1 to %d",
                     (long long)options->workers, (int)LIMIT_workers_max);
    options->worker_count = (unsigned)options->workers;
    return CLI_RUN;
}

/* What the reference takes for values that are none: its defaults. */
static enum cli_verdict
check_app(struct arena *arena, struct options *options, struct slice *ret_message)
{
    enum { INTERVAL_S = 5, TIMEOUT_MS = 500, THRESHOLD = 3, MOST = 1000000000 };
    enum { MS_NS = 1000000, OPTIONS_MS = 3000 };
    int64_t interval_s = options->app_health_probe_interval_s;
    int64_t timeout_ms = options->app_health_probe_timeout_ms;
    int64_t threshold = options->app_health_threshold;
    interval_s = interval_s <= 0 ? INTERVAL_S : interval_s > MOST ? MOST : interval_s;
    timeout_ms = timeout_ms <= 0 ? TIMEOUT_MS : timeout_ms;
    threshold = threshold <= 0 ? THRESHOLD : threshold > MOST ? MOST : threshold;
    if (options->enable_app_health_check && timeout_ms > interval_s * 1000)
        return FATAL("Fatal error from runtime: value for 'health-probe-timeout' must be smaller "
                     "than 'health-probe-interval'");
    options->app_health_interval_ms = (uint64_t)interval_s * 1000u;
    options->app_health_timeout_ms = (uint64_t)timeout_ms;
    options->app_health_failures = (unsigned)threshold;
    options->app_binding_options_ms = options->app_binding_options_timeout_ns < MS_NS
                                          ? OPTIONS_MS
                                          : (uint64_t)options->app_binding_options_timeout_ns /
                                                MS_NS;
    for (size_t i = 0; i < options->disable_init_endpoints.count; i++) {
        struct slice name = slice_trim(options->disable_init_endpoints.items[i]);
        options->skips_app_config |= slice_eq(name, SLICE("config"));
        options->skips_app_subscribe |= slice_eq(name, SLICE("subscribe"));
    }
    if (options->app_ssl && slice_eq_nocase(options->app_protocol, SLICE("grpc")))
        options->app_protocol = SLICE("grpcs");
    else if (options->app_ssl && slice_eq_nocase(options->app_protocol, SLICE("http")))
        options->app_protocol = SLICE("https");
    return CLI_RUN;
}

static void
fill_times(struct options *options)
{
    enum { MS_NS = 1000000, GRACE_DEFAULT_S = 5, SECONDS_MAX = 1000000000 };
    int64_t grace_s = options->graceful_shutdown_s;
    if (grace_s < 0)
        grace_s = GRACE_DEFAULT_S;
    options->grace_ms = (uint64_t)(grace_s > SECONDS_MAX ? SECONDS_MAX : grace_s) * 1000u;
    options->block_shutdown_ms = options->block_shutdown_ns <= 0
                                     ? 0
                                     : (uint64_t)options->block_shutdown_ns / MS_NS;
}

enum cli_verdict
cli_check(struct arena *arena, struct options *options, struct env env, struct slice *ret_message)
{
    fill_from_env(arena, options, env);
    if (!log_level_from_name(options->log_level_text, &options->log_level))
        return FATAL("invalid value for --log-level: %s", options->log_level_text.data);
    enum cli_verdict verdict = check_ports(arena, options, ret_message);
    if (verdict == CLI_RUN)
        fill_addresses(arena, options);
    if (verdict != CLI_RUN || options->wait)
        return verdict;
    verdict = check_security(arena, options, ret_message);
    if (verdict == CLI_RUN && options->app_id.len == 0)
        return FATAL("Fatal error from runtime: parameter app-id cannot be empty");
    list_idle_variables(arena, options, env);
    if (verdict == CLI_RUN)
        verdict = check_words(arena, options, ret_message);
    if (verdict == CLI_RUN)
        verdict = check_app(arena, options, ret_message);
    fill_resources(arena, options);
    fill_times(options);
    return verdict;
}
