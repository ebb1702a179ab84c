/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware.http.bearer: requests that carry a token of an issuer, meant for this audience, go on.
 *
 * Reading order: token.c judges a token, issuer.c has the keys, this file is a component's life and
 * its requests, of which those wait that name a key which may have come to be.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "../shared/transfer.h"
#include "issuer.h"
#include "token.h"

enum { CONNECTIONS_MAX = 8, WAITING_MAX = 1000, SKEW_S = 300, TOKEN_BYTES_LEAST = 10 };

/* A request whose token names a key that is being asked for. */
struct waiting {
    remora_call *call;
    struct remora_slice token; /* in the call's memory */
};

struct bearer {
    struct issuer *issuer;
    char *name, *audience;
    remora_call *init; /* to be answered with the first keys; NULL: it has been */
    struct waiting *waiting;
    size_t waiting_count;
};

/* --- requests ----------------------------------------------------------------------------------*/

static void
refuse(remora_call *call)
{
    static const struct remora_pair plain = { { "Content-Type", 12 },
                                              { "text/plain; charset=utf-8", 25 } };
    const struct remora_http_verdict unauthorized = {
        .status = 401, .headers = &plain, .header_count = 1, .body = { "Unauthorized", 12 }
    };
    remora_middleware_reply(call, &unauthorized);
}

static enum token_verdict
judge(const struct bearer *bearer, struct remora_slice token)
{
    const struct token_expectation expected = {
        .issuer = bearer->name, .audience = bearer->audience, .now_s = time(NULL), .skew_s = SKEW_S
    };
    return token_judge(issuer_keys(bearer->issuer), token, &expected);
}

/* False: there is no token. */
static bool
find_token(const struct remora_http_request *request, struct remora_slice *ret_token)
{
    static const char prefix[] = "bearer ";
    const size_t len = sizeof prefix - 1;
    if (!remora_http_header(request, "Authorization", ret_token) ||
        ret_token->len < len + TOKEN_BYTES_LEAST || strncasecmp(ret_token->data, prefix, len) != 0)
        return false;
    *ret_token = (struct remora_slice){ ret_token->data + len, ret_token->len - len };
    return true;
}

static void
handle(remora_call *call, void *self, const struct remora_http_request *request)
{
    struct bearer *bearer = self;
    struct remora_slice token;
    enum token_verdict verdict = find_token(request, &token) ? judge(bearer, token) : TOKEN_BAD;
    if (verdict == TOKEN_GOOD)
        remora_reply_ok(call);
    else if (verdict == TOKEN_KEY_UNKNOWN && bearer->waiting_count < WAITING_MAX &&
             issuer_refresh(bearer->issuer))
        bearer->waiting[bearer->waiting_count++] = (struct waiting){ call, token };
    else
        refuse(call);
}

static void
judge_waiting(struct bearer *bearer)
{
    for (size_t i = 0; i < bearer->waiting_count; i++) {
        const struct waiting *waiting = &bearer->waiting[i];
        if (judge(bearer, waiting->token) == TOKEN_GOOD)
            remora_reply_ok(waiting->call);
        else
            refuse(waiting->call);
    }
    bearer->waiting_count = 0;
}

/* --- life --------------------------------------------------------------------------------------*/

static void
bearer_close(void *self)
{
    struct bearer *bearer = self;
    issuer_free(bearer->issuer);
    free(bearer->waiting);
    free(bearer->name);
    free(bearer->audience);
    free(bearer);
}

static void
on_tried(void *arg, const char *error)
{
    struct bearer *bearer = arg;
    remora_call *init = bearer->init;
    bearer->init = NULL;
    if (init != NULL && error != NULL) {
        remora_reply_error(init, REMORA_UNAVAILABLE, "%s", error);
        bearer_close(bearer);
        return;
    }
    if (init != NULL)
        remora_reply_init(init, bearer, 0, 0);
    else if (error != NULL)
        remora_log(REMORA_WARN, "%s; the keys fetched before stay in use", error);
    judge_waiting(bearer);
}

/* The value under its name or the one of earlier days; malloc'ed, NULL: there is none. */
static char *
metadata_of(const struct remora_config *config, const char *name, const char *old)
{
    struct remora_slice value;
    bool is_there = remora_metadata_get(config->metadata, config->metadata_count, name, &value) ||
                    (old != NULL &&
                     remora_metadata_get(config->metadata, config->metadata_count, old, &value));
    return is_there && value.len > 0 ? remora_slice_dup(value) : NULL;
}

static void
init(remora_call *call, const struct remora_config *config)
{
    struct bearer *bearer = calloc(1, sizeof *bearer);
    char *keys_url = metadata_of(config, "jwksURL", NULL);
    if (bearer == NULL || (bearer->waiting = calloc(WAITING_MAX, sizeof *bearer->waiting)) == NULL)
        abort();
    bearer->name = metadata_of(config, "issuer", "issuerURL");
    bearer->audience = metadata_of(config, "audience", "clientID");
    const char *missing = bearer->name == NULL       ? "issuer"
                          : bearer->audience == NULL ? "audience"
                                                     : NULL;
    if (missing != NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "metadata property '%s' is required",
                           missing);
        bearer_close(bearer);
    } else {
        bearer->init = call;
        bearer->issuer = issuer_new(bearer->name, keys_url, on_tried, bearer);
    }
    free(keys_url);
}

static bool
setup(void)
{
    return transfer_setup(CONNECTIONS_MAX);
}

static const struct remora_middleware_ops middleware = { .handle = handle };

static const struct remora_component_type types[] = {
    { .type = "middleware.http.bearer",
      .versions = "v1",
      .init = init,
      .close = bearer_close,
      .middleware = &middleware },
};

static const struct remora_plugin plugin = { .name = "bearer",
                                             .version = "1.0.0",
                                             .types = types,
                                             .type_count = sizeof types / sizeof types[0],
                                             .setup = setup };

int
main(int argc, char **argv)
{
    return remora_plugin_main(&plugin, argc, argv);
}
