/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for the application: with --app-port the sidecar is not ready before somebody accepts a
 * connection there. A task asks again and again; names are looked up and connections made on a
 * thread of their own, since both may block.
 */
#include "main/app_port.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "async/offload.h"
#include "base/log.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime"

enum { CONNECT_MS = 500, PAUSE_MS = 50 };

/* --- one try -----------------------------------------------------------------------------------*/

static bool
accepts(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    struct pollfd connected = { .fd = fd, .events = POLLOUT };
    int error = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    socklen_t len = sizeof error;
    if (error == EINPROGRESS && poll(&connected, 1, CONNECT_MS) == 1 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    (void)close(fd); /* was only asked */
    return error == 0;
}

/* On a thread that may block. */
static err_t
try_once(void *arg)
{
    const struct runtime *runtime = arg;
    char port[8];
    struct addrinfo *addresses;
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    (void)snprintf(port, sizeof port, "%u", runtime->options.app_port); /* fits */
    if (getaddrinfo(runtime->options.app_channel_address.data, port, &hints, &addresses) != 0)
        return ERR_IO;
    bool is_there = false;
    for (const struct addrinfo *a = addresses; a != NULL && !is_there; a = a->ai_next)
        is_there = accepts(a);
    freeaddrinfo(addresses);
    return is_there ? OK : ERR_IO;
}

/* --- again and again ---------------------------------------------------------------------------*/

/* Main thread. */
static void
on_found(struct mail *mail)
{
    struct runtime *runtime = container_of(mail, struct runtime, app_port.mail);
    if (atomic_load_explicit(&runtime->app_port.is_over, memory_order_relaxed))
        return;
    log_info(SCOPE, "application discovered on port %u", runtime->options.app_port);
    runtime->app_port.on_found(runtime);
}

/* A worker. */
static void
wait_main(struct task *t, void *arg)
{
    struct runtime *runtime = arg;
    struct app_port *wait = &runtime->app_port;
    bool is_first = true;
    while (!atomic_load_explicit(&wait->is_over, memory_order_relaxed)) {
        if (offload_run(t, try_once, runtime) == OK) {
            mailbox_post(&runtime->control, &wait->mail, on_found);
            return;
        }
        if (is_first)
            log_debug(SCOPE, "waiting for application to listen on port %u",
                      runtime->options.app_port);
        is_first = false;
        if (task_sleep(t, PAUSE_MS) != OK)
            return;
    }
}

static void
on_start(struct mail *mail)
{
    struct runtime *runtime = container_of(mail, struct runtime, app_port.mail);
    if (task_spawn(&runtime->workers[0].kernel_worker.worker, "app port", wait_main, runtime) ==
        NULL)
        log_error(SCOPE, "no task is free to wait for the application: the sidecar stays unready");
}

void
app_port_wait(struct runtime *runtime, void (*on_found_fn)(struct runtime *runtime))
{
    log_info(SCOPE,
             "application protocol: " SLICE_FMT ". waiting on port %u.  This will block until the "
             "app is listening on that port.",
             SLICE_ARG(runtime->options.app_protocol), runtime->options.app_port);
    runtime->app_port.on_found = on_found_fn;
    worker_post(&runtime->workers[0].kernel_worker.worker, &runtime->app_port.mail, on_start);
}

void
app_port_stop(struct runtime *runtime)
{
    atomic_store_explicit(&runtime->app_port.is_over, true, memory_order_relaxed);
}
