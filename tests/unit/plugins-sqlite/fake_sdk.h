/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for the plugin SDK: calls are made by the test, replies are copied where it can look at
 * them, and posted functions run when the test waits. Text helpers come from the real SDK.
 */
#ifndef SQLITE_FAKE_SDK_H
#define SQLITE_FAKE_SDK_H

#include <ev.h>
#include <pthread.h>
#include "remora_plugin.h"
#include <time.h>

#include "test.h"

enum { REPLY_WAIT_MS = 20000, CALL_MEMORIES_MAX = 8 };

struct reply_item {
    bool found, failed;
    enum remora_code code;
    char key[64], etag[64], message[400];
    char *value;
    size_t value_len;
};

struct remora_call {
    unsigned replies; /* must become 1 */
    enum remora_code code;
    enum remora_effect effect;
    char reason[40], message[200], token[64];
    void *self;
    uint32_t capabilities;
    struct reply_item *items;
    size_t count;
    void (*on_cancel)(remora_call *call, void *arg);
    void *on_cancel_arg;
    void *memory[CALL_MEMORIES_MAX];
    size_t memory_count;
};

struct posted {
    struct posted *next;
    void (*fn)(void *arg);
    void *arg;
};

static pthread_mutex_t posted_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t posted_wake = PTHREAD_COND_INITIALIZER;
static struct posted *posted_first, **posted_last = &posted_first;
static unsigned log_lines;

void
remora_post(void (*fn)(void *arg), void *arg)
{
    struct posted *posted = malloc(sizeof(*posted));
    *posted = (struct posted){ .fn = fn, .arg = arg };
    pthread_mutex_lock(&posted_lock);
    *posted_last = posted;
    posted_last = &posted->next;
    pthread_cond_signal(&posted_wake);
    pthread_mutex_unlock(&posted_lock);
}

struct ev_loop *
remora_loop(void)
{
    return ev_default_loop(0);
}

/* Runs what was posted; waits for it up to `wait_ms`. */
static inline void
pump(int wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += wait_ms % 1000 * 1000000L;
    until.tv_sec += wait_ms / 1000 + until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&posted_lock);
    while (posted_first == NULL && wait_ms > 0 &&
           pthread_cond_timedwait(&posted_wake, &posted_lock, &until) == 0)
        continue;
    struct posted *all = posted_first;
    posted_first = NULL;
    posted_last = &posted_first;
    pthread_mutex_unlock(&posted_lock);
    for (struct posted *posted = all, *next; posted != NULL; posted = next) {
        next = posted->next;
        posted->fn(posted->arg);
        free(posted);
    }
    ev_run(remora_loop(), EVRUN_NOWAIT);
}

static inline void
wait_reply(remora_call *call)
{
    for (int waited = 0; call->replies == 0 && waited < REPLY_WAIT_MS; waited += 100)
        pump(100);
    CHECK_EQ_INT(call->replies, 1);
}

static inline void
call_reset(remora_call *call)
{
    for (size_t i = 0; i < call->count; i++)
        free(call->items[i].value);
    free(call->items);
    *call = (remora_call){ .replies = 0 };
}

void *
remora_call_alloc(remora_call *call, size_t bytes)
{
    REQUIRE(call->memory_count < CALL_MEMORIES_MAX);
    void *memory = malloc(bytes + 1);
    memset(memory, 0xa5, bytes + 1);
    call->memory[call->memory_count++] = memory;
    return memory;
}

void
remora_call_on_cancel(remora_call *call, void (*fn)(remora_call *call, void *arg), void *arg)
{
    CHECK_EQ_INT(call->replies, 0);
    call->on_cancel = fn;
    call->on_cancel_arg = arg;
}

/* As in the SDK, what was allocated for the call ends with its reply. */
static inline void
replied(remora_call *call)
{
    call->replies++;
    for (size_t i = 0; i < call->memory_count; i++)
        free(call->memory[i]);
    call->memory_count = 0;
}

