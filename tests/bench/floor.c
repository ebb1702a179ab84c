/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick of benchmarks: an HTTP server in bare C that answers every request with the bytes
 * of a file (a recorded answer of the sidecar), on one epoll loop. It parses just enough to find
 * where a request ends. What the operating system costs is in it, and nothing else.
 *
 * floor PORT FILE
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/slice.h"

enum { FDS_MAX = 20000, ANSWER_BYTES_MAX = 1 << 20, REQUEST_BYTES_MAX = 64 * 1024 };

static char answer[ANSWER_BYTES_MAX];
static size_t answer_len;
static char input[REQUEST_BYTES_MAX];
static size_t body_left[FDS_MAX]; /* by fd: bytes of a request body still to come */
static int epoll_fd;

static void
die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void
watch(int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

static size_t
content_length(const char *head, size_t len)
{
    const char *p = memmem(head, len, "Content-Length: ", 16);
    size_t length = 0;
    for (p = p == NULL ? "" : p + 16; *p >= '0' && *p <= '9'; p++)
        length = length * 10 + (size_t)(*p - '0');
    return length;
}

/* A head comes in one piece from the client that measures. */
static void
on_input(int fd)
{
    ssize_t n = recv(fd, input, sizeof input, 0);
    if (n <= 0) {
        close(fd);
        return;
    }
    size_t len = (size_t)n;
    if (body_left[fd] == 0) {
        const char *end = memmem(input, len, "\r\n\r\n", 4);
        if (end == NULL) {
            close(fd);
            return;
        }
        size_t head_len = (size_t)(end - input) + 4;
        body_left[fd] = content_length(input, head_len);
        len -= head_len;
    }
    body_left[fd] -= len < body_left[fd] ? len : body_left[fd];
    if (body_left[fd] == 0 && send(fd, answer, answer_len, MSG_NOSIGNAL) < 0)
        close(fd);
}

static void
on_connection(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (fd >= FDS_MAX) {
        close(fd);
        return;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    body_left[fd] = 0;
    watch(fd);
}

static int
listen_on(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1024) != 0)
        die("listen");
    return fd;
}

int
main(int argc, char **argv)
{
    uint64_t port = 0;
    FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (file == NULL || !slice_to_u64(slice_str(argv[1]), &port) || port > UINT16_MAX)
        die("usage: floor PORT FILE");
    answer_len = fread(answer, 1, sizeof answer, file);
    fclose(file);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on((uint16_t)port);
    watch(listener);
    for (;;) {
        static struct epoll_event events[1024];
        int n = epoll_wait(epoll_fd, events, 1024, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                on_connection(listener);
            else
                on_input(events[i].data.fd);
        }
    }
}
