/* SPDX-License-Identifier: Apache-2.0 */
/* See options.h. */
#include "sentry/options.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/limits.h"
#include "config/duration.h"
#include "config/file.h"
#include "config/node.h"
#include "http/spiffe.h"

enum { LIFETIME_MS = 24 * 3600 * 1000, SKEW_MS = 15 * 60 * 1000 };

#define MEMBER(field) offsetof(struct sentry_options, field)
static const struct flag_row rows[SENTRY_FLAG_COUNT] = {
#define FLAG(field, name, type, default_text, status, what)                                        \
    { name, FLAG_##type, default_text, FLAG_##status, what, MEMBER(field) },
#include "sentry/flags.def"
#undef FLAG
};

static const struct flag_table table = { .rows = rows, .count = SENTRY_FLAG_COUNT };

/* --- the Configuration -------------------------------------------------------------------------*/

struct reading {
    struct arena *arena;
    struct sentry_options *options;
    struct diag *diag;
};

#define REFUSE(r, ...) DIAG_FAIL((r)->diag, ERR_CONFIG, __VA_ARGS__)

static err_t
read_duration(struct reading *r, const struct node *parent, const char *name, int64_t *ret_ms)
{
    struct slice text;
    int64_t ns;
    char error[DURATION_ERROR_BYTES];
    const struct node *node = node_get(parent, slice_str(name));
    if (node == NULL)
        return OK;
    if (!node_text(r->arena, node, &text))
        return REFUSE(r, "error parsing %s: it is %s", name, node_what(node));
    if (text.len == 0)
        return OK;
    if (!duration_parse(text, &ns, error))
        return REFUSE(r, "error parsing %s duration: %s", name, error);
    if (ns < 0)
        return REFUSE(r, "error parsing %s duration: it is negative", name);
    *ret_ms = ns / DURATION_MS_NS;
    return OK;
}

static err_t
read_text(struct reading *r, const struct node *parent, const char *name, struct slice *ret_text)
{
    const struct node *node = node_get(parent, slice_str(name));
    if (node != NULL && !node_text(r->arena, node, ret_text))
        return REFUSE(r, "error parsing %s: it is %s", name, node_what(node));
    return OK;
}

static bool
is_url(struct slice text)
{
    return slice_has_prefix_nocase(text, SLICE("https://")) ||
           slice_has_prefix_nocase(text, SLICE("http://"));
}

/* The set itself, perhaps in base64; empty if it is something else. */
static struct slice
inline_set(struct arena *arena, struct slice text)
{
    size_t len;
    if (slice_has_prefix(slice_trim(text), SLICE("{")))
        return text;
    char *decoded = arena_alloc(arena, base64_decoded_max(text.len) + 1);
    if (text.len > 0 && base64_decode(text, decoded, &len) &&
        slice_has_prefix(slice_of(decoded, len), SLICE("{")))
        return slice_of(decoded, len);
    return SLICE_EMPTY;
}

static void
warn_of_unknown(struct reading *r, const struct node *options)
{
    static const char *const known[] = { "source", "minRefreshInterval", "requestTimeout",
                                         "caCertificate" };
    for (const struct node_item *item = options == NULL ? NULL : options->items; item != NULL;
         item = item->next) {
        bool is_known = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            is_known |= slice_eq_nocase(item->key, slice_str(known[i]));
        if (!is_known)
            text_list_add(r->arena, &r->options->warnings,
                          arena_printf(r->arena,
                                       "option '" SLICE_FMT "' of token validator 'jwks' is not "
                                       "known, it has no effect",
                                       SLICE_ARG(item->key)));
    }
}

static err_t
read_jwks(struct reading *r, const struct node *options)
{
    struct jwks_source *jwks = &r->options->jwks;
    int64_t refresh_ms = 0, timeout_ms = 0;
    err_t err = read_text(r, options, "source", &jwks->text);
    if (err == OK)
        err = read_text(r, options, "caCertificate", &jwks->ca);
    if (err == OK)
        err = read_duration(r, options, "minRefreshInterval", &refresh_ms);
    if (err == OK)
        err = read_duration(r, options, "requestTimeout", &timeout_ms);
    if (err != OK)
        return err;
    if (jwks->text.len == 0)
        return REFUSE(r, "option 'source' of token validator 'jwks' is missing");
    warn_of_unknown(r, options);
    r->options->has_jwks = true;
    jwks->is_url = is_url(jwks->text);
    jwks->inline_set = jwks->is_url ? SLICE_EMPTY : inline_set(r->arena, jwks->text);
    jwks->refresh_ms = refresh_ms > 1000 ? (uint64_t)refresh_ms : LIMIT_sentry_refresh_ms;
    jwks->timeout_ms = timeout_ms > 1 ? (uint64_t)timeout_ms : LIMIT_sentry_fetch_ms;
    return OK;
}

/* Built-in validators are switched on by what else is configured, not by name. */
static err_t
read_validators(struct reading *r, const struct node *list)
{
    if (list == NULL)
        return OK;
    if (list->type != NODE_LIST)
        return REFUSE(r, "error parsing tokenValidators: it is %s", node_what(list));
    for (const struct node_item *item = list->items; item != NULL; item = item->next) {
        struct slice name = SLICE_EMPTY;
        err_t err = read_text(r, item->value, "name", &name);
        if (err != OK)
            return err;
        if (slice_eq_nocase(name, SLICE("kubernetes")) || slice_eq_nocase(name, SLICE("insecure")))
            return REFUSE(r, "invalid token validator: the built-in 'kubernetes' and 'insecure' "
                             "validators cannot be configured manually");
        if (!slice_eq_nocase(name, SLICE("jwks")))
            return REFUSE(r,
                          "invalid token validator name: '" SLICE_FMT "'; supported values: 'jwks'",
                          SLICE_ARG(name));
        err = read_jwks(r, node_get(item->value, SLICE("options")));
        if (err != OK)
            return err;
    }
    return OK;
}

static err_t
read_mtls(struct reading *r, const struct node *mtls)
{
    struct sentry_options *options = r->options;
    struct slice domain = SLICE_EMPTY;
    err_t err = read_duration(r, mtls, "workloadCertTTL", &options->lifetime_ms);
    if (err == OK)
        err = read_duration(r, mtls, "allowedClockSkew", &options->skew_ms);
    if (err == OK)
        err = read_text(r, mtls, "controlPlaneTrustDomain", &domain);
    if (err == OK)
        err = read_validators(r, node_get(mtls, SLICE("tokenValidators")));
    if (err == OK && domain.len > 0 && !options->given[SENTRY_FLAG_trust_domain])
        options->trust_domain = domain;
    if (err == OK && options->lifetime_ms == 0)
        options->lifetime_ms = LIFETIME_MS;
    return err;
}

/* The default names an object of a cluster: there need be no file of that name. */
static err_t
read_configuration(struct reading *r)
{
    struct sentry_options *options = r->options;
    size_t len;
    const char *words;
    struct node *root;
    struct node_error error;
    char *text = file_read(r->arena, options->config.data, &len, &words);
    if (text == NULL && !options->given[SENTRY_FLAG_config])
        return OK;
    if (text == NULL)
        return REFUSE(r, "loading default config. couldn't find config name \"%s\": stat %s: %s",
                      options->config.data, options->config.data, words);
    bool is_good = node_parse(r->arena, slice_of(text, len), 1, &root, &error);
    free(text);
    if (!is_good)
        return REFUSE(r, "%s: error converting YAML to JSON: %s", options->config.data, error.text);
    return read_mtls(r, node_get(node_get(root, SLICE("spec")), SLICE("mtls")));
}

/* --- checks ------------------------------------------------------------------------------------*/

static struct slice
path_of(struct arena *arena, const struct sentry_options *options, struct slice name)
{
    if (slice_has_prefix(name, SLICE("/")))
        return name;
    return arena_printf(arena, SLICE_FMT "/" SLICE_FMT, SLICE_ARG(options->folder),
                        SLICE_ARG(name));
}

static void
set_paths(struct arena *arena, struct sentry_options *options)
{
    options->anchors_path = path_of(arena, options, options->ca_name);
    options->chain_path = path_of(arena, options, options->chain_name);
    options->key_path = path_of(arena, options, options->key_name);
    options->jwt_key_path = path_of(arena, options, options->jwt_key_name);
    options->jwks_path = path_of(arena, options, options->jwks_name);
}

static err_t
check_features(struct reading *r)
{
    const struct sentry_options *options = r->options;
    if (slice_eq(options->mode, SLICE("kubernetes")))
        return REFUSE(r, "mode kubernetes (credentials in secrets, tokens of service accounts) is "
                         "not implemented in this version");
    if (!slice_eq(options->mode, SLICE("standalone")))
        return REFUSE(r, "Invalid options: invalid mode: " SLICE_FMT, SLICE_ARG(options->mode));
    if (options->has_oidc)
        return REFUSE(r, "oidc-enabled is not implemented in this version");
    if (options->jwt_issuer.len > 0 && !options->has_jwt)
        return REFUSE(r, "Invalid options: jwt-issuer cannot be set when jwt-enabled is false");
    if (options->port > UINT16_MAX || options->healthz_port > UINT16_MAX ||
        options->metrics_port > UINT16_MAX)
        return REFUSE(r, "Invalid options: a port is larger than 65535");
    if (options->jwt_ttl_ns <= 0)
        return REFUSE(r, "Invalid options: jwt-ttl must be positive");
    return OK;
}

static err_t
check(struct reading *r, struct env env)
{
    struct sentry_options *options = r->options;
    struct spiffe_app app;
    const char *namespace_name = env_get(env, "NAMESPACE");
    options->namespace_name = namespace_name == NULL || namespace_name[0] == '\0'
                                  ? SLICE("default")
                                  : slice_str(namespace_name);
    if (!log_level_from_name(options->log_level_name, &options->log_level))
        return REFUSE(r, "undefined Log Output Level: " SLICE_FMT,
                      SLICE_ARG(options->log_level_name));
    err_t err = check_features(r);
    if (err == OK)
        err = read_configuration(r);
    if (err != OK)
        return err;
    options->own_id = arena_printf(r->arena, "spiffe://" SLICE_FMT "/ns/" SLICE_FMT "/dapr-sentry",
                                   SLICE_ARG(options->trust_domain),
                                   SLICE_ARG(options->namespace_name));
    if (!spiffe_app_of(options->own_id, &app))
        return REFUSE(
            r, "trust domain \"" SLICE_FMT "\" and namespace \"" SLICE_FMT "\" make no SPIFFE ID",
            SLICE_ARG(options->trust_domain), SLICE_ARG(options->namespace_name));
    return OK;
}

enum options_verdict
sentry_options_read(struct arena *arena, int argc, char *const *argv, struct env env,
                    struct sentry_options *ret_options, struct slice *ret_message)
{
    struct diag diag;
    struct reading reading = { .arena = arena, .options = ret_options, .diag = &diag };
    *ret_options = (struct sentry_options){ .log_level = LOG_INFO,
                                            .lifetime_ms = LIFETIME_MS,
                                            .skew_ms = SKEW_MS };
    const struct flag_values to = { .members = ret_options,
                                    .given = ret_options->given,
                                    .ignored = &ret_options->ignored,
                                    .deprecated = &ret_options->deprecated };
    diag_init(&diag, arena);
    enum flags_verdict parsed = flags_parse(arena, &table, argc, argv, &to, ret_message);
    if (parsed != FLAGS_OK)
        return parsed == FLAGS_HELP ? OPTIONS_HELP : OPTIONS_BAD_USAGE;
    if (ret_options->version)
        return OPTIONS_VERSION;
    set_paths(arena, ret_options);
    if (check(&reading, env) == OK)
        return OPTIONS_RUN;
    *ret_message = diag.message;
    return OPTIONS_FATAL;
}

void
sentry_options_help(struct buf *out, const char *program)
{
    flags_help(out, &table, program);
}
