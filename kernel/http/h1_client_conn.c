/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1.1 connection of a client: dialled, told of what happens on its socket, closed. One
 * that carries no call is watched: when the server ends it, or something comes that nobody has
 * asked for, it goes.
 */
#include <assert.h>
#include <stdlib.h>

#include "async/connect.h"
#include "base/log.h"
#include "http/h1_client.h"
#include "http/tls.h"

#define SCOPE "remora.client"

static void on_readable(struct stream *stream);
static void on_drained(struct stream *stream);
static void on_broken(struct stream *stream);

static const struct stream_events events = { on_readable, on_drained, on_broken };

static struct h1_client_conn *
conn_of(struct stream *stream)
{
    return container_of(stream, struct h1_client_conn, stream);
}

size_t
h1_client_in_bytes_max(const struct h1_client *client)
{
    size_t most = client->config.head_bytes_max;
    if (most < LIMIT_client_read_ahead_bytes)
        most = LIMIT_client_read_ahead_bytes;
    return most + LIMIT_client_read_bytes;
}

/* --- one connection ----------------------------------------------------------------------------*/

void
h1_client_conn_free(struct h1_client_conn *conn)
{
    list_remove(&conn->link);
    stream_close(&conn->stream);
    buf_fini(&conn->in);
    conn->client->conn_count--;
    free(conn);
}

void
h1_client_resume(struct h1_client_conn *conn)
{
    if (!conn->is_ended && !conn->is_lost)
        stream_resume(&conn->stream);
}

static void
on_unasked(struct h1_client_conn *conn, enum stream_got got)
{
    if (got == STREAM_NOTHING)
        return;
    if (got == STREAM_BYTES)
        log_debug(SCOPE, "connection %d: unasked bytes of the server, closing it", conn->stream.fd);
    h1_client_conn_free(conn);
}

static void
on_readable(struct stream *stream)
{
    struct h1_client_conn *conn = conn_of(stream);
    enum stream_got got = stream_read(stream, &conn->in, LIMIT_client_read_bytes);
    if (conn->call == NULL) {
        on_unasked(conn, got);
        return;
    }
    switch (got) {
    case STREAM_BYTES:
        if (conn->in.max - conn->in.len < LIMIT_client_read_bytes)
            stream_pause(stream);
        break;
    case STREAM_NOTHING: /* a step of TLS, perhaps the last */
        break;
    case STREAM_END:
        conn->is_ended = true;
        stream_pause(stream);
        break;
    case STREAM_ERROR:
        conn->is_lost = conn->is_closed = true;
        stream_pause(stream);
        h1_client_on_output(conn->call);
        break;
    }
    h1_client_on_input(conn->call);
}

static void
on_drained(struct stream *stream)
{
    struct h1_client_conn *conn = conn_of(stream);
    if (conn->call != NULL)
        h1_client_on_output(conn->call);
}

/* What the server had sent before it left is still to be read. */
static void
on_broken(struct stream *stream)
{
    struct h1_client_conn *conn = conn_of(stream);
    conn->is_closed = true;
    if (conn->call != NULL)
        h1_client_on_output(conn->call);
    else
        h1_client_conn_free(conn);
}

/* --- dialling ---------------------------------------------------------------------------*/

/* Suspends until TLS is agreed on. */
static err_t
shake_hands(struct task *t, struct h1_client_conn *conn)
{
    struct h1_client_call *call = conn->call;
    while (!tls_is_established(&conn->stream)) {
        if (conn->is_lost || conn->is_ended) {
            struct slice why = tls_error(&conn->stream);
            return DIAG_FAIL(task_diag(t), ERR_PEER_UNREACHABLE, SLICE_FMT,
                             SLICE_ARG(why.len > 0 ? why : SLICE("EOF")));
        }
        struct wait wait;
        wait_init(&wait, t, NULL);
        call->in_wait = &wait;
        err_t err = TASK_WAIT(t, &wait);
        call->in_wait = NULL;
        if (err != OK)
            return err;
    }
    return OK;
}

err_t
h1_client_dial(struct task *t, struct h1_client *client, struct h1_client_call *call)
{
    const struct connect_target target = { .host = client->config.host,
                                           .port = client->config.port,
                                           .unix_path = client->config.unix_path };
    int fd;
    err_t err = connect_to(t, &target, &fd); /* suspends */
    if (err != OK)
        return err;
    struct h1_client_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        abort();
    conn->client = client;
    conn->call = call;
    list_init(&conn->link);
    buf_init(&conn->in, h1_client_in_bytes_max(client));
    stream_open(&conn->stream, client->worker, fd, &events, LIMIT_client_output_bytes);
    client->conn_count++;
    if (client->config.tls != NULL) {
        err = ERR_PEER_UNREACHABLE;
        call->is_shaking_hands = true;
        if (tls_start(&conn->stream, client->config.tls, client->config.peer_id, task_diag(t)))
            err = shake_hands(t, conn); /* suspends */
    }
    if (err != OK)
        h1_client_conn_free(conn);
    else
        call->conn = conn;
    return err;
}
