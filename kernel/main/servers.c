/* SPDX-License-Identifier: Apache-2.0 */
/* The listening sockets of the API, on every worker. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/file.h"
#include "main/runtime.h"
#include "peer/identity.h"
#include "surface/grpc_surface.h"
#include "surface/http_surface.h"
#include "surface/internal.h"

enum { LISTEN_WAIT_MS = 2000, LISTEN_PAUSE_MS = 50, SOCKET_PATH_BYTES = 512 };

/* What listens: the words of its log lines and who answers. */
struct face {
    const char *name;   /* "gRPC server listening on ..." */
    const char *server; /* "failed to start API gRPC server" */
    const char *socket; /* part of a Unix socket's name */
    const char *scope;
    http_handler *handler;
    bool is_grpc;
};

static const struct face http_face = { "HTTP",          "HTTP server", "http", "dapr.runtime.http",
                                       http_api_handle, false };
static const struct face public_face = {
    "HTTP", "public HTTP server", "", "dapr.runtime.http", http_public_handle, false
};
static const struct face metrics_face = {
    "HTTP", "metrics server", "", "dapr.runtime.http", http_metrics_handle, false
};
/* HTTP/1.1 gets no further than being told so: the preface comes first in all that speak gRPC. */
static const struct face grpc_face = { "gRPC",          "API gRPC server",
                                       "grpc",          "dapr.runtime.grpc.api",
                                       grpc_api_handle, true };
static const struct face internal_face = {
    "Internal gRPC", "internal gRPC server", "", "dapr.runtime.grpc.internal", internal_handle, true
};

/* Hands one socket to one worker: on its thread, or while it does not run yet. False: it has too
 * many. */
static bool
put_server(struct runtime *runtime, struct runtime_worker *worker, int fd, const struct face *face)
{
    if (worker->server_count == SERVERS_PER_WORKER_MAX) {
        (void)close(fd); /* never used */
        return false;
    }
    struct h1_config config = h1_config_default();
    config.head_bytes_max = runtime->options.read_buffer_bytes;
    config.has_keepalive = face->is_grpc;
    config.has_h2c = face->is_grpc || !runtime->options.disable_h2c;
    if (face == &internal_face && worker->kernel_worker.identity != NULL)
        config.tls = worker->kernel_worker.identity->server;
    worker->servers[worker->server_count++] = h1_server_new(
        &worker->kernel_worker.worker, fd, &config, face->handler, &runtime->kernel);
    if (face == &metrics_face)
        worker->metrics_server = worker->servers[worker->server_count - 1];
    return true;
}

/* At the start. */
static bool
add_server(struct runtime *runtime, struct runtime_worker *worker, int fd, const struct face *face)
{
    bool has_room = put_server(runtime, worker, fd, face);
    if (!has_room)
        log_fatal("dapr.runtime", "Fatal error from runtime: too many listen addresses");
    return has_room;
}

/* --- TCP ---------------------------------------------------------------------------------------*/

static void
on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)timer;
    (void)events;
    ev_break(loop, EVBREAK_ONE);
}

/* Signals count meanwhile. False: nobody wants us to start any more. */
static bool
pause_start(struct runtime *runtime)
{
    ev_timer timer;
    ev_now_update(runtime->loop);
    ev_timer_init(&timer, on_pause_over, LISTEN_PAUSE_MS / 1000.0, 0.);
    ev_timer_start(runtime->loop, &timer);
    ev_run(runtime->loop, 0);
    ev_timer_stop(runtime->loop, &timer);
    return runtime->ending.stage == STAGE_WORKING;
}

/* Sockets of several workers share an address, and so could another sidecar of this user without
 * either noticing: whether the address is free is found out with one that does not share. */
static int
bind_first(struct slice address, uint16_t port, bool share)
{
    int fd = listener_bind_tcp(address, port, false);
    if (fd < 0 || !share)
        return fd;
    port = listener_port(fd);
    (void)close(fd); /* nobody has connected yet */
    return listener_bind_tcp(address, port, true);
}

/* The sidecar that this one replaces may take a moment to let go of its port. */
static int
bind_patiently(struct runtime *runtime, struct slice address, uint16_t port)
{
    uint64_t until_ms = clock_now_ms() + LISTEN_WAIT_MS;
    int fd;
    while ((fd = bind_first(address, port, runtime->worker_count > 1)) < 0 && errno == EADDRINUSE &&
           clock_now_ms() < until_ms)
        if (!pause_start(runtime))
            break;
    return fd;
}

/* The texts say ":3500" where all addresses are meant, as the reference does. */
static struct slice
address_text(struct runtime *runtime, struct slice address, uint16_t port)
{
    bool is_ipv6 = slice_find_byte(address, ':') >= 0;
    return arena_printf(&runtime->arena, "%s" SLICE_FMT "%s:%u", is_ipv6 ? "[" : "",
                        SLICE_ARG(address), is_ipv6 ? "]" : "", port);
}

