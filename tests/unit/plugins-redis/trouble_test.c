/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store when things go wrong: servers that are away, frozen, hostile, or want a password; and
 * what a call then says of its effect.
 */
#include "redis_server.h"
#include "store_calls.h"

static const struct field quick[] = { { "redisMinRetryInterval", "5ms" },
                                      { "dialTimeout", "300ms" },
                                      { "readTimeout", "300ms" },
                                      { 0 } };

/* For what must not end by the time it takes, and for what only waits for a connection briefly. */
static const struct field patient[] = {
    { "redisMinRetryInterval", "5ms" }, { "dialTimeout", "60s" }, { "readTimeout", "60s" }, { 0 }
};
static const struct field brief[] = {
    { "redisMinRetryInterval", "5ms" }, { "dialTimeout", "300ms" }, { "readTimeout", "60s" }, { 0 }
};

static const char *
host_of(uint16_t port)
{
    static char host[4][64];
    static unsigned next;
    char *text = host[next++ % 4];
    snprintf(text, sizeof host[0], "127.0.0.1:%u", port);
    return text;
}

#define NEED_REDIS()                                                                               \
    if (!redis_server_is_installed())                                                              \
    SKIP("redis-server not installed")

/* --- servers that are away ---------------------------------------------------------------------*/

TEST(init_fails_in_the_references_words_when_nobody_listens)
{
    uint16_t port = free_port();
    char wanted[256];
    snprintf(wanted, sizeof wanted,
             "redis store: error connecting to redis at 127.0.0.1:%u: dial tcp 127.0.0.1:%u: "
             "connect: connection refused",
             port, port);
    remora_call *call = init_at(host_of(port), patient);
    CHECK_EQ_STR(call->failure.message, wanted);
    fake_free(call);
}

TEST(init_fails_for_a_host_that_does_not_exist)
{
    failed(init_at("no-such-host.invalid:1", patient), REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED,
           "lookup no-such-host.invalid: ");
}

TEST(init_ends_when_the_sidecar_waits_no_longer)
{
    struct remora_pair host = { fake_slice("redisHost"), fake_slice("127.0.0.1:1") };
    remora_call *call = fake_call();
    store_init(call, &(struct remora_config){ .metadata = &host, .metadata_count = 1 });
    fake_run_for(0.05);
    CHECK_EQ_INT(call->replies, 0);
    call->on_cancel(call, call->on_cancel_arg);
    failed(call, REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED, "connection refused");
    fake_run_for(0.05);
}

TEST(a_host_name_is_looked_up)
{
    NEED_REDIS();
    struct redis_server server;
    char host[64];
    redis_server_start(&server);
    snprintf(host, sizeof host, "localhost:%u", server.port);
    struct store *store = open_at(host, patient);
    set_ok(store, item("k", "1"));
    store_close(store);
    redis_server_stop(&server);
}

/* The server is back: the store finds that out after a pause between attempts. */
static void
wait_served(struct store *store)
{
    bool is_served = false;
    for (unsigned i = 0; i < 100 && !is_served; i++) {
        fake_run_for(0.1);
        remora_call *call = set(store, item("served", "1"));
        is_served = call->ok;
        fake_free(call);
    }
    CHECK(is_served);
}

TEST(a_store_survives_the_servers_restart)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_start(&server);
    struct store *store = open_at(host_of(server.port), brief);
    set_ok(store, item("k", "1"));
    redis_server_stop(&server);
    fake_run_for(0.05);
    failed(get(store, "k"), REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, "connection refused");
    failed(set(store, item("k", "2")), REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT,
           "connection refused");
    redis_server_start_more(&server, NULL);
    wait_served(store);
    get_is(store, "k", NULL, NULL);
    set_ok(store, item("k", "2"));
    store_close(store);
    redis_server_stop(&server);
}

