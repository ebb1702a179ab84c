/* SPDX-License-Identifier: Apache-2.0 */
/* The binding of a queue; see sqs.h. */
#include "sqs.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "queue.h"

enum {
    RECEIVE_MAX = 10, /* messages of one answer: the service's limit */
    RECEIVE_TIMEOUT_MS = (QUEUE_WAIT_S + 20) * 1000,
    DELETE_TIMEOUT_MS = 30 * 1000,
    PAUSE_MIN_MS = 500,
    PAUSE_MAX_MS = 30 * 1000,
    MESSAGE_BYTES_MAX = 1024 * 1024, /* the service's limit */
};

struct sqs {
    struct queue queue;
    uint64_t reading; /* 0: nobody reads */
    uint32_t window;
    uint32_t open; /* messages handed over and not settled: their deletion belongs to it */
    struct queue_ask *receiving; /* NULL: nobody asks */
    ev_timer pause;              /* before the next time, after a failure */
    uint64_t pause_ms;
    bool is_closed; /* the last one that is open frees it */
    remora_call *stopping, *quiescing;
};

/* A message handed over. */
struct message {
    struct sqs *sqs;
    char *receipt;
};

/* --- output ------------------------------------------------------------------------------------*/

struct sending {
    remora_call *call;
    struct queue_ask *ask;
};

static void
on_sent(const struct queue_result *result, void *arg)
{
    struct sending *sending = arg;
    if (result->words == NULL)
        remora_reply_ok(sending->call);
    else
        remora_reply_error(sending->call, REMORA_UNKNOWN, "%s", result->words);
    free(sending);
}

static void
on_cancel(remora_call *call, void *arg)
{
    struct sending *sending = arg;
    const bool is_late = remora_call_time_left_ms(call) == 0;
    queue_ask_end(sending->ask);
    remora_reply_error(call, is_late ? REMORA_DEADLINE_EXCEEDED : REMORA_CANCELLED,
                       "operation error SQS: SendMessage, %s",
                       is_late ? "context deadline exceeded" : "context canceled");
    free(sending);
}

static void
invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    struct sqs *sqs = self;
    const struct remora_slice data = request->data;
    if (!remora_slice_eq(request->operation, "create")) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "unsupported operation");
        return;
    }
    if (data.len > MESSAGE_BYTES_MAX || (data.len > 0 && memchr(data.data, '\0', data.len))) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "operation error SQS: SendMessage, InvalidMessageContents: a message is "
                           "a text of at most 1 MiB without a NUL");
        return;
    }
    char *text = memory_slice(data);
    cJSON *fields = cJSON_CreateObject();
    if (cJSON_AddStringToObject(fields, "MessageBody", text) == NULL)
        abort();
    free(text);
    struct sending *sending = memory_new(sizeof *sending);
    sending->call = call;
    sending->ask = queue_ask(&sqs->queue, "SendMessage", fields, remora_call_time_left_ms(call),
                             on_sent, sending);
    remora_call_on_cancel(call, on_cancel, sending);
}

/* --- input -------------------------------------------------------------------------------------*/

static void
free_sqs(struct sqs *sqs)
{
    queue_fini(&sqs->queue);
    free(sqs);
}

/* True: it is gone. */
static bool
settle(struct sqs *sqs)
{
    remora_call *stopping = sqs->stopping, *quiescing = sqs->quiescing;
    if (sqs->open > 0)
        return false;
    sqs->stopping = sqs->quiescing = NULL;
    if (stopping != NULL)
        remora_reply_ok(stopping);
    if (quiescing != NULL)
        remora_reply_ok(quiescing);
    if (!sqs->is_closed)
        return false;
    free_sqs(sqs);
    return true;
}

static void receive(struct sqs *sqs);

static void
message_over(struct message *message)
{
    struct sqs *sqs = message->sqs;
    free(message->receipt);
    free(message);
    sqs->open--;
    if (!settle(sqs) && sqs->reading != 0)
        receive(sqs);
}

static void
on_deleted(const struct queue_result *result, void *arg)
{
    struct message *message = arg;
    if (result->words != NULL)
        remora_log(REMORA_WARN,
                   "sqs: a message has been handled and is not deleted, it will come again: %s",
                   result->words);
    message_over(message);
}

static void
on_handled(bool is_handled, struct remora_slice data, const struct remora_pair *metadata,
           size_t metadata_count, void *arg)
{
    struct message *message = arg;
    (void)data;
    (void)metadata;
    (void)metadata_count;
    if (!is_handled || message->receipt == NULL) {
        message_over(message);
        return;
    }
    cJSON *fields = cJSON_CreateObject();
    if (cJSON_AddStringToObject(fields, "ReceiptHandle", message->receipt) == NULL)
        abort();
    (void)queue_ask(&message->sqs->queue, "DeleteMessage", fields, DELETE_TIMEOUT_MS, on_deleted,
                    message); /* it ends by itself, and nobody else ends it */
}

