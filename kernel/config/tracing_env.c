/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment adds to the settings of tracing, and what follows from all of them; see
 * tracing.h. */
#include <stdlib.h>

#include "config/file.h"
#include "config/number.h"
#include "config/tracing.h"

enum { OTLP_GRPC_PORT = 4317, OTLP_HTTP_PORT = 4318 };
#define RATIO_DEFAULT SLICE("0.0001")
#define OTLP_PATH "/v1/traces"

/* --- the environment ---------------------------------------------------------------------------*/

struct finish {
    struct arena *arena;
    struct env env;
    struct tracing_settings *settings;
    struct text_list *ignored;
};

/* Empty counts as not set. */
static bool
get_env(const struct finish *f, const char *name, struct slice *ret_value)
{
    const char *value = env_get(f->env, name);
    if (value == NULL || value[0] == '\0')
        return false;
    *ret_value = arena_dup(f->arena, slice_str(value));
    return true;
}

/* OTEL_EXPORTER_OTLP_TRACES_… before OTEL_EXPORTER_OTLP_…; returns the one that is set, or NULL. */
static const char *
get_otlp(const struct finish *f, const char *const names[2], struct slice *ret_value)
{
    for (size_t i = 0; i < 2; i++)
        if (get_env(f, names[i], ret_value))
            return names[i];
    return NULL;
}

static void
ignore(const struct finish *f, const char *name)
{
    text_list_add(f->arena, f->ignored, slice_str(name));
}

/* The general endpoint is a folder that the path of traces is in; the one for traces is all. */
static void
take_env_address(const struct finish *f, bool is_general, struct slice value)
{
    struct tracing_settings *settings = f->settings;
    size_t scheme = slice_find(value, SLICE("://")) < 0
                        ? 0
                        : (size_t)slice_find(value, SLICE("://")) + 3;
    bool has_path = slice_find_byte(slice_from(value, scheme), '/') >= 0;
    settings->otel_address = value;
    if (is_general && has_path) {
        while (slice_has_suffix(value, SLICE("/")))
            value.len--;
        settings->otel_address = arena_printf(f->arena, SLICE_FMT OTLP_PATH, SLICE_ARG(value));
    }
}

/* The text of the file that the variable names; empty without one. */
static struct slice
get_otlp_file(const struct finish *f, const char *const names[2])
{
    struct slice path;
    size_t len;
    const char *words;
    const char *name = get_otlp(f, names, &path);
    if (name == NULL)
        return SLICE_EMPTY;
    char *text = file_read(f->arena, path.data, &len, &words);
    if (text == NULL) {
        ignore(f, name);
        return SLICE_EMPTY;
    }
    struct slice kept = arena_dup(f->arena, slice_of(text, len));
    explicit_bzero(text, len); /* it may be a key */
    free(text);
    return kept;
}

