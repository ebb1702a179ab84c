/* SPDX-License-Identifier: Apache-2.0 */
/* The listening sockets of the API, on every worker. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "config/file.h"
#include "main/runtime.h"
#include "surface/http_surface.h"

#define SCOPE "dapr.runtime.http"

/* Hands one socket to one worker. The workers do not run yet. */
static bool
add_server(struct runtime *runtime, struct runtime_worker *worker, int fd, http_handler *handler)
{
    if (worker->server_count == SERVERS_PER_WORKER_MAX) {
        (void)close(fd); /* never used */
        log_fatal("dapr.runtime", "Fatal error from runtime: too many listen addresses");
        return false;
    }
    struct h1_config config = h1_config_default();
    config.head_bytes_max = runtime->options.read_buffer_bytes;
    worker->servers[worker->server_count++] = h1_server_new(&worker->kernel_worker.worker, fd,
                                                            &config, handler, &runtime->kernel);
    worker->servers_open++;
    return true;
}

/* One address on every worker: each binds its own socket and the system spreads connections. */
static bool
bind_tcp(struct runtime *runtime, struct slice address, uint16_t port, http_handler *handler)
{
    bool share = runtime->worker_count > 1;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        int fd = listener_bind_tcp(address, port, share);
        if (fd < 0) {
            log_fatal("dapr.runtime",
                      "Fatal error from runtime: failed to start HTTP server: could not listen on "
                      "any endpoint: listen tcp %.*s:%u: bind: %s",
                      SLICE_ARG(address), port, file_error_words(&runtime->arena, errno));
            return false;
        }
        port = listener_port(fd); /* the others take the one that was free */
        if (!add_server(runtime, &runtime->workers[i], fd, handler))
            return false;
    }
    log_info(SCOPE, "HTTP server listening on TCP address: " SLICE_FMT ":%u", SLICE_ARG(address),
             port);
    return true;
}

static void
socket_path(const struct runtime *runtime, char *path, size_t bytes)
{
    (void)snprintf(path, bytes, "%s/dapr-%s-http.socket", runtime->options.unix_domain_socket.data,
                   runtime->options.app_id.data); /* too long: bind(2) refuses it */
}

static bool
bind_unix(struct runtime *runtime)
{
    char path[512];
    socket_path(runtime, path, sizeof path);
    int fd = listener_bind_unix(path, 0600);
    if (fd < 0) {
        log_fatal("dapr.runtime",
                  "Fatal error from runtime: failed to start HTTP server: listen unix %s: bind: %s",
                  path, file_error_words(&runtime->arena, errno));
        return false;
    }
    /* One socket: the workers take turns at accepting. */
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        int own = i == 0 ? fd : dup(fd);
        if (own < 0 || !add_server(runtime, &runtime->workers[i], own, http_api_handle))
            return false;
    }
    log_info(SCOPE, "HTTP server listening on UNIX socket: %s", path);
    return true;
}

/* One socket on the first worker: whoever asks, asks seldom. */
static bool
bind_metrics(struct runtime *runtime)
{
    const struct options *options = &runtime->options;
    struct slice address = options->metrics_address;
    int fd = listener_bind_tcp(address, options->metrics_port, false);
    if (fd < 0) {
        log_fatal("dapr.runtime",
                  "Fatal error from runtime: failed to listen on " SLICE_FMT
                  ":%u: listen tcp " SLICE_FMT ":%u: bind: %s",
                  SLICE_ARG(address), options->metrics_port, SLICE_ARG(address),
                  options->metrics_port, file_error_words(&runtime->arena, errno));
        return false;
    }
    log_info("dapr.runtime", "metrics server started on " SLICE_FMT ":%u/", SLICE_ARG(address),
             listener_port(fd));
    return add_server(runtime, &runtime->workers[0], fd, http_metrics_handle);
}

bool
servers_bind(struct runtime *runtime)
{
    const struct options *options = &runtime->options;
    if (options->unix_domain_socket.len > 0) {
        if (!bind_unix(runtime))
            return false;
    } else {
        for (size_t i = 0; i < options->listen_addresses.count; i++)
            if (!bind_tcp(runtime, options->listen_addresses.items[i], options->http_port,
                          http_api_handle))
                return false;
    }
    if (options->has_public_port &&
        !bind_tcp(runtime, options->public_address, options->public_port, http_public_handle))
        return false;
    if (runtime->serves_metrics && !bind_metrics(runtime))
        return false;
    log_info("dapr.runtime", "HTTP server is running on port %u", options->http_port);
    return true;
}

void
servers_unlink(struct runtime *runtime)
{
    char path[512];
    if (runtime->options.unix_domain_socket.len == 0)
        return;
    socket_path(runtime, path, sizeof path);
    (void)unlink(path); /* it may never have been made */
}
