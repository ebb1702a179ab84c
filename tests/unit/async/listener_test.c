/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: addresses, socket files, running out of descriptors, many short connections.
 */
#include "async/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "async/stream.h"
#include "base/log.h"
#include "unit/async/driver.h"

static struct worker worker;
static struct listener listener;
static int accepted, last_fd;
static bool keeps, closes_listener;

static void
on_accept(struct listener *self, int fd)
{
    CHECK_EQ_PTR(self, &listener);
    accepted++;
    last_fd = fd;
    if (closes_listener)
        listener_close(self);
    if (!keeps)
        close(fd);
}

static void
listen_on(int fd)
{
    REQUIRE(fd >= 0);
    accepted = 0;
    keeps = closes_listener = false;
    listener_open(&listener, &worker, fd, on_accept);
}

static int
connect_tcp(int family, const char *host, uint16_t port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    int failed;
    if (family == AF_INET) {
        REQUIRE(inet_pton(AF_INET, host, &four.sin_addr) == 1);
        failed = connect(fd, (const struct sockaddr *)&four, sizeof four);
    } else {
        REQUIRE(inet_pton(AF_INET6, host, &six.sin6_addr) == 1);
        failed = connect(fd, (const struct sockaddr *)&six, sizeof six);
    }
    if (failed != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static struct sockaddr_un
unix_address(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    REQUIRE(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    return address;
}

static int
connect_unix(const char *path)
{
    struct sockaddr_un address = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool
has_ipv6(void)
{
    int fd = listener_bind_tcp(SLICE("::1"), 0, false);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void
accept_one(int client)
{
    REQUIRE(client >= 0);
    int before = accepted;
    DRIVE_UNTIL(&worker, accepted > before);
    close(client);
}

/* --- addresses ---------------------------------------------------------------------------------*/

TEST(an_ipv4_address_accepts_and_its_descriptors_are_ready_for_a_loop)
{
    driver_open(&worker);
    int fd = listener_bind_tcp(SLICE("127.0.0.1"), 0, false);
    uint16_t port = listener_port(fd);
    CHECK(port != 0);
    listen_on(fd);
    keeps = true;
    accept_one(connect_tcp(AF_INET, "127.0.0.1", port));
    CHECK((fcntl(last_fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(last_fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(last_fd);
    listener_close(&listener);
    listener_close(&listener); /* harmless */
    CHECK_EQ_INT(connect_tcp(AF_INET, "127.0.0.1", port), -1);
    driver_close(&worker);
}

TEST(an_ipv6_address_accepts)
{
    if (!has_ipv6())
        SKIP("no IPv6 here");
    driver_open(&worker);
    int fd = listener_bind_tcp(SLICE("::1"), 0, false);
    uint16_t port = listener_port(fd);
    listen_on(fd);
    accept_one(connect_tcp(AF_INET6, "::1", port));
    CHECK_EQ_INT(connect_tcp(AF_INET, "127.0.0.1", port), -1);
    listener_close(&listener);
    driver_close(&worker);
}

TEST(no_address_means_all_of_both_families)
{
    driver_open(&worker);
    int fd = listener_bind_tcp(SLICE_EMPTY, 0, false);
    uint16_t port = listener_port(fd);
    listen_on(fd);
    accept_one(connect_tcp(AF_INET, "127.0.0.1", port));
    if (has_ipv6())
        accept_one(connect_tcp(AF_INET6, "::1", port));
    listener_close(&listener);
    driver_close(&worker);
}

TEST(localhost_is_a_loopback_address)
{
    driver_open(&worker);
    int fd = listener_bind_tcp(SLICE("localhost"), 0, false);
    uint16_t port = listener_port(fd);
    listen_on(fd);
    accept_one(connect_tcp(AF_INET, "127.0.0.1", port));
    listener_close(&listener);
    driver_close(&worker);
}

TEST(what_cannot_be_bound_says_why)
{
    int first = listener_bind_tcp(SLICE("127.0.0.1"), 0, false);
    REQUIRE(first >= 0);
    CHECK_EQ_INT(listener_bind_tcp(SLICE("127.0.0.1"), listener_port(first), false), -1);
    CHECK_EQ_INT(errno, EADDRINUSE);
    CHECK_EQ_INT(listener_bind_tcp(SLICE("127.0.0.1"), listener_port(first), true), -1);
    close(first);
    CHECK_EQ_INT(listener_bind_tcp(SLICE("example.com"), 0, false), -1);
    CHECK_EQ_INT(errno, EINVAL);
    CHECK_EQ_INT(
        listener_bind_tcp(SLICE("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20"), 0, false),
        -1);
    CHECK_EQ_INT(errno, EINVAL);
    CHECK_EQ_INT(listener_bind_tcp(SLICE("203.0.113.7"), 0, false),
                 -1); /* not an address of ours */
    CHECK_EQ_INT(errno, EADDRNOTAVAIL);
}

TEST(workers_may_share_a_port)
{
    int first = listener_bind_tcp(SLICE("127.0.0.1"), 0, true);
    REQUIRE(first >= 0);
    int second = listener_bind_tcp(SLICE("127.0.0.1"), listener_port(first), true);
    CHECK(second >= 0);
    close(first);
    close(second);
}

/* --- socket files ------------------------------------------------------------------------------*/

static char path[256];

static const char *
socket_path(void)
{
    snprintf(path, sizeof path, "%s/s.sock", test_dir());
    return path;
}

TEST(a_socket_file_accepts_and_has_the_mode_asked_for)
{
    struct stat st;
    driver_open(&worker);
    int fd = listener_bind_unix(socket_path(), 0600);
    CHECK_EQ_INT(listener_port(fd), 0);
    REQUIRE(stat(path, &st) == 0);
    CHECK_EQ_INT(st.st_mode & 0777, 0600);
    listen_on(fd);
    accept_one(connect_unix(path));
    listener_close(&listener);
    driver_close(&worker);
}

TEST(a_stale_socket_file_is_replaced)
{
    int old = listener_bind_unix(socket_path(), 0600);
    REQUIRE(old >= 0);
    close(old);
    int fd = listener_bind_unix(path, 0666);
    CHECK(fd >= 0);
    int client = connect_unix(path);
    CHECK(client >= 0);
    close(client);
    close(fd);
}

TEST(a_socket_file_that_somebody_listens_on_is_left_alone)
{
    int old = listener_bind_unix(socket_path(), 0600);
    REQUIRE(old >= 0);
    CHECK_EQ_INT(listener_bind_unix(path, 0600), -1);
    CHECK_EQ_INT(errno, EADDRINUSE);
    int client = connect_unix(path);
    CHECK(client >= 0);
    close(client);
    close(old);
}

TEST(other_files_and_long_paths_are_refused)
{
    FILE *f = fopen(socket_path(), "w");
    REQUIRE(f != NULL);
    fclose(f);
    CHECK_EQ_INT(listener_bind_unix(path, 0600), -1);
    CHECK_EQ_INT(errno, EADDRINUSE);
    CHECK_EQ_INT(access(path, F_OK), 0);
    char long_path[200];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = '\0';
    CHECK_EQ_INT(listener_bind_unix(long_path, 0600), -1);
    CHECK_EQ_INT(errno, ENAMETOOLONG);
    CHECK_EQ_INT(listener_bind_unix("/nonexistent/s.sock", 0600), -1);
    CHECK_EQ_INT(errno, ENOENT);
}

/* --- hard times --------------------------------------------------------------------------------*/

TEST(out_of_descriptors_accepting_pauses_and_goes_on_by_itself)
{
    struct rlimit old, tight;
    log_threshold = LOG_FATAL; /* the warning is expected */
    driver_open(&worker);
    listen_on(listener_bind_unix(socket_path(), 0600));
    int client = connect_unix(path);
    REQUIRE(client >= 0);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
    tight = old;
    int lowest = dup(0);
    close(lowest);
    tight.rlim_cur = (rlim_t)lowest;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    DRIVE_UNTIL(&worker, timer_is_set(&listener.retry));
    CHECK_EQ_INT(accepted, 0);
    int rounds = 0;
    DRIVE_UNTIL(&worker, ++rounds > 5 || !timer_is_set(&listener.retry)); /* polls, not spins */
    REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
    DRIVE_UNTIL(&worker, accepted == 1);
    CHECK(!timer_is_set(&listener.retry));
    close(client);
    listener_close(&listener);
    driver_close(&worker);
    log_threshold = LOG_INFO;
}

TEST(a_listener_may_be_closed_while_it_accepts)
{
    driver_open(&worker);
    listen_on(listener_bind_unix(socket_path(), 0600));
    closes_listener = true;
    int first = connect_unix(path), second = connect_unix(path);
    DRIVE_UNTIL(&worker, accepted == 1);
    turns(&worker, 3);
    CHECK_EQ_INT(accepted, 1);
    close(first);
    close(second);
    driver_close(&worker);
}

TEST(a_paused_listener_can_be_closed)
{
    driver_open(&worker);
    listen_on(listener_bind_unix(socket_path(), 0600));
    timer_set(&worker.timers, &listener.retry, clock_now_ms() + 1000);
    listener_close(&listener);
    CHECK_EQ_U64(worker_timer_count(&worker), 0);
    driver_close(&worker);
}

static int
open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

TEST(ten_thousand_connections_that_close_at_once_leave_it_working)
{
    enum { CONNECTIONS = 10000 };
    driver_open(&worker);
    listen_on(listener_bind_unix(socket_path(), 0600));
    int before = open_descriptors();
    for (int i = 0; i < CONNECTIONS; i++) {
        int client = connect_unix(path);
        REQUIRE(client >= 0);
        close(client);
        if (i % 50 == 0)
            turns(&worker, 1);
    }
    DRIVE_UNTIL(&worker, accepted == CONNECTIONS);
    CHECK_EQ_INT(open_descriptors(), before);
    accept_one(connect_unix(path));
    listener_close(&listener);
    driver_close(&worker);
}
