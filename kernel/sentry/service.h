/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service workloads ask (dapr.proto.sentry.v1.CA): judges who asks, then has the authority
 * sign. Beside it the answers of the health and metrics ports. Worker thread only.
 */
#ifndef SENTRY_SERVICE_H
#define SENTRY_SERVICE_H

#include "http/http.h"
#include "sentry/options.h"

struct authority;
struct jwks;
struct join_tokens;
struct metrics;
struct token_issuer;

/* One reference or owned each, exchanged by service_take(). */
struct service {
    const struct sentry_options *options; /* borrowed */
    struct metrics *metrics;              /* borrowed */
    struct authority *authority;
    struct token_issuer *tokens; /* NULL: no JWTs are given */
    struct jwks *jwks;           /* NULL: none are known, yet or ever */
    struct join_tokens *join;    /* NULL: there are none */
};

/* What has changed, moved; NULL: that stays. */
struct service_parts {
    struct authority *authority;
    struct token_issuer *tokens;
    struct jwks *jwks;
    struct join_tokens *join;
};
void service_take(struct service *service, struct service_parts *parts);
void service_fini(struct service *service);

/* http_handlers; server_arg is the service. */
void service_handle(struct http_exchange *x);
void service_health(struct http_exchange *x);
void service_metrics(struct http_exchange *x);

#endif
