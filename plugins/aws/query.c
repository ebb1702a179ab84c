/* SPDX-License-Identifier: Apache-2.0 */
/* Forms out, XML in; see query.h. */
#include "query.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/xml_reader.h"
#include "words.h"
#include "xml.h"

enum { ANSWER_BYTES_MAX = 1024 * 1024 };

const struct query_service query_sns = { "sns", "SNS", "2010-03-31" };
const struct query_service query_sts = { "sts", "STS", "2011-06-15" };

struct query_ask {
    const struct query_service *service;
    const char *action; /* a constant */
    struct request *request;
    struct text body;
    query_done *done;
    void *arg;
};

/* --- forms -------------------------------------------------------------------------------------*/

void
query_put(struct text *form, const char *name, struct remora_slice value)
{
    char *encoded = sigv4_encode(value.len == 0 ? "" : value.data, value.len, false);
    text_put(form, "&", 1);
    text_put(form, name, strlen(name));
    text_put(form, "=", 1);
    text_put(form, encoded, strlen(encoded));
    free(encoded);
}

void
query_put_text(struct text *form, const char *name, const char *value)
{
    query_put(form, name, (struct remora_slice){ value, strlen(value) });
}

/* --- answers -----------------------------------------------------------------------------------*/

struct finding {
    const char *path;
    char *found;
};

static void
on_end(struct xml_reading *r, const char *value)
{
    struct finding *finding = r->arg;
    if (finding->found == NULL && *value != '\0' && xml_is_at(r, finding->path))
        finding->found = memory_text(value);
}

char *
query_find(const struct query_result *result, const char *path)
{
    struct finding finding = { .path = path };
    struct xml_reading r = { .on_end = on_end, .arg = &finding };
    if (xml_read(&r, result->body, result->len))
        return finding.found;
    free(finding.found);
    return NULL;
}

static void
on_error_end(struct xml_reading *r, const char *value)
{
    struct xml_error *error = r->arg;
    if (xml_is_at(r, "ErrorResponse/Error/Code"))
        (void)snprintf(error->code, sizeof error->code, "%s", value);
    else if (xml_is_at(r, "ErrorResponse/Error/Message"))
        (void)snprintf(error->message, sizeof error->message, "%s", value);
}

static void
fail(struct query_ask *ask, const struct answer *answer)
{
    struct xml_error error = { .code = "" };
    struct xml_reading r = { .on_end = on_error_end, .arg = &error };
    char words[QUERY_WORDS_BYTES + XML_MESSAGE_BYTES];
    const char *label = ask->service->label;
    if (answer->error == NULL &&
        !xml_read(&r, answer->body == NULL ? "" : answer->body, answer->len))
        error = (struct xml_error){ .code = "" };
    if (answer->error != NULL)
        (void)snprintf(words, sizeof words, "operation error %s: %s, %s", label, ask->action,
                       answer->error);
    else if (error.code[0] == '\0')
        (void)snprintf(words, sizeof words, "operation error %s: %s, StatusCode: %ld", label,
                       ask->action, answer->status);
    else
        (void)snprintf(words, sizeof words, "operation error %s: %s, %s: %s, StatusCode: %ld",
                       label, ask->action, error.code, error.message, answer->status);
    words_clean(words);
    const struct query_result result = {
        .words = words,
        .code = error.code,
        .is_sent = answer->error != NULL || answer->status / 100 == 5,
    };
    ask->done(&result, ask->arg);
}

static void
on_answer(struct answer *answer, void *arg)
{
    struct query_ask *ask = arg;
    ask->request = NULL; /* it goes by itself */
    if (answer->error != NULL || answer->status / 100 != 2) {
        fail(ask, answer);
    } else {
        const struct query_result result = { .code = "",
                                             .is_sent = true,
                                             .body = answer->body == NULL ? "" : answer->body,
                                             .len = answer->len };
        ask->done(&result, ask->arg);
    }
    query_ask_end(ask);
}

/* --- asking ------------------------------------------------------------------------------------*/

void
query_ask_end(struct query_ask *ask)
{
    if (ask == NULL)
        return;
    request_end(ask->request);
    free(ask->body.bytes);
    free(ask);
}

struct query_ask *
query_ask(const struct settings *settings, const struct query_service *service, const char *action,
          struct text *form, uint64_t timeout_ms, query_done *done, void *arg)
{
    struct query_ask *ask = memory_new(sizeof *ask);
    char *path = memory_printf("%s/", settings->base);
    *ask = (struct query_ask){
        .service = service, .action = action, .body = *form, .done = done, .arg = arg
    };
    *form = (struct text){ .bytes = NULL };
    text_put(&ask->body, "&Action=", 8);
    text_put(&ask->body, action, strlen(action));
    text_put(&ask->body, "&Version=", 9);
    text_put(&ask->body, service->version, strlen(service->version));
    const struct request_spec spec = {
        .settings = settings,
        .service = service->name,
        .method = "POST",
        .host = settings->host,
        .path = path,
        .headers = { { "content-type", "application/x-www-form-urlencoded; charset=utf-8" } },
        .header_count = 1,
        .body = { ask->body.bytes + 1, ask->body.len - 1 }, /* without the first "&" */
        .answer_bytes_max = ANSWER_BYTES_MAX,
        .timeout_ms = timeout_ms,
    };
    ask->request = request_start(&spec, on_answer, ask);
    if (ask->request == NULL)
        abort(); /* nothing of it is the user's */
    free(path);
    return ask;
}
