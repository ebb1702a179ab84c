/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's thread. */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/monotonic.h"
#include "dial.h"

enum { STACK_BYTES = 512 * 1024 };

struct session {
    const struct session_ops *ops;
    void *owner;
    const struct settings *settings;
    pthread_t thread;
    int bell; /* an eventfd */
    atomic_bool is_stopping;
    _Atomic uint64_t entered_ms; /* inside the library since; 0: not. Written by the thread */

    pthread_mutex_t lock;
    int cut; /* under the lock: the connection's socket under a number that stays ours, or -1 */

    /* The thread's. */
    amqp_connection_state_t amqp;
    bool is_broken;
    char why[WHY_BYTES]; /* it broke */
    uint64_t next_dial_ms;
    int64_t retry_ms;
    uint64_t beat_ms; /* how often the library has to be asked, for the heartbeat's sake */
};

uint64_t
now_ms(void)
{
    return monotonic_now_ms();
}

/* --- log ---------------------------------------------------------------------------------------*/

struct line {
    enum remora_level level;
    char text[];
};

static void
on_line(void *arg)
{
    struct line *line = arg;
    remora_log(line->level, "%s", line->text);
    free(line);
}

void
log_from_thread(enum remora_level level, const char *format, ...)
{
    char text[WHY_BYTES * 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t bytes = strlen(text) + 1;
    struct line *line = memory_new(sizeof *line + bytes);
    line->level = level;
    memcpy(line->text, text, bytes);
    remora_post(on_line, line);
}

/* --- the library's calls -----------------------------------------------------------------------*/

amqp_connection_state_t
session_amqp(const struct session *session)
{
    return session->is_broken ? NULL : session->amqp;
}

void
session_break(struct session *session, const char *format, ...)
{
    if (session->is_broken)
        return;
    session->is_broken = true;
    va_list args;
    va_start(args, format);
    vsnprintf(session->why, sizeof session->why, format, args);
    va_end(args);
}

void
session_enter(struct session *session)
{
    atomic_store(&session->entered_ms, now_ms());
}

void
session_leave(struct session *session)
{
    atomic_store(&session->entered_ms, 0);
}

static bool
close_at_this_end(struct session *session, uint16_t channel)
{
    amqp_channel_close_ok_t ok = { 0 };
    return session_wrote(
        session, amqp_send_method(session->amqp, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok));
}

bool
session_answered(struct session *session, uint16_t channel, const char *what, char why[WHY_BYTES])
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(session->amqp);
    session_leave(session);
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return true;
    reply_in_words(what, reply, why);
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
        reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
        (void)close_at_this_end(session, channel);
    else
        session_break(session, "%s", why);
    return false;
}

bool
session_wrote(struct session *session, int status)
{
    session_leave(session);
    if (status != AMQP_STATUS_OK)
        session_break(session, "%s", amqp_error_string2(status));
    return status == AMQP_STATUS_OK;
}

void
session_channel_closed(struct session *session, uint16_t channel, const amqp_channel_close_t *close,
                       char why[WHY_BYTES])
{
    exception_in_words(close->reply_code, close->reply_text, why);
    session_enter(session);
    (void)close_at_this_end(session, channel);
}

bool
session_open_channel(struct session *session, uint16_t channel, char why[WHY_BYTES])
{
    session_enter(session);
    (void)amqp_channel_open(session->amqp, channel);
    return session_answered(session, channel, "a channel cannot be opened", why);
}

/* --- connecting --------------------------------------------------------------------------------*/

static void
keep_cut(struct session *session, int fd)
{
    pthread_mutex_lock(&session->lock);
    int before = session->cut;
    session->cut = fd;
    pthread_mutex_unlock(&session->lock);
    if (before >= 0)
        close(before);
}

static void
wait_before_dialling(struct session *session)
{
    int64_t max_ms = session->settings->reconnect_wait_ms;
    max_ms = max_ms < RETRY_MIN_MS ? RETRY_MIN_MS : max_ms;
    session->next_dial_ms = now_ms() + (uint64_t)session->retry_ms;
    session->retry_ms = session->retry_ms * 2 > max_ms ? max_ms : session->retry_ms * 2;
}

static void
dial_now(struct session *session)
{
    char why[WHY_BYTES];
    session->is_broken = false;
    session->amqp = dial(session->settings, why);
    if (session->amqp == NULL) {
        wait_before_dialling(session);
        session->ops->lost(session->owner, why);
        return;
    }
    session->retry_ms = RETRY_MIN_MS;
    int heartbeat_s = amqp_get_heartbeat(session->amqp);
    session->beat_ms = heartbeat_s > 0 ? (uint64_t)heartbeat_s * 1000 / 3 : 10 * 1000;
    keep_cut(session, dup(amqp_get_sockfd(session->amqp)));
    session->ops->ready(session->owner);
}

static void
hang_up(struct session *session)
{
    keep_cut(session, -1);
    if (!session->is_broken) {
        session_enter(session);
        struct timeval soon = { 1, 0 };
        (void)amqp_set_rpc_timeout(session->amqp, &soon);
        (void)amqp_connection_close(session->amqp, AMQP_REPLY_SUCCESS);
        session_leave(session);
    }
    amqp_destroy_connection(session->amqp);
    session->amqp = NULL;
}

static void
drop(struct session *session)
{
    hang_up(session);
    wait_before_dialling(session);
    session->ops->lost(session->owner, session->why);
}

/* --- reading -----------------------------------------------------------------------------------*/

