/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface watches sockets through the loop: it asks for watchers and a timer, and
 * is told what happened. See transfer.h.
 */
#include "transfer.h"

#include <ev.h>
#include <remora_plugin.h>
#include <stdlib.h>

static CURLM *multi;
static ev_timer timer;

static void
finish_done(void)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(multi, &left)) != NULL;) {
        struct transfer *transfer = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer->on_done(transfer, code);
    }
}

static void
on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
    int running;
    curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_done();
}

static void
on_socket(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    int running;
    int bits = ((events & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
               ((events & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(multi, watcher->fd, bits, &running);
    finish_done();
}

static int
set_timer(CURLM *handle, long timeout_ms, void *arg)
{
    (void)handle, (void)arg;
    ev_timer_stop(remora_loop(), &timer);
    if (timeout_ms >= 0) {
        ev_timer_set(&timer, (double)timeout_ms / 1000, 0);
        ev_timer_start(remora_loop(), &timer);
    }
    return 0;
}

static int
set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy, (void)arg;
    ev_io *watcher = socket_arg;
    if (watcher != NULL)
        ev_io_stop(remora_loop(), watcher);
    if (what == CURL_POLL_REMOVE) {
        free(watcher);
        return 0;
    }
    if (watcher == NULL) {
        watcher = calloc(1, sizeof *watcher);
        if (watcher == NULL)
            abort();
        ev_init(watcher, on_socket);
        curl_multi_assign(multi, fd, watcher);
    }
    ev_io_set(watcher, fd,
              ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                  ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
    ev_io_start(remora_loop(), watcher);
    return 0;
}

bool
transfer_setup(long connections_per_host)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || (multi = curl_multi_init()) == NULL)
        return false;
    ev_timer_init(&timer, on_timer, 0, 0);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections_per_host);
    return true;
}

void
transfer_init(struct transfer *transfer, void (*on_done)(struct transfer *transfer, CURLcode code))
{
    *transfer = (struct transfer){ .easy = curl_easy_init(), .on_done = on_done };
    if (transfer->easy == NULL)
        abort();
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(transfer->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(transfer->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(transfer->easy, CURLOPT_NOSIGNAL, 1L);
}

void
transfer_trust(struct transfer *transfer, bool skips_verification)
{
    const char *file = getenv("SSL_CERT_FILE"), *path = getenv("SSL_CERT_DIR");
    curl_easy_setopt(transfer->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (file != NULL)
        curl_easy_setopt(transfer->easy, CURLOPT_CAINFO, file);
    if (path != NULL)
        curl_easy_setopt(transfer->easy, CURLOPT_CAPATH, path);
    if (skips_verification) {
        curl_easy_setopt(transfer->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(transfer->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

void
transfer_start(struct transfer *transfer)
{
    curl_multi_add_handle(multi, transfer->easy);
}

void
transfer_end(struct transfer *transfer)
{
    if (transfer->easy == NULL)
        return;
    curl_multi_remove_handle(multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
}

const char *
transfer_error(const struct transfer *transfer, CURLcode code)
{
    return *transfer->error != '\0' ? transfer->error : curl_easy_strerror(code);
}
