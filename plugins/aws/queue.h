/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of SQS and what can be asked of it, in its JSON protocol. Plugin thread only. */
#ifndef AWS_PLUGIN_QUEUE_H
#define AWS_PLUGIN_QUEUE_H

#include <cjson/cJSON.h>

#include "request.h"

struct queue {
    struct settings settings;
    char *name;
    char *owner; /* the account that has it; NULL: ours */
    char *url;   /* as the service names it; NULL: it has not been asked */
};

/* What came of it: `reply` (borrowed) or words. */
struct queue_result {
    const cJSON *reply;
    const char *words; /* NULL: it went well */
    bool is_unknown;   /* there is no such queue (any more) */
};

struct queue_ask;

typedef void queue_done(const struct queue_result *result, void *arg);

/* False with words; queue_fini() in any case. */
bool queue_read(const struct remora_config *config, struct queue *ret_queue,
                char ret_error[SETTINGS_ERROR_BYTES]);
void queue_fini(struct queue *queue);

/*
 * `action` is "SendMessage"; `fields` are the rest of the question, without the queue's URL, which
 * is asked for before if it is not known; moved. `done` is called once, later, unless it is ended
 * before.
 */
struct queue_ask *queue_ask(struct queue *queue, const char *action, cJSON *fields,
                            uint64_t timeout_ms, queue_done *done, void *arg);
/* The same, with `fields` as they are: it is not about this queue, or not about it alone. */
struct queue_ask *queue_ask_any(struct queue *queue, const char *action, cJSON *fields,
                                uint64_t timeout_ms, queue_done *done, void *arg);

/* A message that has been received goes for good, or is there again at once. Ends by itself. */
void queue_delete(struct queue *queue, const char *receipt, queue_done *done, void *arg);
void queue_give_back(struct queue *queue, const char *receipt, queue_done *done, void *arg);

/* The string at the name, "" if there is none; borrowed. */
const char *queue_text(const cJSON *object, const char *name);
/* cJSON's, which aborts when memory is out; `value` is moved. */
void queue_put(cJSON *fields, const char *name, cJSON *value);

/* Nothing is told then. NULL is nothing. */
void queue_ask_end(struct queue_ask *ask);

#endif