/* One address on every worker: each binds its own socket and the system spreads connections. 0, or
 * the errno of what went wrong. */
static int
bind_tcp(struct runtime *runtime, struct slice address, uint16_t *port, const struct face *face)
{
    int fd = bind_patiently(runtime, address, *port);
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (i > 0)
            fd = listener_bind_tcp(address, *port, true);
        if (fd < 0)
            return errno;
        *port = listener_port(fd); /* the others take the one that was free */
        if (!add_server(runtime, &runtime->workers[i], fd, face))
            return EMFILE;
    }
    struct slice name = address_text(runtime, address, *port);
    if (!face->is_grpc)
        text_list_add(&runtime->arena, &runtime->server_names, name);
    log_info(face->scope, "%s server listening on TCP address: " SLICE_FMT, face->name,
             SLICE_ARG(name));
    return 0;
}

/* One address that can be had is enough, as it is for the reference. */
static bool
bind_addresses(struct runtime *runtime, const struct face *face, uint16_t port)
{
    const struct options *options = &runtime->options;
    struct slice last = SLICE_EMPTY;
    bool has_one = false;
    for (size_t i = 0; i < options->listen_addresses.count; i++) {
        struct slice address = options->listen_addresses.items[i];
        uint16_t bound = port;
        int error = bind_tcp(runtime, address, &bound, face);
        if (runtime->ending.stage != STAGE_WORKING)
            return false;
        has_one |= error == 0;
        if (error == 0)
            continue;
        struct slice name = address_text(runtime, address, port);
        last = arena_printf(&runtime->arena, "listen tcp " SLICE_FMT ": bind: %s", SLICE_ARG(name),
                            file_error_words(&runtime->arena, error));
        log_warn(face->scope,
                 "Failed to listen for %s server on TCP address " SLICE_FMT
                 " with error: " SLICE_FMT,
                 face->name, SLICE_ARG(name), SLICE_ARG(last));
    }
    if (!has_one)
        log_fatal("dapr.runtime",
                  "Fatal error from runtime: failed to start %s: could not listen on any "
                  "endpoint: " SLICE_FMT,
                  face->server, SLICE_ARG(last));
    return has_one;
}

static bool
bind_public(struct runtime *runtime)
{
    const struct options *options = &runtime->options;
    uint16_t port = options->public_port;
    int error = bind_tcp(runtime, options->public_address, &port, &public_face);
    if (error == 0 || runtime->ending.stage != STAGE_WORKING)
        return error == 0;
    struct slice name = address_text(runtime, options->public_address, options->public_port);
    log_fatal("dapr.runtime",
              "Fatal error from runtime: failed to start public HTTP server: listen tcp " SLICE_FMT
              ": bind: %s",
              SLICE_ARG(name), file_error_words(&runtime->arena, error));
    return false;
}

/* --- Unix sockets ------------------------------------------------------------------------------*/

static void
socket_path(const struct runtime *runtime, const struct face *face, char path[SOCKET_PATH_BYTES])
{
    (void)snprintf(path, SOCKET_PATH_BYTES, "%s/dapr-%s-%s.socket",
                   runtime->options.unix_domain_socket.data, runtime->options.app_id.data,
                   face->socket); /* too long: bind(2) refuses it */
}

static bool
bind_unix(struct runtime *runtime, const struct face *face)
{
    char path[SOCKET_PATH_BYTES];
    socket_path(runtime, face, path);
    int fd = listener_bind_unix(path, 0600);
    if (fd < 0) {
        log_fatal("dapr.runtime",
                  "Fatal error from runtime: failed to start %s: listen unix %s: bind: %s",
                  face->server, path, file_error_words(&runtime->arena, errno));
        return false;
    }
    /* One socket: the workers take turns at accepting. */
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        int own = i == 0 ? fd : dup(fd);
        if (own < 0 || !add_server(runtime, &runtime->workers[i], own, face))
            return false;
    }
    if (!face->is_grpc)
        text_list_add(&runtime->arena, &runtime->server_names,
                      arena_dup(&runtime->arena, slice_str(path)));
    log_info(face->scope, "%s server listening on UNIX socket: %s", face->name, path);
    return true;
}

/* --- metrics -----------------------------------------------------------------------------------*/

/* One socket on the first worker: whoever asks, asks seldom. -1: it cannot be had, which is logged.
 */
static int
listen_for_metrics(struct runtime *runtime, enum log_level level, const char *prefix)
{
    const struct options *options = &runtime->options;
    struct slice address = options->metrics_address;
    int fd = listener_bind_tcp(address, options->metrics_port, false);
    if (fd >= 0)
        log_info("dapr.runtime", "metrics server started on " SLICE_FMT ":%u/", SLICE_ARG(address),
                 listener_port(fd));
    else
        LOG_AT(level, "dapr.runtime",
               "%sfailed to listen on " SLICE_FMT ":%u: listen tcp " SLICE_FMT ":%u: bind: %s",
               prefix, SLICE_ARG(address), options->metrics_port, SLICE_ARG(address),
               options->metrics_port, file_error_words(&runtime->arena, errno));
    return fd;
}

