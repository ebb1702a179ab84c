/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the certificate authority is told: its command line, its Configuration file (spec.mtls) and
 * the environment, as one checked struct. Logs nothing.
 */
#ifndef SENTRY_OPTIONS_H
#define SENTRY_OPTIONS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "config/env.h"
#include "config/flags.h"

enum sentry_flag {
#define FLAG(field, name, type, default_text, status, what) SENTRY_FLAG_##field,
#include "sentry/flags.def"
#undef FLAG
    SENTRY_FLAG_COUNT
};

/* Where the keys that tokens are signed with come from. */
struct jwks_source {
    struct slice text;       /* as configured: a URL, a path, or the set itself */
    bool is_url;             /* else a path, or inline */
    struct slice inline_set; /* empty: not inline */
    struct slice ca;         /* PEM of who vouches for the URL's server; empty: the system's */
    uint64_t refresh_ms;
    uint64_t timeout_ms;
};

/* All memory is the arena's; slices are NUL-terminated. */
struct sentry_options {
#define FLAG(field, name, type, default_text, status, what) FLAG_FIELD_##type(field)
#include "sentry/flags.def"
#undef FLAG
    bool given[SENTRY_FLAG_COUNT];
    struct text_list ignored;    /* given and without effect */
    struct text_list deprecated; /* always empty */

    enum log_level log_level;
    struct slice namespace_name; /* NAMESPACE, "default" without */
    struct slice own_id;         /* SPIFFE id of the certificate authority */

    /* Paths. */
    struct slice anchors_path;
    struct slice chain_path;
    struct slice key_path;
    struct slice jwt_key_path;
    struct slice jwks_path;

    /* Of the Configuration. */
    int64_t lifetime_ms; /* of workloads' certificates */
    int64_t skew_ms;
    bool has_jwks;
    struct jwks_source jwks;
    struct text_list warnings;
};

enum options_verdict {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_BAD_USAGE,
    OPTIONS_FATAL
};

/* *ret_options holds what could be read whatever the verdict. The message says what is wrong. */
enum options_verdict
sentry_options_read(struct arena *arena, int argc, char *const *argv, struct env env,
                    struct sentry_options *ret_options, struct slice *ret_message);

void sentry_options_help(struct buf *out, const char *program);

#endif
