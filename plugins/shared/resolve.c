/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look-up is shared by the loop and its thread and freed by whoever lets go last, because a
 * cancelled getaddrinfo() may go on for many seconds.
 */
#include "resolve.h"

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { STACK_BYTES = 256 * 1024 }; /* name service modules are hungry */

struct resolve {
    atomic_int holders; /* the loop and the thread */
    char *host, *port;
    resolve_done *done;
    void *arg;
    struct ev_loop *loop;
    ev_async answered;
    /* Written by the thread before it sends `answered`, read by the loop after. */
    struct addrinfo *addresses;
    int code;
};

static void
release(struct resolve *resolve)
{
    if (resolve->addresses != NULL)
        freeaddrinfo(resolve->addresses);
    free(resolve->host);
    free(resolve->port);
    free(resolve);
}

static void
unref(struct resolve *resolve)
{
    /* acq_rel: the last one out must see what the other wrote. */
    if (atomic_fetch_sub_explicit(&resolve->holders, 1, memory_order_acq_rel) == 1)
        release(resolve);
}

static int
look_up(const char *host, const char *port, int flags, struct addrinfo **ret)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = flags | AI_NUMERICSERV };
    return getaddrinfo(host, port, &hints, ret);
}

bool
resolve_numeric(const char *host, const char *port, struct addrinfo **ret_addresses)
{
    return look_up(host, port, AI_NUMERICHOST, ret_addresses) == 0;
}

static void *
run(void *arg)
{
    struct resolve *resolve = arg;
    resolve->code = look_up(resolve->host, resolve->port, AI_ADDRCONFIG, &resolve->addresses);
    if (resolve->code != 0)
        resolve->addresses = NULL;
    ev_async_send(resolve->loop, &resolve->answered); /* orders the writes above before the read */
    unref(resolve);
    return NULL;
}

static void
on_answered(struct ev_loop *loop, ev_async *watcher, int events)
{
    (void)events;
    struct resolve *resolve = watcher->data;
    ev_async_stop(loop, watcher);
    struct addrinfo *addresses = resolve->addresses;
    resolve->addresses = NULL;
    char why[256] = "";
    if (addresses == NULL)
        snprintf(why, sizeof why, "dial tcp: lookup %s: %s", resolve->host,
                 resolve->code == EAI_NONAME ? "no such host" : gai_strerror(resolve->code));
    resolve_done *done = resolve->done;
    void *done_arg = resolve->arg;
    unref(resolve);
    done(addresses, why, done_arg);
}

static bool
start_thread(struct resolve *resolve)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES); /* else the default, which is more */
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool started = pthread_create(&thread, &attributes, run, resolve) == 0;
    (void)pthread_attr_destroy(&attributes);
    return started;
}

struct resolve *
resolve_start(struct ev_loop *loop, const char *host, const char *port, resolve_done *done,
              void *arg)
{
    struct resolve *resolve = calloc(1, sizeof *resolve);
    if (resolve == NULL)
        abort();
    resolve->host = strdup(host);
    resolve->port = strdup(port);
    if (resolve->host == NULL || resolve->port == NULL)
        abort();
    resolve->done = done;
    resolve->arg = arg;
    resolve->loop = loop;
    atomic_init(&resolve->holders, 2);
    ev_async_init(&resolve->answered, on_answered);
    resolve->answered.data = resolve;
    ev_async_start(loop, &resolve->answered);
    if (start_thread(resolve))
        return resolve;
    ev_async_stop(loop, &resolve->answered);
    release(resolve); /* there is no thread to share it with */
    return NULL;
}

void
resolve_cancel(struct resolve *resolve)
{
    if (resolve == NULL)
        return;
    ev_async_stop(resolve->loop, &resolve->answered);
    unref(resolve);
}
