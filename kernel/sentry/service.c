/* SPDX-License-Identifier: Apache-2.0 */
/* See service.h. */
#include "sentry/service.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pb.h"
#include "dapr/proto/sentry/v1/sentry.pb-c.h"
#include "http/grpc.h"
#include "sentry/authority.h"
#include "sentry/claim.h"
#include "sentry/csr.h"
#include "sentry/join_tokens.h"
#include "sentry/jwks.h"
#include "sentry/jwt.h"
#include "sentry/token_issuer.h"
#include "telemetry/process.h"

#define SCOPE "dapr.sentry.server"

enum { TOKEN_SKEW_S = 300, DNS_NAMES_MAX = 3, MESSAGE_DEPTH_MAX = 4 };

typedef Dapr__Proto__Sentry__V1__SignCertificateRequest sign_message;
typedef Dapr__Proto__Sentry__V1__SignCertificateResponse signed_message;
typedef Dapr__Proto__Sentry__V1__SignCertificateResponse__PerAudienceJwtsEntry jwt_entry;

enum validator {
    VALIDATOR_UNKNOWN = 0,
    VALIDATOR_INSECURE = 1,
    VALIDATOR_KUBERNETES = 2,
    VALIDATOR_JWKS = 3,
};

void
service_take(struct service *service, struct service_parts *parts)
{
    if (parts->authority != NULL) {
        authority_unref(service->authority);
        service->authority = TAKE(parts->authority);
    }
    if (parts->tokens != NULL) {
        token_issuer_free(service->tokens);
        service->tokens = TAKE(parts->tokens);
    }
    if (parts->jwks != NULL) {
        jwks_free(service->jwks);
        service->jwks = TAKE(parts->jwks);
    }
    if (parts->join != NULL) {
        join_tokens_free(service->join);
        service->join = TAKE(parts->join);
    }
}

void
service_fini(struct service *service)
{
    authority_unref(TAKE(service->authority));
    token_issuer_free(TAKE(service->tokens));
    jwks_free(TAKE(service->jwks));
    join_tokens_free(TAKE(service->join));
}

/* --- who asks ----------------------------------------------------------------------------------*/

/* One request on its way through. */
struct signing {
    const struct service *service;
    struct arena *arena;
    struct diag *diag;
    const sign_message *request;
    enum grpc_code code; /* of a failure, whose words are the diag's */
    struct slice id;     /* SPIFFE id of who asks, proved as far as is asked for */
};

static bool
deny(struct signing *s, enum grpc_code code)
{
    s->code = code;
    log_debug(SCOPE, "Failed to validate request for %s/%s: " SLICE_FMT, s->request->namespace_,
              s->request->id, SLICE_ARG(s->diag->message));
    return false;
}

#define DENY(s, code, ...) ((void)DIAG_FAIL((s)->diag, ERR_MALFORMED, __VA_ARGS__), deny(s, code))

/* False: there is none for this request, which has been said. */
static bool
choose_validator(struct signing *s, enum validator *ret_validator)
{
    const struct sentry_options *options = s->service->options;
    bool has_join = options->join_token_file.len > 0;
    bool is_secure = options->has_jwks || has_join;
    enum validator asked = (enum validator)s->request->token_validator;
    if (asked == VALIDATOR_UNKNOWN)
        asked = !is_secure ? VALIDATOR_INSECURE : has_join ? VALIDATOR_JWKS : VALIDATOR_UNKNOWN;
    if (asked == VALIDATOR_UNKNOWN)
        return DENY(s, GRPC_INVALID_ARGUMENT,
                    "a validator name must be specified in this environment");
    if (asked != (is_secure ? VALIDATOR_JWKS : VALIDATOR_INSECURE))
        return DENY(s, GRPC_INVALID_ARGUMENT, "the requested validator is not enabled");
    *ret_validator = asked;
    return true;
}

