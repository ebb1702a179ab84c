/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pipelined connection to a Redis server, kept open: commands go out in the order they were
 * given, all those of one loop turn in one write, and each is answered exactly once. When the
 * connection is lost, what is under way fails and says whether it may have reached the server; a
 * new connection is made with growing pauses; commands given meanwhile wait for it a bounded time.
 * Nothing is ever sent twice. Knows nothing of components or state; pub/sub and others use it too.
 *
 * Everything runs on the loop's thread. Callbacks may call any function here, conn_free() included.
 */
#ifndef REDIS_CONN_H
#define REDIS_CONN_H

#include "resp.h"
#include "../shared/tls.h"

struct ev_loop;
struct conn;

enum {
    CONN_REQUESTS_MAX = 65536,     /* under way */
    CONN_WAITING_MAX = 10000,      /* while there is no connection */
    CONN_OUT_BYTES_MAX = 64 << 20, /* not yet taken by the socket, or waiting */
    CONN_REPLY_BYTES_MAX = RESP_BULK_BYTES_MAX + (16 << 20),
    CONN_BACKOFF_MIN_MS = 10,
    CONN_BACKOFF_MAX_MS = 1000,
    CONN_WHY_BYTES = 400,
};

/* Finds out where the server is, before each attempt. A failed search has host and port NULL. */
typedef void conn_located(const char *host, const char *port, const char *why, void *arg);
struct conn_locator {
    /* Calls `done` later, once, with strings valid during the call; returns the search. */
    void *(*start)(void *owner, conn_located *done, void *arg);
    void (*cancel)(void *search); /* `done` will not be called */
};

/* All strings are borrowed for the life of the connection. */
struct conn_settings {
    const char *host, *port;            /* with a locator: what is shown while nothing is found */
    const struct conn_locator *locator; /* or NULL */
    void *locator_owner;
    const char *username, *password; /* "" without */
    int64_t db;                      /* 0 selects nothing */
    struct tls_context *tls;         /* NULL: plain */
    unsigned first_pause_ms;         /* between attempts before the first success */
    int64_t dial_timeout_ms;         /* of the whole dance: look-up, connect, TLS, greeting */
    int64_t read_timeout_ms;         /* without an answer while one is due; < 0: for ever */
    int64_t write_timeout_ms;        /* without the socket taking anything; < 0: for ever */
};

/* How a command ended. */
struct conn_result {
    const struct resp_value
        *value;        /* the reply, valid during the callback; NULL if there is none */
    bool sent;         /* without a reply: the server may have got it */
    const char *why;   /* without a reply */
    struct conn *conn; /* that carried it; NULL: none did */
};

typedef void conn_done(const struct conn_result *result, void *arg);

struct conn_events {
    /* The server has accepted us. What is sent from here goes out before what waited. */
    void (*ready)(void *owner);
    /* An attempt failed or the connection was lost. `refused`: the server answered and does not
     * want us (password, database), so that trying again soon is pointless (it is done anyway). */
    void (*down)(void *owner, const char *why, bool refused);
    /* A message of a channel: what the server sends unasked. NULL: the connection has none. */
    void (*message)(void *owner, const struct resp_value *value);
};

/* Starts connecting. `owner` is what the events get. */
struct conn *conn_new(struct ev_loop *loop, const struct conn_settings *settings,
                      const struct conn_events *events, void *owner);
/* Closes. Commands not yet answered are forgotten: their `done` is not called. NULL is fine. */
void conn_free(struct conn *conn);

/* Sends a command; `done` follows, never from within this call. The arguments are copied. While
 * there is no connection it waits at most `wait_ms` for one. False: too much is queued already, the
 * command is refused and `done` will not be called. */
bool conn_command(struct conn *conn, const struct remora_slice *args, size_t count,
                  uint64_t wait_ms, conn_done *done, void *arg);

bool conn_is_ready(const struct conn *conn);
/* Gives the connection up and makes a new one: the server is not the one to talk to any more. */
void conn_restart(struct conn *conn, const char *why);
/* "host:port", as used in texts for users. */
const char *conn_address(const struct conn *conn);

#endif