static void
on_blocked(struct session *session, const amqp_connection_blocked_t *blocked)
{
    char why[NAME_BYTES_MAX + 1];
    snprintf(why, sizeof why, "%.*s", (int)blocked->reason.len,
             (const char *)blocked->reason.bytes);
    session->ops->blocked(session->owner, why);
}

/* Frames of channel 0 are about the connection. */
static void
on_connection_frame(struct session *session, const amqp_frame_t *frame)
{
    char why[WHY_BYTES];
    amqp_connection_close_ok_t ok = { 0 };
    const amqp_connection_close_t *close = frame->payload.method.decoded;
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return;
    switch (frame->payload.method.id) {
    case AMQP_CONNECTION_CLOSE_METHOD:
        exception_in_words(close->reply_code, close->reply_text, why);
        session_enter(session);
        (void)amqp_send_method(session->amqp, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
        session_leave(session);
        session_break(session, "%s", why);
        break;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        on_blocked(session, frame->payload.method.decoded);
        break;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        session->ops->blocked(session->owner, NULL);
        break;
    default:
        break;
    }
}

/* False: there is nothing more for now. */
static bool
read_frame(struct session *session)
{
    amqp_frame_t frame;
    struct timeval at_once = { 0, 0 };
    session_enter(session); /* it may write a heartbeat */
    int status = amqp_simple_wait_frame_noblock(session->amqp, &frame, &at_once);
    session_leave(session);
    if (status == AMQP_STATUS_TIMEOUT)
        return false;
    if (status != AMQP_STATUS_OK) {
        session_break(session, "%s", amqp_error_string2(status));
        return false;
    }
    if (frame.channel == 0)
        on_connection_frame(session, &frame);
    else
        session->ops->frame(session->owner, &frame);
    if (!session->is_broken)
        amqp_maybe_release_buffers(session->amqp);
    return !session->is_broken;
}

/* True: there is more. */
static bool
read_frames(struct session *session)
{
    for (int i = 0; i < FRAMES_A_TURN; i++)
        if (!read_frame(session))
            return false;
    return true;
}

/* --- the turn ----------------------------------------------------------------------------------*/

static void
wait_for_news(struct session *session)
{
    uint64_t now = now_ms(), due = session->ops->due_ms(session->owner);
    uint64_t next = session->amqp == NULL ? session->next_dial_ms : now + session->beat_ms;
    due = due < next ? due : next;
    uint64_t wait = due <= now ? 0 : due - now;
    struct pollfd fds[] = { { .fd = session->bell, .events = POLLIN },
                            { .fd = -1, .events = POLLIN } };
    if (session->amqp != NULL) {
        fds[1].fd = amqp_get_sockfd(session->amqp);
        if (amqp_frames_enqueued(session->amqp))
            wait = 0;
    }
    (void)poll(fds, 2, wait > 60000 ? 60000 : (int)wait);
    uint64_t rings;
    (void)!read(session->bell, &rings, sizeof rings);
}

static void
on_thread_ended(void *arg)
{
    struct session *session = arg;
    pthread_join(session->thread, NULL);
    session->ops->stopped(session->owner);
}

static void *
run(void *arg)
{
    struct session *session = arg;
    while (!atomic_load(&session->is_stopping)) {
        if (session->amqp == NULL && now_ms() >= session->next_dial_ms)
            dial_now(session);
        session->ops->work(session->owner);
        bool is_more = session->amqp != NULL && !session->is_broken && read_frames(session);
        if (session->amqp != NULL && session->is_broken)
            drop(session);
        if (!is_more && !atomic_load(&session->is_stopping))
            wait_for_news(session);
    }
    session->ops->work(session->owner); /* what was said last, if it can still be said */
    if (session->amqp != NULL)
        hang_up(session);
    remora_post(on_thread_ended, session);
    return NULL;
}

/* --- from outside ------------------------------------------------------------------------------*/

static int
start_thread(struct session *session)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    /* Signals are the business of the plugin's thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&session->thread, &attributes, run, session);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

struct session *
session_new(const struct settings *settings, const struct session_ops *ops, void *owner)
{
    struct session *session = memory_new(sizeof *session);
    *session = (struct session){ .ops = ops,
                                 .owner = owner,
                                 .settings = settings,
                                 .bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                                 .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .cut = -1,
                                 .retry_ms = RETRY_MIN_MS };
    return session;
}

bool
session_start(struct session *session)
{
    return session->bell >= 0 && start_thread(session) == 0;
}

void
session_ring(struct session *session)
{
    uint64_t one = 1;
    (void)!write(session->bell, &one, sizeof one);
}

static void
cut_now(struct session *session)
{
    pthread_mutex_lock(&session->lock);
    if (session->cut >= 0)
        (void)shutdown(session->cut, SHUT_RDWR);
    pthread_mutex_unlock(&session->lock);
}

void
session_stop(struct session *session)
{
    atomic_store(&session->is_stopping, true);
    session_ring(session);
}

void
session_watch(struct session *session)
{
    uint64_t entered = atomic_load(&session->entered_ms), now = now_ms();
    uint64_t limit = atomic_load(&session->is_stopping) ? 1000 : STUCK_MS;
    if (entered != 0 && now > entered && now - entered > limit)
        cut_now(session);
}

void
session_free(struct session *session)
{
    if (session->bell >= 0)
        close(session->bell);
    pthread_mutex_destroy(&session->lock);
    free(session);
}
