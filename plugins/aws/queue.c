/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to SQS; see queue.h. */
#include "queue.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "service.h"

enum {
    ANSWER_BYTES_MAX = 8 * 1024 * 1024, /* ten messages of 256 KiB, escaped */
    SETTLE_TIMEOUT_MS = 30 * 1000,
};

static const struct service service = {
    .name = "sqs",
    .title = "SQS",
    .target = "AmazonSQS",
    .version = "1.0",
    .may_be_empty = true,
};

struct queue_ask {
    struct queue *queue;
    struct service_ask *asked;
    const char *action; /* a constant */
    cJSON *fields;
    uint64_t timeout_ms;
    bool is_complete; /* it has all its fields */
    bool is_for_url;  /* what is on its way */
    queue_done *done;
    void *arg;
};

/* --- the queue ---------------------------------------------------------------------------------*/

bool
queue_read(const struct remora_config *config, struct queue *ret_queue,
           char ret_error[SETTINGS_ERROR_BYTES])
{
    struct reader reader = { .config = config,
                             .why = ret_error,
                             .why_bytes = SETTINGS_ERROR_BYTES };
    struct queue q = { .name = settings_text(&reader, "queueName") };
    settings_read(&reader, "sqs", &q.settings);
    if (q.name == NULL)
        reader_complain(&reader, "queueName is missing");
    *ret_queue = q;
    return !reader.failed;
}

void
queue_fini(struct queue *queue)
{
    settings_fini(&queue->settings);
    free(queue->name);
    free(queue->owner);
    free(queue->url);
    *queue = (struct queue){ .name = NULL };
}

/* --- asking ------------------------------------------------------------------------------------*/

void
queue_ask_end(struct queue_ask *ask)
{
    if (ask == NULL)
        return;
    service_ask_end(ask->asked);
    cJSON_Delete(ask->fields);
    free(ask);
}

static void
finish(struct queue_ask *ask, const struct queue_result *result)
{
    ask->done(result, ask->arg);
    queue_ask_end(ask);
}

const char *
queue_text(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, name));
    return text == NULL ? "" : text;
}

void
queue_put(cJSON *fields, const char *name, cJSON *value)
{
    if (value == NULL || !cJSON_AddItemToObject(fields, name, value))
        abort();
}

static void
fail(struct queue_ask *ask, const struct service_reply *reply)
{
    const struct queue_result result = {
        .words = reply->words,
        .is_unknown = strstr(reply->code, "NonExistentQueue") != NULL ||
                      strcmp(reply->code, "QueueDoesNotExist") == 0,
    };
    if (result.is_unknown && !ask->is_complete) { /* perhaps there is one again, elsewhere */
        free(ask->queue->url);
        ask->queue->url = NULL;
    }
    finish(ask, &result);
}

static void send_next(struct queue_ask *ask);

static void
take_url(struct queue_ask *ask, const cJSON *reply)
{
    const char *url = queue_text(reply, "QueueUrl");
    const struct queue_result result = { .words = "operation error SQS: GetQueueUrl, no URL" };
    if (*url == '\0') {
        finish(ask, &result);
        return;
    }
    free(ask->queue->url);
    ask->queue->url = memory_text(url);
    send_next(ask);
}

static void
on_answer(const struct service_reply *reply, void *arg)
{
    struct queue_ask *ask = arg;
    const struct queue_result result = { .reply = reply->tree };
    ask->asked = NULL; /* it goes by itself */
    if (reply->words != NULL)
        fail(ask, reply);
    else if (ask->is_for_url)
        take_url(ask, reply->tree);
    else
        finish(ask, &result);
}

static struct text
printed(const cJSON *fields)
{
    char *body = cJSON_PrintUnformatted(fields);
    if (body == NULL)
        abort();
    return (struct text){ .bytes = body, .len = strlen(body) };
}

static struct text
question_for_url(const struct queue *queue)
{
    cJSON *fields = cJSON_CreateObject();
    queue_put(fields, "QueueName", cJSON_CreateString(queue->name));
    if (queue->owner != NULL)
        queue_put(fields, "QueueOwnerAWSAccountId", cJSON_CreateString(queue->owner));
    const struct text body = printed(fields);
    cJSON_Delete(fields);
    return body;
}

/* The queue's URL first, if it is not known. */
static void
send_next(struct queue_ask *ask)
{
    struct queue *queue = ask->queue;
    ask->is_for_url = !ask->is_complete && queue->url == NULL;
    if (!ask->is_complete && !ask->is_for_url)
        queue_put(ask->fields, "QueueUrl", cJSON_CreateString(queue->url));
    const struct service_question question = {
        .service = &service,
        .settings = &queue->settings,
        .operation = ask->is_for_url ? "GetQueueUrl" : ask->action,
        .body = ask->is_for_url ? question_for_url(queue) : printed(ask->fields),
        .answer_bytes_max = ANSWER_BYTES_MAX,
        .timeout_ms = ask->timeout_ms,
    };
    ask->asked = service_ask(&question, on_answer, ask);
}

static struct queue_ask *
start(struct queue *queue, const struct queue_ask *from)
{
    struct queue_ask *ask = memory_new(sizeof *ask);
    *ask = *from;
    ask->queue = queue;
    send_next(ask);
    return ask;
}

struct queue_ask *
queue_ask(struct queue *queue, const char *action, cJSON *fields, uint64_t timeout_ms,
          queue_done *done, void *arg)
{
    return start(queue, &(struct queue_ask){ .action = action,
                                             .fields = fields,
                                             .timeout_ms = timeout_ms,
                                             .done = done,
                                             .arg = arg });
}

struct queue_ask *
queue_ask_any(struct queue *queue, const char *action, cJSON *fields, uint64_t timeout_ms,
              queue_done *done, void *arg)
{
    return start(queue, &(struct queue_ask){ .action = action,
                                             .fields = fields,
                                             .timeout_ms = timeout_ms,
                                             .is_complete = true,
                                             .done = done,
                                             .arg = arg });
}

/* --- messages ----------------------------------------------------------------------------------*/

void
queue_delete(struct queue *queue, const char *receipt, queue_done *done, void *arg)
{
    cJSON *fields = cJSON_CreateObject();
    queue_put(fields, "ReceiptHandle", cJSON_CreateString(receipt));
    (void)queue_ask(queue, "DeleteMessage", fields, SETTLE_TIMEOUT_MS, done, arg);
}

void
queue_give_back(struct queue *queue, const char *receipt, queue_done *done, void *arg)
{
    cJSON *fields = cJSON_CreateObject();
    queue_put(fields, "ReceiptHandle", cJSON_CreateString(receipt));
    queue_put(fields, "VisibilityTimeout", cJSON_CreateNumber(0));
    (void)queue_ask(queue, "ChangeMessageVisibility", fields, SETTLE_TIMEOUT_MS, done, arg);
}
