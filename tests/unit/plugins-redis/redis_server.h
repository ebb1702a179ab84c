/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real redis-server of a test's own: a free port, a fresh folder, gone with the test.
 */
#ifndef TEST_REDIS_SERVER_H
#define TEST_REDIS_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "test.h"

struct redis_server {
    pid_t pid;
    uint16_t port;
    char dir[256];
};

static inline bool
redis_server_is_installed(void)
{
    return system("redis-server --version >/dev/null 2>&1") == 0;
}

/* Whether nobody listens there and no other test program has it, as long as this one runs. */
static inline bool
claim_port(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(0x7f000001) };
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int len = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "remora-test-port-%u", port);
    socklen_t name_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    int claim = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_ours = bind(claim, (struct sockaddr *)&name, name_len) == 0 &&
                   bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    if (!is_ours)
        close(claim); /* else it goes when the program ends, however it ends */
    return is_ours;
}

/* Below the range that the system takes ports of clients from: none of those is in the way. */
static inline uint16_t
free_port(void)
{
    uint16_t number = 0;
    do
        REQUIRE(getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number);
    while (!claim_port((uint16_t)(10000 + number % 22000)));
    return (uint16_t)(10000 + number % 22000);
}

static inline bool
port_answers(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(0x7f000001) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool answers = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return answers;
}

static inline void
short_pause(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

/* Starts again on the same port and folder after redis_server_stop(). */
static inline void
redis_server_start_more(struct redis_server *server, const char *const *more)
{
    char port[8];
    const char *argv[32] = { "redis-server", "--port",    port,     "--save",   "",
                             "--dir",        server->dir, "--bind", "127.0.0.1" };
    size_t count = 9;
    snprintf(port, sizeof port, "%u", server->port);
    for (; more != NULL && *more != NULL; more++)
        argv[count++] = *more;
    server->pid = fork();
    REQUIRE(server->pid >= 0);
    if (server->pid == 0) {
        int log = open("/dev/null", O_WRONLY);
        dup2(log, 1);
        dup2(log, 2);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[0], (char **)(uintptr_t)argv);
        _exit(127);
    }
    for (unsigned i = 0; i < 2000; i++) {
        if (port_answers(server->port))
            return;
        short_pause();
    }
    REQUIRE(!"redis-server came up");
}

static inline void
redis_server_prepare(struct redis_server *server)
{
    snprintf(server->dir, sizeof server->dir, "%s", test_dir());
    server->port = free_port();
}

static inline void
redis_server_start(struct redis_server *server)
{
    redis_server_prepare(server);
    redis_server_start_more(server, NULL);
}

static inline void
redis_server_stop(struct redis_server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}

/* What redis-cli says to a command line; a static buffer. */
static inline const char *
redis_cli(const struct redis_server *server, const char *words)
{
    static char answer[65536];
    char line[2300];
    snprintf(line, sizeof line, "redis-cli -p %u %s 2>&1", server->port, words);
    FILE *out = popen(line, "r");
    REQUIRE(out != NULL);
    size_t len = fread(answer, 1, sizeof answer - 1, out);
    answer[len] = '\0';
    while (len > 0 && answer[len - 1] == '\n')
        answer[--len] = '\0';
    pclose(out);
    return answer;
}

#endif
