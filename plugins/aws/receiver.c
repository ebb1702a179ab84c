/* SPDX-License-Identifier: Apache-2.0 */
/* Polls a queue; see receiver.h. */
#include "receiver.h"

#include <stdlib.h>

enum {
    MARGIN_S = 20, /* for the answer, when the poll is over */
    PAUSE_MIN_MS = 500,
    PAUSE_MAX_MS = 30 * 1000,
};

/* After a failure the next try comes later each time. */
static void
pause_reading(struct receiver *r, const char *words)
{
    if (r->pause_ms == 0)
        remora_log(REMORA_WARN, "%s: unable to receive from queue %s, it is tried again: %s",
                   r->name, r->queue->name, words);
    r->pause_ms = r->pause_ms == 0 ? PAUSE_MIN_MS : 2 * r->pause_ms;
    if (r->pause_ms > PAUSE_MAX_MS)
        r->pause_ms = PAUSE_MAX_MS;
    ev_now_update(remora_loop());
    ev_timer_set(&r->pause, (double)r->pause_ms / 1e3, 0.);
    ev_timer_start(remora_loop(), &r->pause);
}

static void
on_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    receiver_ask(timer->data);
}

static void
on_received(const struct queue_result *result, void *arg)
{
    struct receiver *r = arg;
    const cJSON *messages = cJSON_GetObjectItem(result->reply, "Messages"), *one;
    uint32_t left = r->asked;
    r->asking = NULL;
    if (result->words != NULL || !cJSON_IsObject(result->reply)) {
        pause_reading(r, result->words != NULL ? result->words : "the answer is no JSON object");
        return;
    }
    if (r->pause_ms > 0)
        remora_log(REMORA_INFO, "%s: queue %s is read again", r->name, r->queue->name);
    r->pause_ms = 0;
    cJSON_ArrayForEach(one, messages) if (cJSON_IsObject(one) && left > 0)
    {
        left--;
        r->take(one, r->arg);
    }
    receiver_ask(r);
}

void
receiver_ask(struct receiver *r)
{
    if (!r->is_open || r->asking != NULL || ev_is_active(&r->pause))
        return;
    const uint32_t room = r->room(r->arg);
    if (room == 0)
        return;
    const char *const attributes[] = { "ApproximateReceiveCount" };
    r->asked = room < RECEIVER_MESSAGES_MAX ? room : RECEIVER_MESSAGES_MAX;
    cJSON *fields = cJSON_CreateObject();
    queue_put(fields, "MaxNumberOfMessages", cJSON_CreateNumber(r->asked));
    queue_put(fields, "WaitTimeSeconds", cJSON_CreateNumber(r->wait_s));
    queue_put(fields, "AttributeNames", cJSON_CreateStringArray(attributes, 1));
    if (r->visibility_s > 0)
        queue_put(fields, "VisibilityTimeout", cJSON_CreateNumber(r->visibility_s));
    r->asking = queue_ask(r->queue, "ReceiveMessage", fields, (r->wait_s + MARGIN_S) * 1000,
                          on_received, r);
}

void
receiver_init(struct receiver *r)
{
    ev_init(&r->pause, on_pause);
    r->pause.data = r;
}

void
receiver_open(struct receiver *r)
{
    r->is_open = true;
    receiver_ask(r);
}

void
receiver_close(struct receiver *r)
{
    r->is_open = false;
    r->pause_ms = 0;
    ev_timer_stop(remora_loop(), &r->pause);
    queue_ask_end(r->asking);
    r->asking = NULL;
}