static void
take_env_certificates(const struct finish *f)
{
    static const char *const authorities[] = { "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                                               "OTEL_EXPORTER_OTLP_CERTIFICATE" };
    static const char *const certificates[] = { "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
                                                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" };
    static const char *const keys[] = { "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
                                        "OTEL_EXPORTER_OTLP_CLIENT_KEY" };
    f->settings->otel_authorities = get_otlp_file(f, authorities);
    f->settings->otel_certificate = get_otlp_file(f, certificates);
    f->settings->otel_key = get_otlp_file(f, keys);
}

static void
take_env_exporter(const struct finish *f)
{
    static const char *const endpoints[] = { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                                             "OTEL_EXPORTER_OTLP_ENDPOINT" };
    static const char *const protocols[] = { "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                                             "OTEL_EXPORTER_OTLP_PROTOCOL" };
    static const char *const headers[] = { "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                                           "OTEL_EXPORTER_OTLP_HEADERS" };
    static const char *const timeouts[] = { "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
                                            "OTEL_EXPORTER_OTLP_TIMEOUT" };
    static const char *const insecures[] = { "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
                                             "OTEL_EXPORTER_OTLP_INSECURE" };
    struct tracing_settings *settings = f->settings;
    struct slice value;
    const char *name = get_otlp(f, endpoints, &value);
    if (name == NULL)
        return;
    take_env_address(f, name == endpoints[1], value);
    bool is_http = get_otlp(f, protocols, &value) != NULL && slice_has_prefix(value, SLICE("http"));
    settings->otel_protocol = is_http ? SLICE("http") : SLICE("grpc");
    settings->otel_is_insecure = get_otlp(f, insecures, &value) != NULL &&
                                 slice_eq_nocase(value, SLICE("true"));
    settings->otel_headers = (struct tracing_pairs){ 0 };
    name = get_otlp(f, headers, &value);
    if (name != NULL && !tracing_pairs_parse(f->arena, value, &settings->otel_headers))
        ignore(f, name);
    settings->otel_timeout_ms = 0;
    name = get_otlp(f, timeouts, &value);
    if (name != NULL && (!slice_to_u64(value, &settings->otel_timeout_ms) ||
                         settings->otel_timeout_ms > UINT32_MAX)) {
        settings->otel_timeout_ms = 0;
        ignore(f, name);
    }
    take_env_certificates(f);
}

static err_t
finish_otel(const struct finish *f, struct diag *diag)
{
    struct tracing_settings *settings = f->settings;
    if (settings->otel_address.len == 0)
        take_env_exporter(f);
    if (settings->otel_address.len == 0)
        return OK;
    if (settings->otel_protocol.len == 0) {
        ignore(f, "spec.tracing.otel without a protocol");
        return OK;
    }
    bool is_http = slice_eq(settings->otel_protocol, SLICE("http"));
    if (!is_http && !slice_eq(settings->otel_protocol, SLICE("grpc")))
        return DIAG_FAIL(diag, ERR_CONFIG,
                         "invalid protocol " SLICE_FMT " provided for Otel endpoint",
                         SLICE_ARG(settings->otel_protocol));
    settings->protocol = is_http ? OTLP_HTTP : OTLP_GRPC;
    settings->otel.is_secure = !settings->otel_is_insecure;
    if (!tracing_endpoint_parse(f->arena, settings->otel_address,
                                is_http ? OTLP_HTTP_PORT : OTLP_GRPC_PORT, OTLP_PATH,
                                &settings->otel))
        return DIAG_FAIL(diag, ERR_CONFIG, "invalid Otel endpoint \"" SLICE_FMT "\"",
                         SLICE_ARG(settings->otel_address));
    if (settings->sampling_rate.len == 0 && env_get(f->env, "OTEL_TRACES_SAMPLER") == NULL)
        settings->sampling_rate = SLICE("1");
    return OK;
}

/* --- the sampler -------------------------------------------------------------------------------*/

static void
set_ratio(const struct finish *f, struct slice text)
{
    struct tracing_settings *settings = f->settings;
    char shown[NUMBER_TEXT_BYTES];
    double ratio;
    if (!number_to_double(text, &ratio) && !number_to_double(RATIO_DEFAULT, &ratio))
        ratio = 0;
    settings->ratio = ratio < 0 ? 0 : ratio;
    if (ratio >= 1)
        settings->sampler_words = SLICE("AlwaysOnSampler");
    else
        settings->sampler_words = arena_printf(f->arena, "TraceIDRatioBased{" SLICE_FMT "}",
                                               SLICE_ARG(number_print_g(settings->ratio, shown)));
}

static void
set_fixed(struct tracing_settings *settings, bool is_on)
{
    settings->ratio = is_on ? 1 : 0;
    settings->sampler_words = is_on ? SLICE("AlwaysOnSampler") : SLICE("AlwaysOffSampler");
}

static void
finish_sampler(const struct finish *f)
{
    const struct slice parentbased = SLICE("parentbased_");
    struct tracing_settings *settings = f->settings;
    struct slice name = SLICE_EMPTY, arg = SLICE("1");
    settings->follows_parent = true;
    if (settings->sampling_rate.len > 0 || !get_env(f, "OTEL_TRACES_SAMPLER", &name)) {
        set_ratio(f, settings->sampling_rate);
        return;
    }
    struct slice root = name;
    (void)get_env(f, "OTEL_TRACES_SAMPLER_ARG", &arg); /* without it all are taken */
    settings->follows_parent = slice_has_prefix_nocase(name, parentbased);
    if (settings->follows_parent)
        root = slice_from(name, parentbased.len);
    if (slice_eq_nocase(root, SLICE("always_on")))
        set_fixed(settings, true);
    else if (slice_eq_nocase(root, SLICE("always_off")))
        set_fixed(settings, false);
    else if (slice_eq_nocase(root, SLICE("traceidratio")))
        set_ratio(f, arg);
    else {
        ignore(f, "OTEL_TRACES_SAMPLER");
        settings->follows_parent = true;
        set_ratio(f, SLICE_EMPTY);
    }
}

/* --- the resource ------------------------------------------------------------------------------*/

/* The service has a variable of its own. */
static void
drop_service_name(struct tracing_pairs *pairs)
{
    size_t kept = 0;
    for (size_t i = 0; i < pairs->count; i++)
        if (!slice_eq(pairs->items[i].name, SLICE("service.name")))
            pairs->items[kept++] = pairs->items[i];
    pairs->count = kept;
}

static void
finish_resource(const struct finish *f)
{
    struct tracing_settings *settings = f->settings;
    struct slice value;
    (void)get_env(f, "OTEL_SERVICE_NAME", &settings->service_name); /* else it stays empty */
    if (get_env(f, "OTEL_RESOURCE_ATTRIBUTES", &value) &&
        !tracing_pairs_parse(f->arena, value, &settings->resource))
        ignore(f, "OTEL_RESOURCE_ATTRIBUTES");
    drop_service_name(&settings->resource);
    if (get_env(f, "OTEL_BSP_SCHEDULE_DELAY", &value) &&
        (!slice_to_u64(value, &settings->delay_ms) || settings->delay_ms > UINT32_MAX)) {
        settings->delay_ms = 0;
        ignore(f, "OTEL_BSP_SCHEDULE_DELAY");
    }
}

err_t
tracing_settings_finish(struct arena *arena, struct env env, struct tracing_settings *settings,
                        struct text_list *ret_ignored, struct diag *diag)
{
    const struct finish f = {
        .arena = arena, .env = env, .settings = settings, .ignored = ret_ignored
    };
    finish_resource(&f);
    err_t err = finish_otel(&f, diag);
    finish_sampler(&f);
    return err;
}