static bool
check_claim(struct signing *s)
{
    const struct claim claim = { .app_id = slice_str(s->request->id),
                                 .namespace_ = slice_str(s->request->namespace_),
                                 .trust_domain = slice_str(s->request->trust_domain),
                                 .has_csr = s->request->certificate_signing_request.len > 0 };
    if (claim_check(s->arena, &claim, &s->id, s->diag) != OK)
        return deny(s, GRPC_PERMISSION_DENIED);
    /* Whoever had it could sign for the mesh. */
    if (slice_eq(s->id, s->service->options->own_id))
        return DENY(s, GRPC_PERMISSION_DENIED,
                    "invalid request: this is the identity of the certificate authority");
    return true;
}

/* A token agreed on beforehand, or a JWT about exactly this workload. */
static bool
check_token(struct signing *s)
{
    const struct service *service = s->service;
    struct slice token = slice_str(s->request->token);
    if (token.len > LIMIT_sentry_token_bytes)
        return DENY(s, GRPC_PERMISSION_DENIED, "token validation failed: the token is too long");
    if (service->join != NULL && join_tokens_match(service->join, token))
        return true;
    if (!service->options->has_jwks)
        return DENY(s, GRPC_PERMISSION_DENIED,
                    "token validation failed: the join token is not known");
    if (service->jwks == NULL)
        return DENY(s, GRPC_PERMISSION_DENIED, "token validation failed: no keys are known yet");
    const struct jwt_expectation expected = { .audience = service->options->own_id,
                                              .subject = s->id,
                                              .now_s = clock_unix_ms() / 1000,
                                              .skew_s = TOKEN_SKEW_S };
    return jwt_verify(s->arena, service->jwks, token, &expected, s->diag) == OK ||
           deny(s, GRPC_PERMISSION_DENIED);
}

static bool
validate(struct signing *s)
{
    enum validator validator = VALIDATOR_JWKS;
    if (!choose_validator(s, &validator))
        return false;
    if (validator == VALIDATOR_JWKS && s->request->token[0] == '\0')
        return DENY(s, GRPC_PERMISSION_DENIED, "the request does not contain a token");
    return check_claim(s) && (validator == VALIDATOR_INSECURE || check_token(s));
}

/* --- signing -----------------------------------------------------------------------------------*/

/* Names that clients inside a cluster know parts of the control plane by. */
static size_t
dns_names(struct signing *s, struct slice ret_names[DNS_NAMES_MAX])
{
    static const char *const services[][2] = { { "dapr-injector", "dapr-sidecar-injector" },
                                               { "dapr-operator", "dapr-webhook" } };
    struct slice id = slice_str(s->request->id), ns = slice_str(s->request->namespace_);
    if (!slice_eq(ns, s->service->options->namespace_name))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        if (!slice_eq(id, slice_str(services[i][0])))
            continue;
        ret_names[0] = arena_printf(s->arena, "%s." SLICE_FMT ".svc", services[i][1],
                                    SLICE_ARG(ns));
        return 1;
    }
    if (!slice_eq(id, SLICE("dapr-scheduler")))
        return 0;
    for (unsigned i = 0; i < DNS_NAMES_MAX; i++)
        ret_names[i] = arena_printf(s->arena,
                                    "dapr-scheduler-server-%u.dapr-scheduler-server." SLICE_FMT
                                    ".svc.cluster.local",
                                    i, SLICE_ARG(ns));
    return DNS_NAMES_MAX;
}

static bool
sign(struct signing *s, struct signed_certificate *ret_signed)
{
    const struct sentry_options *options = s->service->options;
    struct slice names[DNS_NAMES_MAX];
    EVP_PKEY *key = NULL;
    if (csr_read(pb_slice(s->request->certificate_signing_request), &key, s->diag) != OK)
        return deny(s, GRPC_INVALID_ARGUMENT);
    const struct sign_request request = { .public_key = key,
                                          .spiffe_id = s->id,
                                          .dns_names = names,
                                          .dns_name_count = dns_names(s, names),
                                          .lifetime_ms = options->lifetime_ms,
                                          .skew_ms = options->skew_ms };
    err_t err = authority_sign(s->service->authority, s->arena, &request, ret_signed, s->diag);
    EVP_PKEY_free(key);
    if (err == OK)
        return true;
    log_error(SCOPE, "Error signing identity: " SLICE_FMT, SLICE_ARG(s->diag->message));
    return DENY(s, GRPC_INTERNAL, "failed to sign certificate");
}