static inline void
fill_failure(remora_call *call, const struct remora_failure *failure)
{
    call->code = failure->code;
    call->effect = failure->effect;
    snprintf(call->reason, sizeof(call->reason), "%s", failure->reason ? failure->reason : "");
    snprintf(call->message, sizeof(call->message), "%s", failure->message);
}

void
remora_reply_ok(remora_call *call)
{
    replied(call);
}

void
remora_reply_init(remora_call *call, void *self, uint32_t capabilities,
                  uint32_t transaction_operations_max)
{
    (void)transaction_operations_max;
    call->self = self;
    call->capabilities = capabilities;
    replied(call);
}

void
remora_reply_error(remora_call *call, enum remora_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->message, sizeof(call->message), format, arguments);
    va_end(arguments);
    call->code = code;
    replied(call);
}

void
remora_reply_failure(remora_call *call, const struct remora_failure *failure)
{
    fill_failure(call, failure);
    replied(call);
}

static inline void
fill_items(remora_call *call, const struct remora_state_value *values, size_t count)
{
    call->items = calloc(count + 1, sizeof(*call->items));
    call->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct remora_state_value *value = &values[i];
        struct reply_item *item = &call->items[i];
        item->found = value->found;
        item->failed = value->failure != NULL;
        if (item->failed) {
            item->code = value->failure->code;
            snprintf(item->message, sizeof(item->message), "%s", value->failure->message);
        }
        snprintf(item->key, sizeof(item->key), "%.*s", (int)value->key.len, value->key.data);
        snprintf(item->etag, sizeof(item->etag), "%.*s", (int)value->etag.len, value->etag.data);
        item->value = malloc(value->value.len + 1);
        item->value_len = value->value.len;
        if (value->value.len > 0)
            memcpy(item->value, value->value.data, value->value.len);
        item->value[item->value_len] = '\0';
    }
    /* Lent bytes may be gone before a reply function returns. */
    for (size_t i = 0; i < count; i++)
        if (values[i].value.release != NULL)
            values[i].value.release(values[i].value.arg);
    replied(call);
}

void
remora_state_reply_value(remora_call *call, const struct remora_state_value *value)
{
    fill_items(call, value, 1);
}

void
remora_state_reply_values(remora_call *call, const struct remora_state_value *values, size_t count)
{
    fill_items(call, values, count);
}

void
remora_state_reply_query(remora_call *call, const struct remora_state_value *values, size_t count,
                         struct remora_slice token)
{
    snprintf(call->token, sizeof(call->token), "%.*s", (int)token.len, token.len ? token.data : "");
    fill_items(call, values, count);
}

void
remora_state_reply_keys(remora_call *call, const struct remora_slice *keys, size_t count,
                        struct remora_slice token)
{
    snprintf(call->token, sizeof(call->token), "%.*s", (int)token.len, token.len ? token.data : "");
    call->items = calloc(count + 1, sizeof(*call->items));
    call->count = count;
    for (size_t i = 0; i < count; i++)
        snprintf(call->items[i].key, sizeof(call->items[i].key), "%.*s", (int)keys[i].len,
                 keys[i].data);
    replied(call);
}

void
remora_state_reply_failures(remora_call *call, const struct remora_failure *const *failures,
                            size_t count)
{
    call->items = calloc(count + 1, sizeof(*call->items));
    call->count = count;
    for (size_t i = 0; i < count; i++) {
        call->items[i].failed = failures[i] != NULL;
        if (failures[i] != NULL) {
            call->items[i].code = failures[i]->code;
            snprintf(call->items[i].message, sizeof(call->items[i].message), "%s",
                     failures[i]->message);
        }
    }
    replied(call);
}

void
remora_name_reply(remora_call *call, const struct remora_slice *addresses, size_t count,
                  uint64_t ttl_ms)
{
    REQUIRE(count > 0 && count <= REMORA_NAME_ADDRESSES_MAX && ttl_ms > 0);
    remora_state_reply_keys(call, addresses, count, (struct remora_slice){ NULL, 0 });
}

void
remora_log(enum remora_level level, const char *format, ...)
{
    char line[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    fprintf(stderr, "  log %d: %s\n", (int)level, line);
    log_lines++;
}

#endif