TEST(calls_wait_for_a_server_that_comes_back)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_start(&server);
    struct store *store = open_at(host_of(server.port), NULL);
    redis_server_stop(&server);
    fake_run_for(0.05);
    struct remora_state_set first = item("k", "1"), second = item("k", "2");
    remora_call *calls[3] = { start_set(store, &first), start_set(store, &second),
                              start_get(store, "k") };
    fake_run_for(0.05);
    redis_server_start_more(&server, NULL);
    CHECK(fake_wait(calls[0])->ok);
    CHECK(fake_wait(calls[1])->ok);
    CHECK(fake_wait(calls[2])->ok);
    CHECK_EQ_STR(calls[2]->values[0].value, "2");
    for (size_t i = 0; i < 3; i++)
        fake_free(calls[i]);
    store_close(store);
    redis_server_stop(&server);
}

TEST(a_waiting_call_ends_at_its_own_deadline)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_start(&server);
    struct store *store = open_at(host_of(server.port), patient);
    redis_server_stop(&server);
    fake_run_for(0.05);
    remora_call *call = fake_call();
    call->time_left_ms = 50;
    ev_tstamp start = ev_time();
    state_get(call, store, &(struct remora_state_get){ .key = fake_slice("k") });
    failed(fake_wait(call), REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, "is not available");
    CHECK(ev_time() - start < 30.0);
    store_close(store);
}

TEST(waiting_calls_are_bounded)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_start(&server);
    struct store *store = open_at(host_of(server.port), quick);
    redis_server_stop(&server);
    fake_run_for(0.05);
    remora_call **calls = calloc(CONN_WAITING_MAX + 1, sizeof(void *));
    for (size_t i = 0; i <= CONN_WAITING_MAX; i++)
        calls[i] = start_get(store, "k");
    CHECK_EQ_INT(calls[CONN_WAITING_MAX]->failure.code, REMORA_RESOURCE_EXHAUSTED);
    CHECK_EQ_INT(calls[CONN_WAITING_MAX]->failure.effect, REMORA_EFFECT_NOT_SENT);
    for (size_t i = 0; i <= CONN_WAITING_MAX; i++)
        fake_free(fake_wait(calls[i]));
    free(calls);
    store_close(store);
}

TEST(a_frozen_server_times_out_and_a_write_may_have_happened)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_start(&server);
    struct store *store = open_at(host_of(server.port), quick);
    kill(server.pid, SIGSTOP);
    struct remora_state_set wanted = item("k", "1");
    remora_call *write = start_set(store, &wanted), *read = start_get(store, "k");
    failed(fake_wait(write), REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN, "i/o timeout");
    failed(fake_wait(read), REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED, "i/o timeout");
    /* Its kernel still accepts connections, but nobody greets back. */
    failed(set(store, item("k", "2")), REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT,
           "is not available");
    kill(server.pid, SIGCONT);
    wait_served(store);
    store_close(store);
    redis_server_stop(&server);
}

TEST(a_dropped_connection_is_made_again_at_once)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_start(&server);
    struct store *store = open_at(host_of(server.port), NULL);
    for (unsigned i = 0; i < 3; i++) {
        redis_cli(&server, "client kill type normal");
        fake_run_for(0.02);
        set_ok(store, item("k", "1"));
    }
    store_close(store);
    redis_server_stop(&server);
}

/* --- passwords ---------------------------------------------------------------------------------*/

