/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sidecar in front of a plugin, its clock and its applications, as a fuzzer plays them. It asks
 * that each call is answered once and that no more messages than a window allows are handed over,
 * and reads all that it is told to its end. Memory of a call is gone with its answer.
 */
#ifndef FUZZ_BRIDGE_SIDECAR_H
#define FUZZ_BRIDGE_SIDECAR_H

#include <assert.h>
#include <ev.h>
#include <remora_plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_MAX = 64, TIMERS_MAX = 256, HANDED_MAX = 256, WINDOW = 3 };

/* --- time: libev's timers, moved by the input --------------------------------------------------*/

static struct alarm {
    ev_timer *timer;
    double at;
} alarms[TIMERS_MAX];
static size_t alarm_count;
static double now_s;

static struct alarm *
alarm_of(const ev_timer *timer)
{
    size_t i = 0;
    while (i < alarm_count && alarms[i].timer != timer)
        i++;
    return &alarms[i];
}

void
ev_timer_start(struct ev_loop *loop, ev_timer *timer) EV_NOEXCEPT
{
    (void)loop;
    if (timer->active)
        return;
    assert(alarm_count < TIMERS_MAX && timer->repeat == 0.);
    alarms[alarm_count++] = (struct alarm){ timer, now_s + timer->at };
    timer->active = 1;
}

void
ev_timer_stop(struct ev_loop *loop, ev_timer *timer) EV_NOEXCEPT
{
    (void)loop;
    if (timer->active)
        *alarm_of(timer) = alarms[--alarm_count];
    timer->active = 0;
}

ev_tstamp
ev_timer_remaining(struct ev_loop *loop, ev_timer *timer) EV_NOEXCEPT
{
    (void)loop;
    return timer->active ? alarm_of(timer)->at - now_s : 0.;
}

static void
pass(double seconds)
{
    now_s += seconds;
    for (size_t i = 0; i < alarm_count;) {
        ev_timer *timer = alarms[i].timer;
        if (alarms[i].at > now_s) {
            i++;
            continue;
        }
        ev_timer_stop(remora_loop(), timer);
        timer->cb(remora_loop(), timer, EV_TIMER);
        i = 0; /* there may be others by now */
    }
}

/* --- the sidecar: calls ------------------------------------------------------------------------*/

struct memory {
    struct memory *next;
    max_align_t bytes[];
};

struct remora_call {
    struct memory *memory;
    void (*on_cancel)(remora_call *call, void *arg);
    void *arg;
    bool is_cancelled;
};

static remora_call *calls[CALLS_MAX];
static size_t call_count;
static remora_call *init_call;
static void *self; /* NULL: there is no component, or not yet */

static remora_call *
call_new(void)
{
    remora_call *call = calloc(1, sizeof *call);
    assert(call != NULL && call_count < CALLS_MAX);
    calls[call_count++] = call;
    return call;
}

/* What was in its memory is gone. */
static void
answered(remora_call *call)
{
    size_t i = 0;
    while (i < call_count && calls[i] != call)
        i++;
    assert(i < call_count);
    calls[i] = calls[--call_count];
    if (call == init_call)
        init_call = NULL;
    for (struct memory *one = call->memory, *next; one != NULL; one = next) {
        next = one->next;
        free(one);
    }
    free(call);
}

static void
cancel(remora_call *call)
{
    if (call->is_cancelled)
        return;
    call->is_cancelled = true;
    if (call->on_cancel != NULL)
        call->on_cancel(call, call->arg);
}

void *
remora_call_alloc(remora_call *call, size_t bytes)
{
    struct memory *memory = malloc(sizeof *memory + bytes);
    assert(memory != NULL);
    memory->next = call->memory;
    call->memory = memory;
    return memory->bytes;
}

void
remora_call_on_cancel(remora_call *call, void (*fn)(remora_call *call, void *arg), void *arg)
{
    call->on_cancel = fn;
    call->arg = arg;
}

uint64_t
remora_call_time_left_ms(const remora_call *call)
{
    return call->is_cancelled ? 0 : 60000;
}

bool
remora_call_is_cancelled(const remora_call *call)
{
    return call->is_cancelled;
}

struct ev_loop *
remora_loop(void)
{
    return ev_default_loop(0);
}

void
remora_log(enum remora_level level, const char *format, ...)
{
    va_list args;
    (void)level;
    va_start(args, format);
    (void)vsnprintf(NULL, 0, format, args); /* reads what it is told to */
    va_end(args);
}

/* --- the sidecar: answers, all of which are read to their end ----------------------------------*/

static void
read_bytes(struct remora_slice slice)
{
    volatile char seen = 0;
    for (size_t i = 0; i < slice.len; i++)
        seen = (char)(seen ^ slice.data[i]);
}

static void
read_pairs(const struct remora_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        read_bytes(pairs[i].name);
        read_bytes(pairs[i].value);
    }
}