static void
hand_over(struct sqs *sqs, const cJSON *in)
{
    const char *body = cJSON_GetStringValue(cJSON_GetObjectItem(in, "Body"));
    const char *receipt = cJSON_GetStringValue(cJSON_GetObjectItem(in, "ReceiptHandle"));
    struct message *message = memory_new(sizeof *message);
    const struct remora_event event = {
        .data = { body == NULL ? "" : body, body == NULL ? 0 : strlen(body) },
    };
    message->sqs = sqs;
    message->receipt = receipt == NULL ? NULL : memory_text(receipt);
    sqs->open++;
    remora_binding_event(sqs->reading, &event, on_handled, message);
}

/* After a failure the next try comes later each time. */
static void
pause_reading(struct sqs *sqs, const char *words)
{
    if (sqs->pause_ms == 0)
        remora_log(REMORA_WARN, "sqs: unable to receive from queue %s, it is tried again: %s",
                   sqs->queue.name, words);
    sqs->pause_ms = sqs->pause_ms == 0 ? PAUSE_MIN_MS : 2 * sqs->pause_ms;
    if (sqs->pause_ms > PAUSE_MAX_MS)
        sqs->pause_ms = PAUSE_MAX_MS;
    ev_now_update(remora_loop());
    ev_timer_set(&sqs->pause, (double)sqs->pause_ms / 1e3, 0.);
    ev_timer_start(remora_loop(), &sqs->pause);
}

static void
on_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    receive(timer->data);
}

static void
on_received(const struct queue_result *result, void *arg)
{
    struct sqs *sqs = arg;
    const cJSON *messages = cJSON_GetObjectItem(result->reply, "Messages"), *one;
    sqs->receiving = NULL;
    if (result->words != NULL) {
        pause_reading(sqs, result->words);
        return;
    }
    if (sqs->pause_ms > 0)
        remora_log(REMORA_INFO, "sqs: queue %s is read again", sqs->queue.name);
    sqs->pause_ms = 0;
    cJSON_ArrayForEach(one, messages) if (cJSON_IsObject(one)) hand_over(sqs, one);
    receive(sqs);
}

static void
put(cJSON *fields, const char *name, cJSON *value)
{
    if (value == NULL || !cJSON_AddItemToObject(fields, name, value))
        abort();
}

/* As many as there is room for, if nobody asks already. */
static void
receive(struct sqs *sqs)
{
    if (sqs->reading == 0 || sqs->receiving != NULL || sqs->open >= sqs->window ||
        ev_is_active(&sqs->pause))
        return;
    const uint32_t room = sqs->window - sqs->open;
    cJSON *fields = cJSON_CreateObject();
    const char *const all[] = { "All" };
    put(fields, "MaxNumberOfMessages", cJSON_CreateNumber(room < RECEIVE_MAX ? room : RECEIVE_MAX));
    put(fields, "WaitTimeSeconds", cJSON_CreateNumber(QUEUE_WAIT_S));
    put(fields, "MessageAttributeNames", cJSON_CreateStringArray(all, 1));
    sqs->receiving = queue_ask(&sqs->queue, "ReceiveMessage", fields, RECEIVE_TIMEOUT_MS,
                               on_received, sqs);
}

/* What is on its way to us is given again when its time is over. */
static void
stop_reading(struct sqs *sqs)
{
    sqs->reading = 0;
    ev_timer_stop(remora_loop(), &sqs->pause);
    queue_ask_end(sqs->receiving);
    sqs->receiving = NULL;
}

static void
read_events(remora_call *call, void *self, uint64_t reading, uint32_t window)
{
    struct sqs *sqs = self;
    stop_reading(sqs);
    sqs->reading = reading;
    sqs->window = window;
    sqs->pause_ms = 0;
    receive(sqs);
    remora_reply_ok(call);
}

static void
stop(remora_call *call, void *self, uint64_t reading)
{
    struct sqs *sqs = self;
    if (sqs->reading == reading)
        stop_reading(sqs);
    if (sqs->stopping != NULL) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "it is being stopped");
        return;
    }
    sqs->stopping = call;
    (void)settle(sqs); /* it is not closed */
}

/* --- the component -----------------------------------------------------------------------------*/

void
sqs_init(remora_call *call, const struct remora_config *config)
{
    char error[SETTINGS_ERROR_BYTES];
    struct sqs *sqs = memory_new(sizeof *sqs);
    ev_init(&sqs->pause, on_pause);
    sqs->pause.data = sqs;
    if (queue_read(config, &sqs->queue, error)) {
        remora_reply_init(call, sqs, REMORA_CAP_INPUT_BINDING | REMORA_CAP_OUTPUT_BINDING, 0);
        return;
    }
    remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
    free_sqs(sqs);
}

void
sqs_quiesce(remora_call *call, void *self)
{
    struct sqs *sqs = self;
    stop_reading(sqs);
    sqs->quiescing = call;
    (void)settle(sqs); /* it is not closed */
}

void
sqs_close(void *self)
{
    struct sqs *sqs = self;
    stop_reading(sqs);
    sqs->is_closed = true;
    (void)settle(sqs);
}

const struct remora_binding_ops sqs_ops = {
    .operations = "create",
    .invoke = invoke,
    .read = read_events,
    .stop = stop,
};
