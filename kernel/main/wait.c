/* SPDX-License-Identifier: Apache-2.0 */
/* `remorad --wait`: a process that ends when the sidecar of this pod can be called. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime"

enum { WAIT_MS = 60000, PAUSE_MS = 100, ANSWER_MS = 1000 };

/* The status line of one GET, in `answer`; false if there was none. */
static bool
ask(uint16_t port, char *answer, size_t bytes)
{
    static const char request[] = "GET /v1.0/healthz/outbound HTTP/1.1\r\nHost: localhost\r\n"
                                  "Connection: close\r\n\r\n";
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    ssize_t got = -1;
    struct pollfd readable = { .fd = fd, .events = POLLIN };
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1 &&
        poll(&readable, 1, ANSWER_MS) == 1)
        got = read(fd, answer, bytes - 1);
    (void)close(fd); /* nothing depends on it */
    if (got <= 0)
        return false;
    answer[got] = '\0';
    return true;
}

int
wait_for_sidecar(uint16_t port)
{
    uint64_t deadline_ms = clock_now_ms() + WAIT_MS;
    char answer[256];
    while (clock_now_ms() < deadline_ms) {
        if (ask(port, answer, sizeof answer) && strncmp(answer, "HTTP/1.1 204", 12) == 0)
            return 0;
        (void)poll(NULL, 0, PAUSE_MS); /* a pause, whatever ends it */
    }
    log_fatal(SCOPE, "the sidecar on port %u was not ready within %d s", port, WAIT_MS / 1000);
    return 1;
}
