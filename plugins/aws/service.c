/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON protocol; see service.h. */
#include "service.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/json_secret.h"
#include "../shared/memory.h"
#include "words.h"

enum { WORDS_BYTES = 640, MESSAGE_BYTES_MAX = 400 };

struct service_ask {
    struct request *request;
    const struct service *service;
    const char *operation;
    struct text body;
    service_done *done;
    void *arg;
};

/* --- what came of it ---------------------------------------------------------------------------*/

void
service_ask_end(struct service_ask *ask)
{
    if (ask == NULL)
        return;
    request_end(ask->request);
    free(ask->body.bytes);
    free(ask);
}

bool
service_ask_was_sent(const struct service_ask *ask)
{
    return request_was_sent(ask->request);
}

/* "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException" */
static const char *
code_of(const cJSON *tree)
{
    const char *type = json_text(tree, "__type");
    const char *hash = type == NULL ? NULL : strrchr(type, '#');
    return type == NULL ? "" : hash == NULL ? type : hash + 1;
}

static const char *
message_of(const cJSON *tree)
{
    const char *message = json_text(tree, "message");
    if (message == NULL)
        message = json_text(tree, "Message");
    return message == NULL ? "" : message;
}

/* The first line of it: of a signature that is refused the rest is the request, with its token. */
static void
say(char *words, const struct service_ask *ask, const struct answer *answer, const cJSON *tree)
{
    const char *code = code_of(tree), *message = message_of(tree);
    size_t len = strcspn(message, "\r\n");
    if (len > MESSAGE_BYTES_MAX)
        len = MESSAGE_BYTES_MAX;
    if (answer->error != NULL)
        (void)snprintf(words, WORDS_BYTES, "operation error %s: %s, %s", ask->service->title,
                       ask->operation, answer->error);
    else if (*code == '\0')
        (void)snprintf(words, WORDS_BYTES, "operation error %s: %s, StatusCode: %ld",
                       ask->service->title, ask->operation, answer->status);
    else
        (void)snprintf(words, WORDS_BYTES, "operation error %s: %s, %.100s: %.*s, StatusCode: %ld",
                       ask->service->title, ask->operation, code, (int)len, message,
                       answer->status);
    words_clean(words);
}

static void
on_answer(struct answer *answer, void *arg)
{
    struct service_ask *ask = arg;
    char words[WORDS_BYTES];
    const bool has_body = answer->error == NULL && answer->body != NULL;
    const bool has_nul = has_body && json_has_nul(answer->body, answer->len);
    cJSON *tree = has_body && !has_nul ? cJSON_ParseWithLength(answer->body, answer->len) : NULL;
    struct service_reply reply = { .tree = tree,
                                   .code = "",
                                   .status = answer->status,
                                   .was_sent = answer->was_sent,
                                   .bytes = answer->len };
    ask->request = NULL; /* it goes by itself */
    if (answer->error != NULL || answer->status / 100 != 2) {
        say(words, ask, answer, tree);
        reply.words = words;
        reply.code = code_of(tree);
    } else if (!cJSON_IsObject(tree) && !(ask->service->may_be_empty && answer->len == 0)) {
        (void)snprintf(words, sizeof words, "operation error %s: %s, %s", ask->service->title,
                       ask->operation,
                       has_nul ? "a text has a NUL in it" : "the answer makes no sense");
        reply.words = words;
    }
    ask->done(&reply, ask->arg);
    json_secret_delete(tree);
    service_ask_end(ask);
}

/* --- asking ------------------------------------------------------------------------------------*/

struct service_ask *
service_ask(const struct service_question *question, service_done *done, void *arg)
{
    const struct service *service = question->service;
    const struct settings *settings = question->settings;
    struct service_ask *ask = memory_new(sizeof *ask);
    ask->service = service;
    ask->operation = question->operation;
    ask->body = question->body;
    ask->done = done;
    ask->arg = arg;
    char *target = memory_printf("%s.%s", service->target, question->operation);
    char *kind = memory_printf("application/x-amz-json-%s", service->version);
    char *path = memory_printf("%s/", settings->base);
    const struct request_spec spec = {
        .settings = settings,
        .service = service->name,
        .method = "POST",
        .host = settings->host,
        .path = path,
        .headers = { { "content-type", kind }, { "x-amz-target", target } },
        .header_count = 2,
        .body = { ask->body.bytes, ask->body.len },
        .answer_bytes_max = question->answer_bytes_max,
        .timeout_ms = question->timeout_ms,
        .is_secret = service->is_secret,
    };
    ask->request = request_start(&spec, on_answer, ask);
    if (ask->request == NULL)
        abort(); /* nothing of it is the user's */
    free(path);
    free(kind);
    free(target);
    return ask;
}
