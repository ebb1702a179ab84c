/* SPDX-License-Identifier: Apache-2.0 */
/* The binding of a queue; see sqs.h. */
#include "sqs.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "receiver.h"

enum {
    READ_WAIT_S = 20,
    MESSAGE_BYTES_MAX = 1024 * 1024, /* the service's limit */
};

struct sqs {
    struct queue queue;
    uint64_t reading; /* 0: nobody reads */
    uint32_t window;
    uint32_t open; /* messages handed over and not settled: their deletion belongs to it */
    struct receiver receiver;
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

static void
message_over(struct message *message)
{
    struct sqs *sqs = message->sqs;
    free(message->receipt);
    free(message);
    sqs->open--;
    if (!settle(sqs))
        receiver_ask(&sqs->receiver);
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
    queue_delete(&message->sqs->queue, message->receipt, on_deleted, message);
}

static void
hand_over(const cJSON *in, void *arg)
{
    struct sqs *sqs = arg;
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

static uint32_t
room(void *arg)
{
    const struct sqs *sqs = arg;
    return sqs->open < sqs->window ? sqs->window - sqs->open : 0;
}

/* What is on its way to us is given again when its time is over. */
static void
stop_reading(struct sqs *sqs)
{
    sqs->reading = 0;
    receiver_close(&sqs->receiver);
}

static void
read_events(remora_call *call, void *self, uint64_t reading, uint32_t window)
{
    struct sqs *sqs = self;
    stop_reading(sqs);
    sqs->reading = reading;
    sqs->window = window;
    receiver_open(&sqs->receiver);
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
    sqs->receiver = (struct receiver){ .queue = &sqs->queue,
                                       .name = "sqs",
                                       .wait_s = READ_WAIT_S,
                                       .room = room,
                                       .take = hand_over,
                                       .arg = sqs };
    receiver_init(&sqs->receiver);
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
