/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sqlite plugin as a process: what it acknowledged survives its sudden death, the sync to disk
 * comes before the acknowledgement, and it stays small and fast.
 * timeout: 180
 */
#include "sqlite_peer.h"

#include <time.h>

enum { CLIENTS = 64, LOAD_MS = 3000, KILLS = 4, PSS_MAX_KIB = 5 * 1024, SAVES_MAX = 1000000 };

static const char *dir;
static char path[300];
/* Of several processes one may stand still while it holds the lock. */
static const char *const patient[] = { "connectionString", path,  "busyTimeout", "60s",
                                       "timeout",          "60s", NULL };

static uint64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
start(struct peer *peer)
{
    const char *const arguments[] = { plugin_path("sqlite"), NULL };
    peer_start(peer, dir, arguments);
    struct peer_reply reply = peer_init(peer, "state.sqlite", patient);
    if (reply.code != 0)
        fprintf(stderr, "%.*s\n", (int)reply.status.len, reply.status.data);
    REQUIRE(reply.code == 0);
}

static void
fresh(void)
{
    dir = test_dir();
    snprintf(path, sizeof path, "%s/state.db", dir);
}

static void
name_save(uint64_t call, char key[40], char value[160])
{
    snprintf(key, 40, "app||key-%" PRIu64, call * 7919 % 1000003);
    snprintf(value, 160, "{\"call\":%" PRIu64 ",\"pad\":\"%0100d\"}", call, 0);
}

static void
save_next(struct peer *peer)
{
    char key[40], value[160];
    name_save(peer->next_call, key, value);
    peer_call_set(peer, key, text(value));
}

/* CLIENTS saves are on their way at any time. Marks those acknowledged; stops at the time or when
 * the plugin is gone. Returns how many were acknowledged. */
static size_t
load(struct peer *peer, unsigned duration_ms, unsigned kill_after_ms, bool *acknowledged)
{
    uint64_t begin = now_ms();
    size_t count = 0, open = 0;
    bool is_killed = false;
    for (; open < CLIENTS; open++)
        save_next(peer);
    while (open > 0 && peer_flush(peer)) {
        struct peer_reply reply;
        /* Everything that has come, as clients would, before asking for more. */
        do {
            if (!peer_receive(peer, &reply))
                return count;
            REQUIRE(reply.call < SAVES_MAX);
            if (CHECK_EQ_INT(reply.code, 0))
                acknowledged[reply.call] = true;
            count++;
            open--;
            if (now_ms() - begin < duration_ms && peer->next_call + 2 < SAVES_MAX) {
                save_next(peer);
                open++;
            }
        } while (peer->in.len > 300);
        if (kill_after_ms > 0 && !is_killed && now_ms() - begin >= kill_after_ms) {
            is_killed = true;
            kill(peer->pid, SIGKILL);
        }
    }
    return count;
}

static uint64_t
pss_kib(pid_t pid)
{
    char name[64], line[200] = "Pss:";
    snprintf(name, sizeof name, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(name, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "Pss:", 4) == 0)
            break;
    uint64_t kib = 0;
    struct slice digits = slice_of(line + 4, strspn(line + 4, " 0123456789"));
    CHECK(slice_to_u64(slice_trim(digits), &kib));
    if (file != NULL)
        fclose(file);
    return kib;
}

static bool
is_sanitized(void)
{
#ifdef REMORA_SANITIZE
    return true;
#else
    return false;
#endif
}

TEST(sixty_four_clients_save_durably_and_the_process_stays_small)
{
    static bool acknowledged[SAVES_MAX];
    struct peer peer;
    fresh();
    start(&peer);
    uint64_t begin = now_ms();
    size_t count = load(&peer, LOAD_MS, 0, acknowledged);
    uint64_t spent = now_ms() - begin;
    uint64_t kib = pss_kib(peer.pid);
    fprintf(stderr, "  %zu durable saves in %" PRIu64 " ms: %" PRIu64 "/s; PSS %" PRIu64 " KiB\n",
            count, spent, count * 1000 / (spent > 0 ? spent : 1), kib);
    CHECK(count >= CLIENTS); /* each of them, however slow the disk is */
    if (!is_sanitized())
        CHECK(kib > 0 && kib <= PSS_MAX_KIB);
    peer_end(&peer);
}

TEST(what_was_acknowledged_survives_a_sudden_death)
{
    static bool acknowledged[SAVES_MAX];
    fresh();
    for (unsigned round = 0; round < KILLS; round++) {
        struct peer peer;
        memset(acknowledged, 0, sizeof acknowledged);
        start(&peer);
        size_t count = load(&peer, LOAD_MS, 150 + round * 130, acknowledged);
        CHECK(WIFSIGNALED(peer_end(&peer)));
        CHECK(count > 0);

        start(&peer);
        size_t checked = 0;
        for (uint64_t call = 0; call < SAVES_MAX; call++) {
            char key[40], value[160];
            if (!acknowledged[call])
                continue;
            name_save(call, key, value);
            struct peer_reply reply = peer_get(&peer, key);
            if (!CHECK_EQ_INT(reply.code, 0) || !CHECK_SLICE_IS(reply.body, value))
                break;
            checked++;
        }
        CHECK_EQ_INT(checked, count);
        peer_end(&peer);
    }
}

