/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for the plugin SDK: calls made by hand, replies kept for a look. The functions have
 * the SDK's names, so that the linker takes them instead of the library's. One test program, one
 * loop.
 */
#ifndef FAKE_SDK_H
#define FAKE_SDK_H

#include <ev.h>
#include <remora_plugin.h>
#include <stdarg.h>
#include <strings.h>

#include "test.h"

/* A test runs on the stack of the process, which has room. */
#pragma GCC diagnostic ignored "-Wframe-larger-than="

/* A kept value. */
struct kept {
    bool found, has_etag;
    char *etag, *value;
    size_t len;
    struct remora_failure failure; /* message NULL: none */
};

struct remora_call {
    unsigned replies;
    uint64_t time_left_ms;
    bool cancelled;
    void (*on_cancel)(remora_call *call, void *arg);
    void *on_cancel_arg;
    void **blocks;
    size_t block_count;
    /* the reply */
    bool ok;
    void *self;
    uint32_t capabilities;
    struct remora_failure failure; /* message NULL: none */
    struct kept *values;
    size_t count;
    struct remora_failure *failures;
    char **keys;
    char *token;
};

static char fake_log[65536];

struct ev_loop *
remora_loop(void)
{
    return ev_default_loop(0);
}

void
remora_log(enum remora_level level, const char *format, ...)
{
    size_t used = strlen(fake_log);
    va_list args;
    (void)level;
    va_start(args, format);
    vsnprintf(fake_log + used, sizeof fake_log - used, format, args);
    va_end(args);
}

