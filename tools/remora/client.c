/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NNG side; see client.h. Requests go out once: resending is off, because a restart that was
 * asked for twice is two restarts.
 */
#include "client.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/pb.h"
#include "say.h"

enum {
    ANSWER_MS = 5000,
    POLL_MS = 200, /* how soon the loss of the feed is seen */
    MESSAGE_BYTES_MAX = 64 * 1024 * 1024,
    MESSAGE_DEPTH_MAX = 4,
};

struct client {
    struct client *next; /* of all that were opened */
    nng_socket commands;
    nng_socket events;
    atomic_bool is_connected; /* written by NNG's threads; each fact stands alone, so relaxed */
    atomic_bool is_lost;
};

static struct client *opened;

/* False, with the words for it on stderr. */
static bool
is_fine(int result, const char *what)
{
    if (result == 0)
        return true;
    complain("%s: %s", what, nng_strerror(result));
    return false;
}

/* The address is checked by locate() already, so the connection may come about in the background
 * and the time limits of sending and receiving hold for it too. */
static bool
dial(nng_socket socket, const char *path)
{
    char url[LOCATION_PATH_BYTES + 16];
    (void)snprintf(url, sizeof url, "ipc://%s", path); /* fits */
    return is_fine(nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, MESSAGE_BYTES_MAX), path) &&
           is_fine(nng_dial(socket, url, NULL, NNG_FLAG_NONBLOCK), path);
}

struct client *
client_open(const struct location *location)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        abort();
    client->next = opened;
    opened = client;
    if (!is_fine(nng_req0_open(&client->commands), "libnng"))
        return NULL;
    if (is_fine(nng_socket_set_ms(client->commands, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE),
                "libnng") &&
        is_fine(nng_socket_set_ms(client->commands, NNG_OPT_SENDTIMEO, ANSWER_MS), "libnng") &&
        is_fine(nng_socket_set_ms(client->commands, NNG_OPT_RECVTIMEO, ANSWER_MS), "libnng") &&
        dial(client->commands, location->admin_path))
        return client;
    return NULL;
}

/* Left to the end of the program, which is near: nng_close() waits for NNG's own threads, and in
 * the version of Debian 12 some of a hundred calls wait for ever. */
void
client_close(struct client *client)
{
    (void)client;
}

/* --- requests ----------------------------------------------------------------------------------*/

static void *
receive(nng_socket socket, struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
        int *ret_result)
{
    nng_msg *message;
    *ret_result = nng_recvmsg(socket, &message, 0);
    if (*ret_result != 0)
        return NULL;
    struct slice bytes = slice_of(nng_msg_body(message), nng_msg_len(message));
    void *unpacked = pb_unpack(arena, descriptor, bytes, MESSAGE_DEPTH_MAX, SIZE_MAX);
    if (unpacked == NULL)
        *ret_result = NNG_EPROTO;
    nng_msg_free(message);
    return unpacked;
}

const Remora__Admin__V1__Reply *
client_try(struct client *client, struct arena *arena, const Remora__Admin__V1__Request *request,
           const char **ret_error)
{
    struct slice packed = pb_pack(arena, &request->base);
    /* nng_send() copies, but lacks the const. */
    int result = nng_send(client->commands, (void *)(uintptr_t)packed.data, packed.len, 0);
    const Remora__Admin__V1__Reply *reply = NULL;
    /* At one go: a receive that times out gives its request up. It also ends with the connection,
     * since nothing is sent again. */
    if (result == 0)
        reply = receive(client->commands, arena, &remora__admin__v1__reply__descriptor, &result);
    if (reply == NULL)
        *ret_error =
            arena_printf(arena, "the sidecar does not answer: %s", nng_strerror(result)).data;
    else if (reply->code != REMORA__ADMIN__V1__CODE__CODE_OK)
        *ret_error = reply->message;
    else
        return reply;
    return NULL;
}

const Remora__Admin__V1__Reply *
client_ask(struct client *client, struct arena *arena, const Remora__Admin__V1__Request *request)
{
    const char *error;
    const Remora__Admin__V1__Reply *reply = client_try(client, arena, request, &error);
    if (reply == NULL)
        complain("%s", error);
    return reply;
}

/* --- events ------------------------------------------------------------------------------------*/

/* On one of NNG's threads. */
static void
on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct client *client = arg;
    (void)pipe;
    if (event == NNG_PIPE_EV_ADD_POST)
        atomic_store_explicit(&client->is_connected, true, memory_order_relaxed);
    else
        atomic_store_explicit(&client->is_lost, true, memory_order_relaxed);
}

bool
client_subscribe(struct client *client, const struct location *location)
{
    if (!is_fine(nng_sub0_open(&client->events), "libnng"))
        return false;
    if (!is_fine(nng_socket_set(client->events, NNG_OPT_SUB_SUBSCRIBE, "", 0), "libnng") ||
        !is_fine(nng_socket_set_ms(client->events, NNG_OPT_RECVTIMEO, POLL_MS), "libnng") ||
        !is_fine(nng_pipe_notify(client->events, NNG_PIPE_EV_ADD_POST, on_pipe, client),
                 "libnng") ||
        !is_fine(nng_pipe_notify(client->events, NNG_PIPE_EV_REM_POST, on_pipe, client),
                 "libnng") ||
        !dial(client->events, location->events_path))
        return false;
    for (int waited_ms = 0; waited_ms < ANSWER_MS; waited_ms++) {
        if (atomic_load_explicit(&client->is_connected, memory_order_relaxed))
            return true;
        nng_msleep(1);
    }
    complain("%s: nobody answers", location->events_path);
    return false;
}

const Remora__Admin__V1__Event *
client_next_event(struct client *client, struct arena *arena)
{
    for (;;) {
        int result;
        const Remora__Admin__V1__Event *event = receive(
            client->events, arena, &remora__admin__v1__event__descriptor, &result);
        if (event != NULL)
            return event;
        bool is_lost = atomic_load_explicit(&client->is_lost, memory_order_relaxed);
        if (result == NNG_ETIMEDOUT && !is_lost)
            continue;
        complain("%s", is_lost ? "the sidecar has ended" : nng_strerror(result));
        return NULL;
    }
}