static void
read_failure(const struct remora_failure *failure)
{
    if (failure == NULL)
        return;
    assert(failure->code != REMORA_OK);
    read_bytes((struct remora_slice){ failure->message, strlen(failure->message) });
}

static void
use_up(struct remora_bytes bytes)
{
    read_bytes((struct remora_slice){ bytes.data, bytes.len });
    if (bytes.release != NULL)
        bytes.release(bytes.arg);
}

static void
read_values(const struct remora_state_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        read_failure(values[i].failure);
        if (values[i].has_etag)
            read_bytes(values[i].etag);
        read_bytes(values[i].key);
        use_up(values[i].value);
    }
}

void
remora_reply_ok(remora_call *call)
{
    answered(call);
}

void
remora_reply_init(remora_call *call, void *made, uint32_t capabilities, uint32_t operations_max)
{
    (void)capabilities;
    assert(operations_max <= INT32_MAX && call == init_call);
    self = made;
    answered(call);
}

void
remora_reply_init_binding(remora_call *call, void *made, uint32_t capabilities,
                          const char *operations)
{
    read_bytes((struct remora_slice){ operations, strlen(operations) });
    remora_reply_init(call, made, capabilities, 0);
}

void
remora_reply_error(remora_call *call, enum remora_code code, const char *format, ...)
{
    (void)format;
    assert(code != REMORA_OK);
    answered(call);
}

void
remora_reply_failure(remora_call *call, const struct remora_failure *failure)
{
    assert(failure != NULL);
    read_failure(failure);
    answered(call);
}

void
remora_state_reply_value(remora_call *call, const struct remora_state_value *value)
{
    read_values(value, 1);
    answered(call);
}

void
remora_state_reply_values(remora_call *call, const struct remora_state_value *values, size_t count)
{
    read_values(values, count);
    answered(call);
}

void
remora_state_reply_failures(remora_call *call, const struct remora_failure *const *failures,
                            size_t count)
{
    for (size_t i = 0; i < count; i++)
        read_failure(failures[i]);
    answered(call);
}

void
remora_pubsub_reply_failures(remora_call *call, const struct remora_failure *const *failures,
                             size_t count)
{
    remora_state_reply_failures(call, failures, count);
}

void
remora_state_reply_query(remora_call *call, const struct remora_state_value *values, size_t count,
                         struct remora_slice token)
{
    read_bytes(token);
    remora_state_reply_values(call, values, count);
}

void
remora_secret_reply_value(remora_call *call, const struct remora_pair *pairs, size_t count)
{
    read_pairs(pairs, count);
    answered(call);
}

void
remora_secret_reply_missing(remora_call *call)
{
    answered(call);
}

void
remora_secret_reply_all(remora_call *call, const struct remora_secret *secrets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        read_bytes(secrets[i].name);
        read_pairs(secrets[i].pairs, secrets[i].pair_count);
    }
    answered(call);
}

void
remora_binding_reply(remora_call *call, struct remora_bytes data,
                     const struct remora_pair *metadata, size_t metadata_count,
                     const struct remora_failure *failure)
{
    use_up(data);
    read_pairs(metadata, metadata_count);
    read_failure(failure);
    answered(call);
}

/* --- the sidecar: what is handed over ----------------------------------------------------------*/

static struct handed {
    uint64_t subscription;
    remora_delivered *delivered; /* or */
    remora_event_done *done;
    void *arg;
} handed[HANDED_MAX];
static size_t handed_count;

static void
keep(struct handed one)
{
    size_t of_it = 1;
    for (size_t i = 0; i < handed_count; i++)
        of_it += handed[i].subscription == one.subscription;
    assert(of_it <= WINDOW && handed_count < HANDED_MAX);
    handed[handed_count++] = one;
}

void
remora_deliver(uint64_t subscription, const struct remora_message *messages, size_t count,
               remora_delivered *done, void *arg)
{
    assert(count == 1);
    read_bytes(messages->id);
    read_bytes(messages->topic);
    read_bytes(messages->content_type);
    read_bytes(messages->data);
    read_pairs(messages->metadata, messages->metadata_count);
    keep((struct handed){ .subscription = subscription, .delivered = done, .arg = arg });
}

void
remora_binding_event(uint64_t reading, const struct remora_event *event, remora_event_done *done,
                     void *arg)
{
    read_bytes(event->data);
    read_pairs(event->metadata, event->metadata_count);
    keep((struct handed){ .subscription = reading, .done = done, .arg = arg });
}

static void
land(size_t i, bool is_done)
{
    const struct handed one = handed[i];
    const enum remora_verdict verdict = is_done ? REMORA_DONE : REMORA_RETRY;
    handed[i] = handed[--handed_count];
    if (one.delivered != NULL)
        one.delivered(&verdict, 1, one.arg);
    else
        one.done(is_done, (struct remora_slice){ "done", 4 }, NULL, 0, one.arg);
}

#endif