/* In the order of the system calls: the request is read, the WAL is written, synced, and then the
 * reply is sent. */
TEST(the_sync_comes_before_the_acknowledgement)
{
    if (access("/usr/bin/strace", X_OK) != 0)
        SKIP("strace is not installed");
    if (is_sanitized())
        SKIP("the leak checker cannot run under strace");
    struct peer peer;
    fresh();
    char trace[320];
    snprintf(trace, sizeof trace, "%s/trace", dir);
    const char *const arguments[] = { "strace",
                                      "-f",
                                      "-qq",
                                      "-s",
                                      "40",
                                      "-o",
                                      trace,
                                      "-e",
                                      "trace=fdatasync,write,sendto,sendmsg,writev",
                                      plugin_path("sqlite"),
                                      NULL };
    const char *const metadata[] = { "connectionString", path, NULL };
    peer_start(&peer, dir, arguments);
    REQUIRE(peer_init(&peer, "state.sqlite", metadata).code == 0);
    long before_sync = 0, before_reply = 0;
    char line[400];
    for (int i = 0; i < 20; i++) {
        char key[40];
        snprintf(key, sizeof key, "app||%d", i);
        peer_call_set(&peer, key, text("1"));
        struct peer_reply reply;
        REQUIRE(peer_flush(&peer) && peer_receive(&peer, &reply) && reply.code == 0);
    }
    peer_end(&peer);
    /* From the end of the trace backwards it would be the same: 20 saves one by one are 20 pairs of
     * a sync and a send to the socket, always in this order. */
    FILE *file = fopen(trace, "r");
    REQUIRE(file != NULL);
    bool is_synced = false;
    while (fgets(line, sizeof line, file) != NULL) {
        bool is_sync = strstr(line, "fdatasync(") != NULL && strstr(line, "unfinished") == NULL;
        is_sync = is_sync || strstr(line, "fdatasync resumed") != NULL;
        if (is_sync) {
            is_synced = true;
            before_sync++;
        } else if (strstr(line, "\\1\\0\\0\\0\\0\\0\\0\\0") != NULL && is_synced) {
            is_synced = false; /* an SP message */
            before_reply++;
        }
    }
    fclose(file);
    CHECK(before_sync >= 20);
    CHECK(before_reply >= 20);
}

TEST(two_processes_share_a_file)
{
    static bool acknowledged[SAVES_MAX];
    struct peer one, two;
    fresh();
    start(&one);
    start(&two);
    CHECK(load(&one, 100, 0, acknowledged) > 0);
    char value[160], key[40];
    name_save(21, key, value);
    for (int i = 0; i < 50; i++) {
        snprintf(value, sizeof value, "%d", i);
        struct peer_reply reply;
        struct peer *writer = i % 2 == 0 ? &one : &two, *reader = i % 2 == 0 ? &two : &one;
        peer_call_set(writer, key, text(value));
        REQUIRE(peer_flush(writer) && peer_receive(writer, &reply));
        CHECK_EQ_INT(reply.code, 0);
        reply = peer_get(reader, key);
        CHECK_SLICE_IS(reply.body, value);
    }
    /* Both at once: each waits for the other's locks. */
    for (int i = 0; i < 200; i++) {
        save_next(&one);
        save_next(&two);
    }
    REQUIRE(peer_flush(&one) && peer_flush(&two));
    for (int i = 0; i < 200; i++) {
        struct peer_reply reply;
        REQUIRE(peer_receive(&one, &reply));
        CHECK_EQ_INT(reply.code, 0);
        REQUIRE(peer_receive(&two, &reply));
        CHECK_EQ_INT(reply.code, 0);
    }
    peer_end(&one);
    peer_end(&two);
}

/* The tables are made, and the journal is switched, by whoever comes first. */
TEST(processes_that_open_a_new_file_at_once_all_succeed)
{
    enum { PEERS = 4, ROUNDS = 5 };
    for (int round = 0; round < ROUNDS; round++) {
        static struct peer peers[PEERS];
        const char *const arguments[] = { plugin_path("sqlite"), NULL };
        fresh();
        for (int i = 0; i < PEERS; i++)
            peer_start(&peers[i], dir, arguments);
        for (int i = 0; i < PEERS; i++) {
            peer_call_init(&peers[i], "state.sqlite", patient);
            REQUIRE(peer_flush(&peers[i]));
        }
        for (int i = 0; i < PEERS; i++) {
            struct peer_reply reply;
            REQUIRE(peer_receive(&peers[i], &reply));
            CHECK_SLICE_IS(reply.status, "");
            CHECK_EQ_INT(reply.code, 0);
        }
        for (int i = 0; i < PEERS; i++)
            peer_end(&peers[i]);
    }
}
