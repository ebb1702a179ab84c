/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to the server on a thread of its own, because the library blocks: in a look-up, a
 * handshake, a question to the server, a write that the server does not take. It connects and
 * connects again by itself, keeps the heartbeat, and hands every frame that is nobody's answer to
 * its owner.
 *
 * Whose thread: functions of `struct session_ops` and those under "thread" run on the session's
 * thread, all others on the plugin's. What crosses does so under a lock of its owner's, followed by
 * session_ring(), or by remora_post().
 */
#ifndef RABBITMQ_PLUGIN_SESSION_H
#define RABBITMQ_PLUGIN_SESSION_H

#include <amqp.h>
#include <amqp_framing.h>
#include <stdint.h>

#include "settings.h"

struct session;

struct session_ops {
    const char *name; /* for the log */
    /* Connected: no channel is open. */
    void (*ready)(void *owner);
    /* No longer, or not yet: an attempt failed. */
    void (*lost)(void *owner, const char *why);
    /* In every turn, connected or not: does what has been queued. */
    void (*work)(void *owner);
    /* A method, header or body frame of a channel. */
    void (*frame)(void *owner, const amqp_frame_t *frame);
    /* When `work` has something to do by itself, monotonic; UINT64_MAX: never. */
    uint64_t (*due_ms)(void *owner);
    /* The server takes no messages for now (`why`), or does again (NULL). */
    void (*blocked)(void *owner, const char *why);
    /* On the plugin's thread, last of all, once the thread has ended. */
    void (*stopped)(void *owner);
};

/* `settings` stay the caller's and stay as they are. Nothing runs yet. */
struct session *
session_new(const struct settings *settings, const struct session_ops *ops, void *owner);
/* False: no thread can be had. */
bool session_start(struct session *session);
/* The thread ends soon; `stopped` follows. */
void session_stop(struct session *session);
/* After that, or without a start. */
void session_free(struct session *session);
/* There is work. */
void session_ring(struct session *session);
/* Cuts the connection of a thread that has been inside the library for too long. */
void session_watch(struct session *session);

/* --- thread ------------------------------------------------------------------------------------*/

/* NULL: not connected. */
amqp_connection_state_t session_amqp(const struct session *session);
/* The connection is of no use any more; `lost` follows soon. The first reason counts. */
void session_break(struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Around calls that may wait. */
void session_enter(struct session *session);
void session_leave(struct session *session);
/* A question was answered, after session_enter(), which ends here. False: `why`; if only the
 * channel is gone it has been closed at this end too, else the connection is broken. */
bool
session_answered(struct session *session, uint16_t channel, const char *what, char why[WHY_BYTES]);
/* True if a write came off. */
bool session_wrote(struct session *session, int status);
/* The server closes a channel: said in words, and answered. */
void session_channel_closed(struct session *session, uint16_t channel,
                            const amqp_channel_close_t *close, char why[WHY_BYTES]);
bool session_open_channel(struct session *session, uint16_t channel, char why[WHY_BYTES]);

uint64_t now_ms(void);
/* remora_log() from any thread. */
void log_from_thread(enum remora_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