TEST(a_password_is_needed_sent_and_never_shown)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_prepare(&server);
    redis_server_start_more(&server, (const char *[]){ "--requirepass", "s3cret-word", NULL });
    const char *host = host_of(server.port);
    failed(init_at(host, patient), REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED,
           "NOAUTH Authentication required.");
    remora_call *call = init_at(host, (struct field[]){ { "redisPassword", "wr0ng-word" }, { 0 } });
    CHECK(strstr(call->failure.message, "wr0ng-word") == NULL);
    failed(call, REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED,
           "WRONGPASS invalid username-password pair or user is disabled.");
    struct store *store = open_at(host,
                                  (struct field[]){ { "redisPassword", "s3cret-word" }, { 0 } });
    set_ok(store, item("k", "1"));
    redis_cli(&server, "-a s3cret-word --no-auth-warning acl setuser me on '>mine' '~*' '+@all'");
    struct store *other = open_at(
        host, (struct field[]){ { "redisUsername", "me" }, { "redisPassword", "mine" }, { 0 } });
    get_is(other, "k", "1", "1");
    redis_server_stop(&server);
    fake_run_for(0.1);
    CHECK(strstr(fake_log, "no connection") != NULL);
    CHECK(strstr(fake_log, "s3cret-word") == NULL);
    store_close(store);
    store_close(other);
}

TEST(a_user_without_rights_is_told_so)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_start(&server);
    redis_cli(&server, "acl setuser reader on '>r' '~app*' '+hgetall' '+ping' '+info'");
    struct store *store = open_at(
        host_of(server.port),
        (struct field[]){ { "redisUsername", "reader" }, { "redisPassword", "r" }, { 0 } });
    get_is(store, "app||k", NULL, NULL);
    failed(get(store, "other"), REMORA_INTERNAL, REMORA_EFFECT_FAILED, "NOPERM");
    failed(set(store, item("app||k", "1")), REMORA_INTERNAL, REMORA_EFFECT_FAILED, "NOPERM");
    store_close(store);
    redis_server_stop(&server);
}

/* --- replicas ----------------------------------------------------------------------------------*/

static bool
replica_is_linked(const struct redis_server *server)
{
    return strstr(redis_cli(server, "info replication"), "state=online") != NULL;
}

/* Whether strong writes, which take a second each, held up who reads beside them. */
static bool
holds_up(struct store *store, const struct remora_state_set *wanted)
{
    ev_tstamp start = ev_time();
    remora_call *calls[3] = { start_set(store, wanted), start_set(store, wanted),
                              start_set(store, wanted) };
    get_is(store, "missing", NULL, NULL);
    bool is_late = ev_time() - start >= 0.5;
    for (size_t i = 0; i < 3; i++) {
        CHECK(fake_wait(calls[i])->ok);
        fake_free(calls[i]);
    }
    CHECK(ev_time() - start > 0.9);
    return is_late;
}

TEST(a_strong_write_waits_for_the_replicas)
{
    NEED_REDIS();
    struct redis_server master, replica;
    char port[8];
    redis_server_prepare(&master);
    redis_server_start_more(&master, (const char *[]){ "--repl-diskless-sync-delay", "0", NULL });
    snprintf(port, sizeof port, "%u", master.port);
    redis_server_prepare(&replica);
    redis_server_start_more(&replica, (const char *[]){ "--replicaof", "127.0.0.1", port, NULL });
    for (unsigned i = 0; i < 2000 && !replica_is_linked(&master); i++)
        short_pause();
    struct store *store = open_at(host_of(master.port), NULL);
    CHECK_EQ_INT(link_replicas(store->link, NULL), 1);
    struct remora_state_set wanted = item("k", "1");
    wanted.consistency = REMORA_STRONG;
    set_ok(store, wanted);
    CHECK_EQ_STR(redis_cli(&replica, "hget k data"), "1");
    /* A replica that does not answer holds a strong write up for a second, and nothing else. */
    kill(replica.pid, SIGSTOP);
    bool is_held_up = true;
    for (unsigned times = 0; times < 5 && is_held_up; times++) /* so may the machine do */
        is_held_up = holds_up(store, &wanted);
    CHECK(!is_held_up);
    struct remora_state_operation op = { .set = wanted };
    remora_call *call = fake_call();
    state_transact(call, store, &op, 1, NULL, 0);
    CHECK(fake_wait(call)->ok);
    fake_free(call);
    store_close(store);
    redis_server_stop(&master);
    kill(replica.pid, SIGCONT);
    redis_server_stop(&replica);
}

