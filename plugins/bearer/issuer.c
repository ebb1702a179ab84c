/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of an issuer; see issuer.h. */
#include "issuer.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/fetch.h"
#include "remora_plugin.h"
#include "token.h"

enum {
    ANSWER_BYTES_MAX = 1024 * 1024,
    TIMEOUT_MS = 30000,
    REFRESH_S = 600,
    RETRY_S = 30,
    REFRESH_LEAST_S = 10, /* whatever tokens say */
    WORDS_BYTES = 512,
};

struct issuer {
    char *name, *keys_url;          /* owned; the latter NULL until it is known */
    struct fetch_identity identity; /* nobody in particular */
    struct fetch *fetch;            /* NULL: nothing is under way */
    json_t *keys;
    ev_timer timer;
    ev_tstamp tried_at;
    issuer_tried *tried;
    void *arg;
};

static void fetch_next(struct issuer *issuer);

static void
set_timer(struct issuer *issuer, double seconds)
{
    ev_timer_stop(remora_loop(), &issuer->timer);
    ev_timer_set(&issuer->timer, seconds, 0);
    ev_timer_start(remora_loop(), &issuer->timer);
}

static void
end_attempt(struct issuer *issuer, const char *error)
{
    set_timer(issuer, error == NULL ? REFRESH_S : RETRY_S);
    issuer->tried(issuer->arg, error); /* may free it */
}

/* --- where the keys are ------------------------------------------------------------------------*/

/* NULL: *ret_url is owned by the caller. */
static const char *
read_configuration(const struct issuer *issuer, const struct fetch_answer *answer, char **ret_url)
{
    json_t *document = json_loadb(answer->body, answer->len, 0, NULL);
    const char *name = json_string_value(json_object_get(document, "issuer"));
    const char *url = json_string_value(json_object_get(document, "jwks_uri"));
    const char *error = NULL;
    if (document == NULL)
        error = "failed to decode JSON response";
    else if (url == NULL || *url == '\0')
        error = "the OpenID Configuration document does not contain a 'jwks_uri'";
    else if (name == NULL || strcmp(name, issuer->name) != 0)
        error = "the issuer found in the OpenID Configuration document doesn't match the one "
                "provided in the component's metadata";
    else if ((*ret_url = strdup(url)) == NULL)
        abort();
    json_decref(document);
    return error;
}

static const char *
take(struct issuer *issuer, const struct fetch_answer *answer, bool is_configuration)
{
    if (is_configuration)
        return read_configuration(issuer, answer, &issuer->keys_url);
    json_t *keys = token_keys_parse(answer->body, answer->len);
    if (keys == NULL)
        return "it is no set of keys";
    json_decref(issuer->keys);
    issuer->keys = keys;
    return NULL;
}

static void
on_answer(const struct fetch_answer *answer, void *arg)
{
    struct issuer *issuer = arg;
    const bool is_configuration = issuer->keys_url == NULL;
    char words[WORDS_BYTES], status[64];
    const char *error = NULL;
    issuer->fetch = NULL;
    (void)snprintf(status, sizeof status, "invalid response status code: %ld", answer->status);
    if (answer->status == 0)
        error = answer->error;
    else if (answer->status != 200)
        error = status;
    else
        error = take(issuer, answer, is_configuration);
    if (error != NULL) {
        (void)snprintf(words, sizeof words, "%s: %s",
                       is_configuration ? "failed to retrieve OpenID Configuration"
                                        : "failed to fetch JWKS",
                       error);
        end_attempt(issuer, words);
    } else if (is_configuration) {
        fetch_next(issuer);
    } else {
        end_attempt(issuer, NULL);
    }
}

/* "ISSUER/.well-known/openid-configuration", with one slash. */
static char *
configuration_url(const char *name)
{
    static const char path[] = "/.well-known/openid-configuration";
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '/')
        len--;
    char *url = malloc(len + sizeof path);
    if (url == NULL)
        abort();
    memcpy(url, name, len);
    memcpy(url + len, path, sizeof path);
    return url;
}

static void
fetch_next(struct issuer *issuer)
{
    static const char *const headers[] = { "Accept: application/json", NULL };
    char *configuration = issuer->keys_url == NULL ? configuration_url(issuer->name) : NULL;
    const struct fetch_question question = {
        .method = "GET",
        .url = configuration == NULL ? issuer->keys_url : configuration,
        .headers = headers,
        .identity = &issuer->identity,
        .answer_bytes_max = ANSWER_BYTES_MAX,
        .timeout_ms = TIMEOUT_MS,
    };
    issuer->tried_at = ev_now(remora_loop());
    issuer->fetch = fetch_start(&question, on_answer, issuer);
    free(configuration);
}

/* --- life --------------------------------------------------------------------------------------*/

static void
on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct issuer *issuer = timer->data;
    if (issuer->fetch == NULL)
        fetch_next(issuer);
}

struct issuer *
issuer_new(const char *name, const char *keys_url, issuer_tried *tried, void *arg)
{
    struct issuer *issuer = calloc(1, sizeof *issuer);
    if (issuer == NULL || (issuer->name = strdup(name)) == NULL ||
        (keys_url != NULL && (issuer->keys_url = strdup(keys_url)) == NULL))
        abort();
    issuer->tried = tried;
    issuer->arg = arg;
    ev_timer_init(&issuer->timer, on_timer, 0, 0);
    issuer->timer.data = issuer;
    fetch_next(issuer);
    return issuer;
}

void
issuer_free(struct issuer *issuer)
{
    if (issuer == NULL)
        return;
    fetch_cancel(issuer->fetch);
    ev_timer_stop(remora_loop(), &issuer->timer);
    json_decref(issuer->keys);
    free(issuer->keys_url);
    free(issuer->name);
    free(issuer);
}

const json_t *
issuer_keys(const struct issuer *issuer)
{
    return issuer->keys;
}

bool
issuer_refresh(struct issuer *issuer)
{
    if (issuer->fetch != NULL)
        return true;
    if (ev_now(remora_loop()) - issuer->tried_at < REFRESH_LEAST_S)
        return false;
    fetch_next(issuer);
    return true;
}