static bool
bind_metrics(struct runtime *runtime)
{
    int fd = listen_for_metrics(runtime, LOG_FATAL, "Fatal error from runtime: ");
    return fd >= 0 && add_server(runtime, &runtime->workers[0], fd, &metrics_face);
}

struct metrics_mail {
    struct mail mail;
    struct runtime_worker *worker;
    int fd; /* moved; -1: close what is there */
};

/* Worker. */
static void
on_metrics_mail(struct mail *mail)
{
    struct metrics_mail *order = container_of(mail, struct metrics_mail, mail);
    struct runtime_worker *worker = order->worker;
    struct h1_server *closed = order->fd < 0 ? TAKE(worker->metrics_server) : NULL;
    if (order->fd >= 0 && !put_server(worker->runtime, worker, order->fd, &metrics_face))
        log_error("dapr.runtime", "too many listen addresses, metrics are not served");
    for (size_t i = 0; i < worker->server_count && closed != NULL; i++) {
        if (worker->servers[i] != closed)
            continue;
        worker->servers[i] = worker->servers[--worker->server_count];
        h1_server_close(TAKE(closed), NULL, NULL);
    }
    free(order);
}

void
servers_set_metrics(struct runtime *runtime, bool is_on)
{
    if (runtime->serves_metrics == is_on)
        return;
    int fd = is_on ? listen_for_metrics(runtime, LOG_ERROR, "") : -1;
    if (is_on && fd < 0)
        return; /* the next change tries again */
    runtime->serves_metrics = is_on;
    struct metrics_mail *order = malloc(sizeof *order);
    if (order == NULL)
        abort();
    *order = (struct metrics_mail){ .worker = &runtime->workers[0], .fd = fd };
    worker_post(&runtime->workers[0].kernel_worker.worker, &order->mail, on_metrics_mail);
}

/* --- other sidecars ----------------------------------------------------------------------------*/

bool
servers_bind_internal(struct runtime *runtime)
{
    const struct options *options = &runtime->options;
    struct slice address = options->internal_grpc_address;
    uint16_t port = options->internal_grpc_port;
    int error = bind_tcp(runtime, address, &port, &internal_face);
    if (error != 0 || runtime->ending.stage != STAGE_WORKING) {
        struct slice name = address_text(runtime, address, port);
        if (error != 0)
            log_fatal("dapr.runtime",
                      "Fatal error from runtime: failed to start internal gRPC server: could not "
                      "listen on any endpoint: listen tcp " SLICE_FMT ": bind: %s",
                      SLICE_ARG(name), file_error_words(&runtime->arena, error));
        return false;
    }
    runtime->internal_port = port;
    log_info("dapr.runtime", "Internal gRPC server is running on port %u", port);
    return true;
}

/* --- all ---------------------------------------------------------------------------------------*/

static bool
bind_face(struct runtime *runtime, const struct face *face, uint16_t port)
{
    return runtime->options.unix_domain_socket.len > 0 ? bind_unix(runtime, face)
                                                       : bind_addresses(runtime, face, port);
}

bool
servers_bind(struct runtime *runtime)
{
    const struct options *options = &runtime->options;
    if (!bind_face(runtime, &grpc_face, options->grpc_port))
        return false;
    log_info(grpc_face.scope, "Enabled gRPC tracing middleware");
    if (runtime->serves_metrics)
        log_info(grpc_face.scope, "Enabled gRPC metrics middleware");
    log_info("dapr.runtime", "API gRPC server is running on port %u", options->grpc_port);
    log_info(http_face.scope, "Enabled max body size HTTP middleware with size %zu bytes",
             options->max_body_bytes);
    log_info(http_face.scope, "Enabled tracing HTTP middleware");
    if (runtime->serves_metrics)
        log_info(http_face.scope, "Enabled metrics HTTP middleware");
    if (!bind_face(runtime, &http_face, options->http_port))
        return false;
    if (options->has_public_port && !bind_public(runtime))
        return false;
    if (runtime->serves_metrics && !bind_metrics(runtime))
        return false;
    log_info("dapr.runtime", "HTTP server is running on port %u", options->http_port);
    log_info("dapr.runtime", "The request body size parameter is: %zu bytes",
             options->max_body_bytes);
    return true;
}

void
servers_unlink(struct runtime *runtime)
{
    char path[SOCKET_PATH_BYTES];
    if (runtime->options.unix_domain_socket.len == 0)
        return;
    socket_path(runtime, &http_face, path);
    (void)unlink(path); /* it may never have been made */
    socket_path(runtime, &grpc_face, path);
    (void)unlink(path); /* likewise */
}
