/* SPDX-License-Identifier: Apache-2.0 */
/* Questions for secrets; see cluster_ask.h. */
#include "cluster_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_answer.h"

enum { TIMEOUT_MS = 30 * 1000 };

static void
on_cancelled(remora_call *call, void *arg)
{
    struct cluster_ask *ask = arg;
    fetch_cancel(ask->fetch);
    remora_reply_error(call, REMORA_CANCELLED, "the caller gave up");
}

static long
time_left_ms(const remora_call *call)
{
    uint64_t left = remora_call_time_left_ms(call);
    return left > TIMEOUT_MS ? (long)TIMEOUT_MS : left == 0 ? 1 : (long)left;
}

/* "Authorization: Bearer …", malloc'ed, or "" without a token. NULL: it cannot be read. */
static char *
authorization(const struct cluster *cluster)
{
    char *read = cluster->token_file != NULL ? fetch_read_token(cluster->token_file) : NULL;
    const char *token = cluster->token_file != NULL ? read : cluster->token;
    char *line = NULL;
    if (cluster->token_file != NULL && read == NULL)
        return NULL;
    if (asprintf(&line, "%s%s", token != NULL ? "Authorization: Bearer " : "",
                 token != NULL ? token : "") < 0)
        abort();
    fetch_wipe(read);
    return line;
}

bool
cluster_ask(struct cluster_ask *ask, const char *rest, fetch_done *done, void *arg)
{
    const struct cluster *cluster = ask->cluster;
    char *line = authorization(cluster), *url = NULL;
    if (line == NULL) {
        remora_reply_error(ask->call, REMORA_FAILED_PRECONDITION,
                           "the token of the service account cannot be read");
        return false;
    }
    if (asprintf(&url, "%s/api/v1/namespaces/%.*s/secrets%s", cluster->server,
                 (int)ask->namespace_.len, ask->namespace_.data, rest) < 0)
        abort();
    const char *const headers[] = { "Accept: application/json", *line != '\0' ? line : NULL, NULL };
    ask->fetch = fetch_start(&(struct fetch_question){ .method = "GET",
                                                       .url = url,
                                                       .headers = headers,
                                                       .identity = &cluster->identity,
                                                       .answer_bytes_max = CLUSTER_ANSWER_BYTES_MAX,
                                                       .timeout_ms = time_left_ms(ask->call) },
                             done, arg);
    free(url);
    fetch_wipe(line);
    return true;
}

void
cluster_ask_until_cancelled(struct cluster_ask *ask)
{
    remora_call_on_cancel(ask->call, on_cancelled, ask);
}

void
cluster_refuse(const struct cluster_ask *ask, const struct fetch_answer *answer)
{
    if (answer->status == 0) {
        remora_reply_error(ask->call, REMORA_UNAVAILABLE, "%s", answer->error);
        return;
    }
    struct remora_slice words = cluster_answer_message(ask->call, answer->body, answer->len);
    remora_reply_error(ask->call,
                       answer->status == 401                            ? REMORA_UNAUTHENTICATED
                       : answer->status == 403                          ? REMORA_PERMISSION_DENIED
                       : answer->status == 429 || answer->status >= 500 ? REMORA_UNAVAILABLE
                                                                        : REMORA_INTERNAL,
                       "%.*s (status %ld)", words.len > 512 ? 512 : (int)words.len, words.data,
                       answer->status);
}

void
cluster_refuse_malformed(const struct cluster_ask *ask)
{
    remora_reply_error(ask->call, REMORA_INTERNAL, "the API server's answer is malformed");
}

bool
cluster_is_name(struct remora_slice text)
{
    if (text.len == 0 || text.len > CLUSTER_NAME_BYTES_MAX || text.data[0] == '.' ||
        text.data[0] == '-')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
            return false;
    }
    return true;
}
