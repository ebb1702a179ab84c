/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting from a task: literals, names, Unix sockets, and every way in which it fails. */
#include "async/connect.h"

#include <sys/socket.h>

#include "async/listener.h"
#include "async/offload.h"

#include "unit/async/driver.h"

struct dial {
    struct connect_target target;
    uint64_t timeout_ms; /* 0: none */
    struct task *task;
    err_t err;
    int fd;
    char words[256];
    bool is_over;
};

static void
dial_main(struct task *t, void *arg)
{
    struct dial *dial = arg;
    dial->fd = -1;
    (void)task_deadline_push(t, dial->timeout_ms == 0 ? UINT64_MAX : dial->timeout_ms);
    dial->err = connect_to(t, &dial->target, &dial->fd);
    struct slice words = task_diag(t)->message;
    snprintf(dial->words, sizeof dial->words, "%.*s", (int)words.len,
             words.data == NULL ? "" : words.data);
    dial->is_over = true;
}

static void
run(struct worker *worker, struct dial *dial)
{
    dial->task = task_spawn(worker, "dial", dial_main, dial);
    REQUIRE(dial->task != NULL);
    DRIVE_UNTIL(worker, dial->is_over);
}

static void
finish(struct worker *worker)
{
    DRIVE_UNTIL(worker, worker->tasks.count == 0);
    offload_fini();
    driver_close(worker);
}

TEST(literals_and_names_are_connected_to)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost" };
    struct worker worker;
    driver_open(&worker);
    int listening = listener_bind_tcp(SLICE("127.0.0.1"), 0, false);
    REQUIRE(listening >= 0);
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct dial dial = { .target = { .host = slice_str(hosts[i]),
                                         .port = listener_port(listening) } };
        run(&worker, &dial);
        CHECK_OK(dial.err);
        REQUIRE(dial.fd >= 0);
        int accepted = accept(listening, NULL, NULL);
        CHECK(accepted >= 0);
        CHECK(send(dial.fd, "x", 1, MSG_NOSIGNAL) == 1);
        char byte;
        CHECK(recv(accepted, &byte, 1, 0) == 1);
        (void)close(accepted);
        (void)close(dial.fd);
    }
    (void)close(listening);
    finish(&worker);
}

TEST(ipv6_is_connected_to)
{
    struct worker worker;
    int listening = listener_bind_tcp(SLICE("::1"), 0, false);
    if (listening < 0)
        SKIP("there is no IPv6 here");
    driver_open(&worker);
    struct dial dial = { .target = { .host = SLICE("::1"), .port = listener_port(listening) } };
    run(&worker, &dial);
    CHECK_OK(dial.err);
    (void)close(dial.fd);
    (void)close(listening);
    struct dial refused = { .target = dial.target };
    char wanted[128];
    run(&worker, &refused);
    snprintf(wanted, sizeof wanted, "dial tcp [::1]:%u: connect: connection refused",
             dial.target.port);
    CHECK_EQ_STR(refused.words, wanted);
    finish(&worker);
}

TEST(a_unix_socket_is_connected_to)
{
    struct worker worker;
    char path[256];
    driver_open(&worker);
    snprintf(path, sizeof path, "%s/s", test_dir());
    int listening = listener_bind_unix(path, 0600);
    REQUIRE(listening >= 0);
    struct dial dial = { .target = { .unix_path = slice_str(path) } };
    run(&worker, &dial);
    CHECK_OK(dial.err);
    (void)close(dial.fd);
    (void)close(listening);
    (void)unlink(path);
    struct dial gone = { .target = { .unix_path = slice_str(path) } };
    run(&worker, &gone);
    CHECK_EQ_INT(gone.err, ERR_PEER_UNREACHABLE);
    CHECK(strstr(gone.words, "connect: no such file or directory") != NULL);
    char longer[200];
    memset(longer, 'x', sizeof longer);
    struct dial too_long = { .target = { .unix_path = slice_of(longer, sizeof longer) } };
    run(&worker, &too_long);
    CHECK_EQ_INT(too_long.err, ERR_PEER_UNREACHABLE);
    finish(&worker);
}

TEST(nobody_listens_and_nobody_is_there)
{
    struct worker worker;
    char wanted[128];
    driver_open(&worker);
    int listening = listener_bind_tcp(SLICE("127.0.0.1"), 0, false);
    uint16_t port = listener_port(listening);
    (void)close(listening);
    struct dial refused = { .target = { .host = SLICE("127.0.0.1"), .port = port } };
    run(&worker, &refused);
    CHECK_EQ_INT(refused.err, ERR_PEER_UNREACHABLE);
    snprintf(wanted, sizeof wanted, "dial tcp 127.0.0.1:%u: connect: connection refused", port);
    CHECK_EQ_STR(refused.words, wanted);
    CHECK_EQ_INT(refused.fd, -1);
    struct dial none = { .target = { .host = SLICE("a name with\0a NUL"), .port = 1 } };
    run(&worker, &none);
    CHECK_EQ_INT(none.err, ERR_PEER_UNREACHABLE);
    finish(&worker);
}

/* A look-up that takes its time, as an unreachable server of names does. */
static atomic_bool may_go;

static err_t
dawdle(void *arg)
{
    (void)arg;
    while (!atomic_load(&may_go))
        usleep(1000);
    return OK;
}

static void
dawdle_main(struct task *t, void *arg)
{
    CHECK_OK(offload_run(t, dawdle, arg));
}

TEST(a_task_out_of_time_does_not_wait_for_a_look_up)
{
    struct worker worker;
    driver_open(&worker);
    atomic_store(&may_go, false);
    for (int i = 0; i < 4; i++) /* all threads that look names up are busy */
        REQUIRE(task_spawn(&worker, "dawdle", dawdle_main, NULL) != NULL);
    struct dial dial = { .target = { .host = SLICE("localhost"), .port = 1 }, .timeout_ms = 20 };
    run(&worker, &dial);
    CHECK_EQ_INT(dial.err, ERR_DEADLINE);
    atomic_store(&may_go, true);
    finish(&worker);
}
