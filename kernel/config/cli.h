/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: the reference runtime's flags, its defaults, and its words where something is
 * wrong, so that remorad can stand in for it under scripts and orchestrators. flags.def has the
 * flags; this turns them and a few environment variables into one checked struct.
 *
 * Called once by main before any thread exists. Logs nothing itself.
 */
#ifndef CONFIG_CLI_H
#define CONFIG_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/slice.h"
#include "config/env.h"
#include "config/flags.h"
#include "config/text_list.h"

enum sandbox_mode { SANDBOX_BEST_EFFORT, SANDBOX_REQUIRE, SANDBOX_OFF };

enum flag {
#define FLAG(field, name, type, default_text, status, what) FLAG_##field,
#include "config/flags.def"
#undef FLAG
    FLAG_COUNT
};

/* All memory belongs to the arena given to cli_parse(). Slices are NUL-terminated. */
struct options {
    /* As typed, or the default: one member for each row of flags.def. */
#define FLAG(field, name, type, default_text, status, what) FLAG_FIELD_##type(field)
#include "config/flags.def"
#undef FLAG
    bool given[FLAG_COUNT]; /* the flag stood on the command line */

    /* Worked out of the above. */
    uint16_t http_port; /* 0: any free one */
    uint16_t grpc_port;
    uint16_t internal_grpc_port; /* 0: any free one */
    uint16_t metrics_port;
    uint16_t profile_port;
    uint16_t public_port; /* meaningful if has_public_port */
    bool has_public_port;
    uint16_t app_port; /* 0: there is no app */
    uint64_t app_health_interval_ms;
    uint64_t app_health_timeout_ms;
    unsigned app_health_failures; /* in a row that make it unhealthy */
    uint64_t app_binding_options_ms;
    bool skips_app_config; /* named by --disable-init-endpoints */
    bool skips_app_subscribe;
    struct text_list listen_addresses; /* at least one; "" means all; no brackets around IPv6 */
    struct text_list resources;        /* folders, --components-path included */
    size_t max_body_bytes;
    size_t read_buffer_bytes;
    enum log_level log_level;
    uint64_t grace_ms;
    uint64_t block_shutdown_ms;
    enum sandbox_mode sandbox;
    unsigned worker_count;

    /* Of the environment; empty if not set. */
    struct slice namespace_name; /* NAMESPACE: empty means that resources' namespaces are ignored */
    struct slice pod_name;       /* POD_NAME */
    struct slice host_ip;        /* DAPR_HOST_IP */
    struct slice api_token;      /* DAPR_API_TOKEN: secret, never logged */
    struct slice app_api_token;  /* APP_API_TOKEN: secret, never logged */
    struct slice env_keys;       /* DAPR_ENV_KEYS */
    struct slice trust_anchors;  /* DAPR_TRUST_ANCHORS: PEM text */
    struct slice trust_anchors_file; /* DAPR_TRUST_ANCHORS_FILE */
    struct slice sentry_token_file;  /* DAPR_SENTRY_TOKEN_FILE */
    struct slice sentry_identity;    /* SENTRY_LOCAL_IDENTITY: asked for in place of the app id */
    struct slice xdg_runtime_dir;    /* XDG_RUNTIME_DIR */
    bool disable_h2c;                /* DAPR_HTTP_DISABLE_H2C: no HTTP/2 on the HTTP ports */

    /* For main to log once the log is set up. */
    struct text_list ignored;    /* what is given and has no effect yet: "--flag", "VARIABLE" */
    struct text_list deprecated; /* "Flag --name has been deprecated, ..." */
};

enum cli_verdict {
    CLI_RUN,
    CLI_HELP,       /* cli_help() to standard error, exit 0 */
    CLI_VERSION,    /* version to standard output, exit 0 */
    CLI_BUILD_INFO, /* likewise */
    CLI_WAIT,       /* ask the sidecar at http_port until its healthz/outbound is 204, exit 0 */
    CLI_BAD_USAGE,  /* cli_help() and the message to standard error, exit 2 as daprd does */
    CLI_FATAL,      /* the message as a fatal log line, exit 1 */
};

/* *ret_options holds what could be parsed whatever the verdict (the log needs the app id), the
 * message is empty unless something is wrong. argv[0] is the program. */
enum cli_verdict cli_parse(struct arena *arena, int argc, char *const *argv, struct env env,
                           struct options *ret_options, struct slice *ret_message);

/* Appends the list of flags. `program` is a path or name; its last part is shown. */
void cli_help(struct buf *out, const char *program);

/* What follows is between cli.c and cli_check.c. */

/* Computes and checks the derived members; CLI_RUN or CLI_FATAL with a message. */
enum cli_verdict
cli_check_sizes(struct arena *arena, struct options *options, struct slice *ret_message);
enum cli_verdict
cli_check(struct arena *arena, struct options *options, struct env env, struct slice *ret_message);

#endif