TEST(a_replica_refuses_writes_and_was_not_changed)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_start(&server);
    struct store *store = open_at(host_of(server.port), NULL);
    redis_cli(&server, "replicaof 127.0.0.1 1");
    failed(set(store, item("k", "1")), REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, "READONLY");
    redis_cli(&server, "replicaof no one");
    set_ok(store, item("k", "1"));
    store_close(store);
    redis_server_stop(&server);
}

/* --- hostile servers ---------------------------------------------------------------------------*/

struct hostile {
    pid_t pid;
    uint16_t port;
};

/* Another process that gives each connection to `serve`. */
static struct hostile
hostile_start(void (*serve)(int fd))
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(fd, (struct sockaddr *)&address, len) == 0);
    REQUIRE(listen(fd, 16) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    struct hostile hostile = { .pid = fork(), .port = ntohs(address.sin_port) };
    REQUIRE(hostile.pid >= 0);
    if (hostile.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        for (;;) {
            int peer = accept(fd, NULL, NULL);
            serve(peer);
            close(peer);
        }
    }
    close(fd);
    return hostile;
}

static void
hostile_stop(struct hostile *hostile)
{
    kill(hostile->pid, SIGKILL);
    waitpid(hostile->pid, NULL, 0);
}

static void
say(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

/* One command, however long; true until the end of the connection. */
static bool
hear(int fd)
{
    char data[65536];
    return read(fd, data, sizeof data) > 0;
}

static void
hear_until_gone(int fd)
{
    while (hear(fd))
        continue;
}

static void
speak_http(int fd)
{
    hear(fd);
    say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
    hear_until_gone(fd);
}

static void
say_nothing(int fd)
{
    hear_until_gone(fd);
}

static void
announce_too_much(int fd)
{
    hear(fd);
    say(fd, "$99999999999\r\n");
    hear_until_gone(fd);
}

static void
answer_unasked(int fd)
{
    say(fd, "+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n");
    hear_until_gone(fd);
}

static void
close_at_once(int fd)
{
    hear(fd);
}

static void
load(int fd)
{
    hear(fd);
    say(fd, "-LOADING Redis is loading the dataset in memory\r\n");
    hear_until_gone(fd);
}

TEST(init_fails_clearly_with_servers_that_are_no_redis)
{
    static const struct {
        void (*serve)(int fd);
        const char *words;
    } cases[] = {
        { speak_http, "does not speak the protocol" },
        { say_nothing, "i/o timeout" },
        { announce_too_much, "does not speak the protocol" },
        { answer_unasked, "answered what was not asked" },
        { close_at_once, "EOF" },
        { load, "LOADING Redis is loading" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hostile hostile = hostile_start(cases[i].serve);
        const struct field *fields = cases[i].serve == say_nothing ? quick : patient;
        failed(init_at(host_of(hostile.port), fields), REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED,
               cases[i].words);
        hostile_stop(&hostile);
    }
}

/* PING; five SCRIPT LOAD, JSON.GET, INFO. */
static void
greet(int fd)
{
    hear(fd);
    say(fd, "+PONG\r\n");
    hear(fd);
    say(fd, "+a\r\n+b\r\n+c\r\n+d\r\n+e\r\n-ERR unknown\r\n$0\r\n\r\n");
}

static void
trickle(int fd)
{
    greet(fd);
    hear(fd);
    for (unsigned i = 0; i < 1000; i++) {
        say(fd, i == 0 ? "*1000\r\n" : ":1\r\n"); /* 20 s */
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    }
}

TEST(a_reply_that_trickles_is_no_reply_in_time)
{
    struct hostile hostile = hostile_start(trickle);
    struct store *store = open_at(host_of(hostile.port), quick);
    ev_tstamp start = ev_time();
    failed(get(store, "k"), REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED, "i/o timeout");
    CHECK(ev_time() - start < 10.0);
    store_close(store);
    hostile_stop(&hostile);
}

static void
break_off(int fd)
{
    greet(fd);
    hear(fd);
    say(fd, "*4\r\n$4\r\ndata\r\n$1000\r\nabc");
}

TEST(half_a_reply_is_none)
{
    struct hostile hostile = hostile_start(break_off);
    struct store *store = open_at(host_of(hostile.port), patient);
    failed(get(store, "k"), REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED, "connection lost: EOF");
    store_close(store);
    hostile_stop(&hostile);
}

static void
stop_reading(int fd)
{
    greet(fd);
    nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
}

TEST(a_write_that_did_not_leave_whole_was_not_sent)
{
    struct hostile hostile = hostile_start(stop_reading);
    struct store *store = open_at(host_of(hostile.port), patient);
    size_t len = 32 << 20;
    char *value = calloc(1, len);
    struct remora_state_set small = item("k", "1"), large = item("k", "");
    large.value = (struct remora_slice){ value, len };
    remora_call *first = start_set(store, &small), *second = start_set(store, &large);
    failed(fake_wait(first), REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN, "connection lost");
    failed(fake_wait(second), REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT, "connection lost");
    free(value);
    store_close(store);
    hostile_stop(&hostile);
}

static void
count_and_close(int fd)
{
    const char *path = getenv("COUNT_FILE");
    REQUIRE(path != NULL);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)!write(log, "x", 1);
    close(log);
    greet(fd);
}

TEST(a_server_that_closes_what_it_accepted_is_not_hammered)
{
    char path[300];
    snprintf(path, sizeof path, "%s/count", test_dir());
    setenv("COUNT_FILE", path, 1);
    struct hostile hostile = hostile_start(count_and_close);
    struct store *store = open_at(host_of(hostile.port), patient);
    size_t count = 0;
    for (unsigned i = 0; i < 5 || (i < 100 && count < 2); i++) {
        fake_run_for(0.1);
        char data[1000];
        FILE *file = fopen(path, "r");
        REQUIRE(file != NULL);
        count = fread(data, 1, sizeof data, file);
        fclose(file);
    }
    CHECK(count >= 2 && count < 20);
    store_close(store);
    hostile_stop(&hostile);
}

static void
lie(int fd)
{
    greet(fd);
    hear(fd);
    say(fd, ":5\r\n");
    hear(fd);
    say(fd, "+OK\r\n");
    hear(fd);
    say(fd, ":77\r\n");
    hear(fd);
    say(fd, "*1\r\n:1\r\n");
    hear(fd);
    say(fd, "*3\r\n$4\r\ndata\r\n:1\r\n$7\r\nversion\r\n");
    hear_until_gone(fd);
}

TEST(answers_of_the_wrong_type_are_errors)
{
    struct hostile hostile = hostile_start(lie);
    struct store *store = open_at(host_of(hostile.port), patient);
    failed(get(store, "k"), REMORA_INTERNAL, REMORA_EFFECT_FAILED, "something else");
    failed(set(store, item("k", "1")), REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN, "something else");
    struct remora_state_operation op = { .set = item("k", "1") };
    remora_call *call = fake_call();
    state_transact(call, store, &op, 1, NULL, 0);
    failed(fake_wait(call), REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN, "something else");
    call = fake_call();
    state_keys_like(call, store, fake_slice("%"), 10, fake_slice(""));
    failed(fake_wait(call), REMORA_INTERNAL, REMORA_EFFECT_FAILED, "something else");
    failed(get(store, "k"), REMORA_INTERNAL, REMORA_EFFECT_FAILED, "was not found");
    store_close(store);
    hostile_stop(&hostile);
}

TEST(a_store_may_be_closed_while_connecting)
{
    NEED_REDIS();
    struct redis_server server;
    redis_server_start(&server);
    struct store *store = open_at(host_of(server.port), patient);
    redis_server_stop(&server);
    fake_run_for(0.1);
    store_close(store);
    fake_run_for(0.1);
}