static inline char *
fake_copy(const void *data, size_t len)
{
    char *copy = malloc(len + 1);
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

static inline remora_call *
fake_call(void)
{
    remora_call *call = calloc(1, sizeof *call);
    call->time_left_ms = 10000;
    return call;
}

static inline void
fake_failure_free(struct remora_failure *failure)
{
    free((void *)(uintptr_t)failure->message);
    free((void *)(uintptr_t)failure->reason);
}

static inline void
fake_call_memory_free(remora_call *call)
{
    for (size_t i = 0; i < call->block_count; i++)
        free(call->blocks[i]);
    free(call->blocks);
    call->blocks = NULL;
    call->block_count = 0;
}

static inline void
fake_free(remora_call *call)
{
    fake_call_memory_free(call);
    for (size_t i = 0; i < call->count; i++) {
        if (call->values != NULL) {
            free(call->values[i].etag);
            free(call->values[i].value);
            fake_failure_free(&call->values[i].failure);
        }
        if (call->failures != NULL)
            fake_failure_free(&call->failures[i]);
        if (call->keys != NULL)
            free(call->keys[i]);
    }
    free(call->values);
    free(call->failures);
    free(call->keys);
    free(call->token);
    fake_failure_free(&call->failure);
    free(call);
}

/* Every reply ends here: the call's memory is gone after it. */
static inline void
fake_replied(remora_call *call)
{
    CHECK_EQ_INT(++call->replies, 1);
    fake_call_memory_free(call);
}

static inline struct remora_failure
fake_keep_failure(const struct remora_failure *failure)
{
    struct remora_failure kept = *failure;
    CHECK(failure->message != NULL);
    kept.message = fake_copy(failure->message, strlen(failure->message));
    if (failure->reason != NULL)
        kept.reason = fake_copy(failure->reason, strlen(failure->reason));
    return kept;
}

uint64_t
remora_call_time_left_ms(const remora_call *call)
{
    return call->time_left_ms;
}

bool
remora_call_is_cancelled(const remora_call *call)
{
    return call->cancelled;
}

void
remora_call_on_cancel(remora_call *call, void (*fn)(remora_call *call, void *arg), void *arg)
{
    call->on_cancel = fn;
    call->on_cancel_arg = arg;
}

void *
remora_call_alloc(remora_call *call, size_t bytes)
{
    call->blocks = realloc(call->blocks, (call->block_count + 1) * sizeof *call->blocks);
    return call->blocks[call->block_count++] = malloc(bytes > 0 ? bytes : 1);
}

void
remora_reply_ok(remora_call *call)
{
    call->ok = true;
    fake_replied(call);
}

void
remora_reply_init(remora_call *call, void *self, uint32_t capabilities,
                  uint32_t transaction_operations_max)
{
    (void)transaction_operations_max;
    call->ok = true;
    call->self = self;
    call->capabilities = capabilities;
    fake_replied(call);
}

void
remora_reply_error(remora_call *call, enum remora_code code, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    call->failure = fake_keep_failure(&(struct remora_failure){ .code = code, .message = text });
    fake_replied(call);
}

void
remora_reply_failure(remora_call *call, const struct remora_failure *failure)
{
    call->failure = fake_keep_failure(failure);
    fake_replied(call);
}

static inline struct kept
fake_keep_value(const struct remora_state_value *value)
{
    struct kept kept = { .found = value->found, .has_etag = value->has_etag };
    if (value->failure != NULL)
        kept.failure = fake_keep_failure(value->failure);
    kept.etag = fake_copy(value->etag.data, value->etag.len);
    kept.value = fake_copy(value->value.data, value->value.len);
    kept.len = value->value.len;
    return kept;
}

void
remora_state_reply_values(remora_call *call, const struct remora_state_value *values, size_t count)
{
    call->ok = true;
    call->count = count;
    call->values = calloc(count + 1, sizeof *call->values);
    for (size_t i = 0; i < count; i++)
        call->values[i] = fake_keep_value(&values[i]);
    fake_replied(call);
}

void
remora_state_reply_value(remora_call *call, const struct remora_state_value *value)
{
    remora_state_reply_values(call, value, 1);
}

void
remora_state_reply_failures(remora_call *call, const struct remora_failure *const *failures,
                            size_t count)
{
    call->ok = true;
    call->count = count;
    call->failures = calloc(count + 1, sizeof *call->failures);
    for (size_t i = 0; i < count; i++)
        if (failures[i] != NULL)
            call->failures[i] = fake_keep_failure(failures[i]);
    fake_replied(call);
}

void
remora_state_reply_keys(remora_call *call, const struct remora_slice *keys, size_t count,
                        struct remora_slice token)
{
    call->ok = true;
    call->count = count;
    call->keys = calloc(count + 1, sizeof *call->keys);
    for (size_t i = 0; i < count; i++)
        call->keys[i] = fake_copy(keys[i].data, keys[i].len);
    call->token = fake_copy(token.data, token.len);
    fake_replied(call);
}

/* --- helpers of the SDK, in the simplest form that serves here ---------------------------------*/

bool
remora_slice_eq(struct remora_slice a, const char *text)
{
    return a.len == strlen(text) && (a.len == 0 || memcmp(a.data, text, a.len) == 0);
}

bool
remora_metadata_get(const struct remora_pair *metadata, size_t count, const char *name,
                    struct remora_slice *ret_value)
{
    bool found = false;
    for (size_t i = 0; i < count; i++)
        if (metadata[i].name.len == strlen(name) &&
            strncasecmp(metadata[i].name.data, name, metadata[i].name.len) == 0) {
            *ret_value = metadata[i].value;
            found = true;
        }
    return found;
}

char *
remora_slice_dup(struct remora_slice slice)
{
    if (slice.len > 0 && memchr(slice.data, '\0', slice.len) != NULL)
        return NULL;
    return fake_copy(slice.data, slice.len);
}

bool
remora_parse_bool(struct remora_slice text, bool *ret_value)
{
    bool yes = remora_slice_eq(text, "true"), no = remora_slice_eq(text, "false");
    if (yes || no)
        *ret_value = yes;
    return yes || no;
}

bool
remora_parse_duration_ms(struct remora_slice text, int64_t *ret_ms)
{
    char *copy = fake_copy(text.data, text.len), *end;
    double number = strtod(copy, &end);
    bool seconds = strcmp(end, "s") == 0, ms = strcmp(end, "ms") == 0;
    if (end != copy && (seconds || ms))
        *ret_ms = (int64_t)(seconds ? number * 1000 : number);
    bool sound = end != copy && (seconds || ms);
    free(copy);
    return sound;
}

/* --- making calls ------------------------------------------------------------------------------*/

static inline struct remora_slice
fake_slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static inline void
fake_on_timeout(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    *(bool *)watcher->data = true;
    ev_break(loop, EVBREAK_ONE);
}

/* Runs the loop until `*flag` is at least `wanted`; false after ten seconds. A reply may come from
 * a prepare watcher, after which the loop sleeps: the ticking timer wakes it. */
static inline bool
fake_run_until(const unsigned *flag, unsigned wanted)
{
    bool ticked;
    ev_timer timer;
    ev_tstamp start = ev_time();
    ev_timer_init(&timer, fake_on_timeout, 0.01, 0.01);
    timer.data = &ticked;
    ev_now_update(remora_loop());
    ev_timer_start(remora_loop(), &timer);
    while (*flag < wanted && ev_time() - start < 10.0)
        ev_run(remora_loop(), EVRUN_ONCE);
    ev_timer_stop(remora_loop(), &timer);
    return *flag >= wanted;
}

/* Runs the loop until the call is answered. */
static inline remora_call *
fake_wait(remora_call *call)
{
    REQUIRE(fake_run_until(&call->replies, 1));
    return call;
}

/* Runs the loop for what is due now and a little more, for things that are not to happen. */
static inline void
fake_run_for(double seconds)
{
    bool late = false;
    ev_timer timer;
    ev_timer_init(&timer, fake_on_timeout, seconds, 0.0);
    timer.data = &late;
    ev_now_update(remora_loop());
    ev_timer_start(remora_loop(), &timer);
    while (!late)
        ev_run(remora_loop(), EVRUN_ONCE);
}

#endif