/* --- tokens beside it --------------------------------------------------------------------------*/

static bool
issue_token(struct signing *s, struct slice audience, char **ret_token)
{
    const struct sentry_options *options = s->service->options;
    const struct token_request request = { .subject = s->id,
                                           .audience = audience,
                                           .lifetime_ms = options->jwt_ttl_ns / 1000000,
                                           .skew_ms = options->skew_ms };
    struct slice token;
    if (token_issue(s->service->tokens, s->arena, &request, &token, s->diag) == OK) {
        *ret_token = pb_string(s->arena, token);
        return true;
    }
    log_error(SCOPE, "Error generating JWT: " SLICE_FMT, SLICE_ARG(s->diag->message));
    return DENY(s, GRPC_INTERNAL, "failed to generate JWT");
}

static bool
check_audiences(struct signing *s)
{
    if (s->request->n_jwt_audiences > LIMIT_sentry_audiences_max)
        return DENY(s, GRPC_INVALID_ARGUMENT, "too many JWT audiences");
    for (size_t i = 0; i < s->request->n_jwt_audiences; i++) {
        struct slice audience = slice_str(s->request->jwt_audiences[i]);
        if (audience.len == 0 || audience.len > LIMIT_sentry_audience_bytes ||
            !slice_is_utf8(audience))
            return DENY(s, GRPC_INVALID_ARGUMENT, "invalid JWT audience");
    }
    return true;
}

/* One for the trust domain, one more for each audience asked for. */
static bool
add_tokens(struct signing *s, signed_message *response)
{
    if (s->service->tokens == NULL)
        return true;
    struct slice domain = s->request->trust_domain[0] == '\0' ? SLICE("public")
                                                              : slice_str(s->request->trust_domain);
    if (!check_audiences(s) || !issue_token(s, domain, &response->jwt))
        return false;
    response->_jwt_case = DAPR__PROTO__SENTRY__V1__SIGN_CERTIFICATE_RESPONSE___JWT_JWT;
    size_t count = s->request->n_jwt_audiences;
    response->per_audience_jwts = ARENA_ARRAY(s->arena, jwt_entry *, count + 1);
    for (size_t i = 0; i < count; i++) {
        jwt_entry *entry = ARENA_NEW(s->arena, jwt_entry);
        dapr__proto__sentry__v1__sign_certificate_response__per_audience_jwts_entry__init(entry);
        entry->key = s->request->jwt_audiences[i];
        if (!issue_token(s, slice_str(entry->key), &entry->value))
            return false;
        response->per_audience_jwts[response->n_per_audience_jwts++] = entry;
    }
    return true;
}

/* --- the call ----------------------------------------------------------------------------------*/

static bool
answer(struct signing *s, struct slice *ret_bytes)
{
    struct signed_certificate made;
    signed_message response;
    dapr__proto__sentry__v1__sign_certificate_response__init(&response);
    if (!validate(s) || !sign(s, &made) || !add_tokens(s, &response))
        return false;
    ProtobufCBinaryData anchors = pb_bytes(authority_anchors(s->service->authority));
    Google__Protobuf__Timestamp until;
    google__protobuf__timestamp__init(&until);
    until.seconds = made.not_after_s;
    response.workload_certificate = pb_bytes(made.chain);
    response.n_trust_chain_certificates = 1;
    response.trust_chain_certificates = &anchors;
    response.valid_until = &until;
    *ret_bytes = pb_pack(s->arena, &response.base);
    log_debug(SCOPE, "Successfully signed certificate for %s/%s", s->request->namespace_,
              s->request->id);
    return true;
}

static void
sign_certificate(struct grpc_call *call)
{
    struct task *t = call->x->task;
    struct slice bytes;
    bool has_message;
    uint64_t outer = task_deadline_push(t, LIMIT_http_body_total_ms);
    bool is_read = grpc_read(call, &bytes, &has_message); /* suspends */
    task_deadline_pop(t, outer);
    if (!is_read || !has_message) {
        grpc_end(call, is_read ? GRPC_INTERNAL : call->code,
                 is_read ? SLICE("the request has no message") : call->message, SLICE_EMPTY);
        return;
    }
    struct signing signing = { .service = call->x->server_arg,
                               .arena = task_arena(t),
                               .diag = task_diag(t) };
    signing.request = pb_unpack(
        signing.arena, &dapr__proto__sentry__v1__sign_certificate_request__descriptor, bytes,
        MESSAGE_DEPTH_MAX, LIMIT_grpc_unpack_base_bytes + LIMIT_grpc_unpack_factor * bytes.len);
    if (signing.request == NULL) {
        grpc_end(call, GRPC_INTERNAL, SLICE("grpc: error unmarshalling request"), SLICE_EMPTY);
        return;
    }
    metrics_record(metrics_single(METRICS_sentry_received), 1);
    struct slice response;
    if (answer(&signing, &response)) {
        metrics_record(metrics_single(METRICS_sentry_signed), 1);
        if (grpc_send(call, response) == OK) /* suspends */
            grpc_end(call, GRPC_OK, SLICE_EMPTY, SLICE_EMPTY);
        return;
    }
    const struct slice reason = SLICE("sign");
    metrics_record(metrics_series(METRICS_sentry_failed, &reason), 1);
    grpc_end(call, signing.code, signing.diag->message, SLICE_EMPTY);
}

void
service_handle(struct http_exchange *x)
{
    struct grpc_call call;
    if (!grpc_begin(x, LIMIT_sentry_message_bytes, &call))
        return;
    uint64_t outer = task_deadline_push(x->task, call.timeout_ms);
    if (!slice_eq(call.service, SLICE("dapr.proto.sentry.v1.CA")))
        grpc_end(&call, GRPC_UNIMPLEMENTED,
                 arena_printf(task_arena(x->task), "unknown service " SLICE_FMT,
                              SLICE_ARG(call.service)),
                 SLICE_EMPTY);
    else if (!slice_eq(call.method, SLICE("SignCertificate")))
        grpc_end(&call, GRPC_UNIMPLEMENTED,
                 arena_printf(task_arena(x->task),
                              "unknown method " SLICE_FMT " for service dapr.proto.sentry.v1.CA",
                              SLICE_ARG(call.method)),
                 SLICE_EMPTY);
    else
        sign_certificate(&call); /* suspends */
    task_deadline_pop(x->task, outer);
}

/* --- the other ports ---------------------------------------------------------------------------*/

void
service_health(struct http_exchange *x)
{
    bool is_known = slice_eq(x->path, SLICE("/healthz"));
    (void)http_reply(x, is_known ? 200 : 404, NULL, 0, SLICE_EMPTY); /* nobody to tell else */
}

static err_t
put(void *arg, struct slice text)
{
    return http_reply_write(arg, text); /* suspends */
}

void
service_metrics(struct http_exchange *x)
{
    const struct http_header type = { SLICE("Content-Type"),
                                      SLICE("text/plain; version=0.0.4; charset=utf-8; "
                                            "escaping=underscores") };
    const struct service *service = x->server_arg;
    struct metric_samples samples = { .arena = task_arena(x->task) };
    process_sample(&samples);
    metric_samples_add(&samples, FAMILY_dapr_sentry_issuercert_expiry_timestamp, SLICE_EMPTY,
                       (double)authority_not_after_s(service->authority));
    if (http_reply_start(x, 200, &type, 1, HTTP_LENGTH_UNKNOWN) == OK &&
        exposition_write(service->metrics, &samples, task_arena(x->task), put, x) == OK)
        (void)http_reply_end(x); /* nothing follows that it could spoil */
}
