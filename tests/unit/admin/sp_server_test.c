/* SPDX-License-Identifier: Apache-2.0 */
/* The carrier of the admin socket and the event feed, byte for byte and with libnng. */
#include "admin/sp_server.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "rig.h"

/* --- bytes -------------------------------------------------------------------------------------*/

TEST(the_socket_is_for_its_owner_only)
{
    struct rig rig = { 0 };
    struct stat info;
    rig_open(&rig, rig_rep(&rig));
    REQUIRE(stat(rig.path, &info) == 0);
    CHECK_EQ_INT(info.st_mode & 0777, 0600);
    rig_close(&rig);
}

TEST(a_request_is_answered_with_its_own_numbers)
{
    struct rig rig = { 0 };
    char bytes[100];
    rig_open(&rig, rig_rep(&rig));
    int fd = rig_connect(&rig);
    rig_turn(&rig);
    CHECK_EQ_INT(rig_receive(fd, bytes, sizeof bytes), 8);
    CHECK_EQ_MEM(bytes, 8, GREETING_REP, 8);
    rig_send(fd, GREETING_REQ, 8);
    rig_send(fd, "\1\0\0\0\0\0\0\0\6\x80\0\0\5hi", 15);
    rig_turn(&rig);
    CHECK_EQ_INT(rig_receive(fd, bytes, sizeof bytes), 15);
    CHECK_EQ_MEM(bytes, 15, "\1\0\0\0\0\0\0\0\6\x80\0\0\5hi", 15);
    close(fd);
    rig_turn(&rig);
    CHECK_EQ_INT(sp_server_clients(rig.server), 0);
    rig_close(&rig);
}

TEST(bytes_may_come_one_by_one)
{
    struct rig rig = { 0 };
    char bytes[100];
    const char sent[] = GREETING_REQ "\1\0\0\0\0\0\0\0\6\x80\0\0\5hi";
    rig_open(&rig, rig_rep(&rig));
    int fd = rig_connect(&rig);
    for (size_t i = 0; i < sizeof sent - 1; i++) {
        rig_send(fd, sent + i, 1);
        rig_turn(&rig);
    }
    CHECK_EQ_INT(rig_receive(fd, bytes, sizeof bytes), 8 + 15);
    close(fd);
    rig_close(&rig);
}

TEST(several_requests_in_one_packet_are_all_answered)
{
    struct rig rig = { 0 };
    char bytes[200];
    rig_open(&rig, rig_rep(&rig));
    int fd = rig_greet(&rig, GREETING_REQ);
    for (int i = 0; i < 5; i++)
        rig_send(fd, "\1\0\0\0\0\0\0\0\5\x80\0\0\5x", 14);
    rig_turn(&rig);
    CHECK_EQ_INT(rig_receive(fd, bytes, sizeof bytes), 5 * 14);
    CHECK_EQ_INT(rig.messages, 5);
    close(fd);
    rig_close(&rig);
}

TEST(whoever_breaks_the_framing_is_closed)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        { "GET / HTTP/1.1\r\n\r\n", 18 },
        { "\0SP\0\0\x10\0\0", 8 },                           /* PAIR0 */
        { GREETING_REP, 8 },                                 /* a replier */
        { GREETING_REQ "\2\0\0\0\0\0\0\0\4\x80\0\0\1", 21 }, /* not a message */
        { GREETING_REQ "\1\0\0\0\0\0\1\0\1", 17 },           /* too long, by its header alone */
        { GREETING_REQ "\1\xff\xff\xff\xff\xff\xff\xff\xff", 17 } /* likewise */,
        { GREETING_REQ "\1\0\0\0\0\0\0\0\0", 17 },         /* no number */
        { GREETING_REQ "\1\0\0\0\0\0\0\0\4\0\0\0\1", 21 }, /* not a last one */
    };
    struct rig rig = { 0 };
    rig_open(&rig, rig_rep(&rig));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char bytes[64];
        int fd = rig_connect(&rig);
        rig_send(fd, cases[i].bytes, cases[i].len);
        rig_turn(&rig);
        (void)rig_receive(fd, bytes, sizeof bytes); /* the greeting */
        if (!CHECK(rig_is_closed(fd)))
            fprintf(stderr, "  case %zu\n", i);
        close(fd);
    }
    CHECK_EQ_INT(sp_server_clients(rig.server), 0);
    rig_close(&rig);
}

TEST(a_request_of_exactly_the_limit_is_taken)
{
    struct rig rig = { 0 };
    static char message[64 * 1024], bytes[80 * 1024];
    rig_open(&rig, rig_rep(&rig));
    int fd = rig_greet(&rig, GREETING_REQ);
    message[0] = (char)0x80;
    rig_send(fd, "\1\0\0\0\0\0\1\0\0", 9);
    for (size_t at = 0; at < sizeof message; at += 8192) {
        rig_send(fd, message + at, 8192);
        rig_turn(&rig);
    }
    CHECK_EQ_INT(rig_receive(fd, bytes, sizeof bytes), sizeof message + 9);
    close(fd);
    rig_close(&rig);
}

TEST(half_frames_left_behind_harm_nobody)
{
    struct rig rig = { 0 };
    char bytes[64];
    rig_open(&rig, rig_rep(&rig));
    for (int i = 0; i < 100; i++) {
        int fd = rig_connect(&rig);
        rig_send(fd, GREETING_REQ "\1\0\0\0\0\0\0\0\6\x80\0", (size_t)(i % 19) + 1);
        if (i % 2 == 0)
            rig_turn(&rig);
        close(fd);
    }
    rig_turn(&rig);
    CHECK_EQ_INT(sp_server_clients(rig.server), 0);
    int fd = rig_greet(&rig, GREETING_REQ);
    rig_send(fd, "\1\0\0\0\0\0\0\0\5\x80\0\0\5x", 14);
    rig_turn(&rig);
    CHECK_EQ_INT(rig_receive(fd, bytes, sizeof bytes), 14);
    close(fd);
    rig_close(&rig);
}

/* --- places ------------------------------------------------------------------------------------*/

TEST(when_all_places_are_taken_a_stranger_gives_way_first)
{
    struct rig rig = { 0 };
    int fds[9];
    rig_open(&rig, rig_rep(&rig));
    fds[0] = rig_greet(&rig, GREETING_REQ);
    for (int i = 1; i < 9; i++)
        fds[i] = rig_connect(&rig);
    rig_turn(&rig);
    CHECK_EQ_INT(sp_server_clients(rig.server), 8);
    CHECK(!rig_is_closed(fds[0]));
    char bytes[64];
    CHECK_EQ_INT(rig_receive(fds[1], bytes, sizeof bytes), 8); /* the greeting; then the end */
    CHECK(rig_is_closed(fds[1]));
    CHECK(!rig_is_closed(fds[8]));
    for (int i = 0; i < 9; i++)
        close(fds[i]);
    rig_close(&rig);
}

TEST(among_members_the_longest_silent_gives_way)
{
    struct rig rig = { 0 };
    int fds[9];
    char bytes[64];
    rig_open(&rig, rig_rep(&rig));
    for (int i = 0; i < 8; i++)
        fds[i] = rig_greet(&rig, GREETING_REQ);
    rig_send(fds[0], "\1\0\0\0\0\0\0\0\5\x80\0\0\5x", 14); /* now the second is the oldest */
    rig_turn(&rig);
    CHECK_EQ_INT(rig_receive(fds[0], bytes, sizeof bytes), 14);
    fds[8] = rig_greet(&rig, GREETING_REQ);
    CHECK(!rig_is_closed(fds[0]));
    CHECK(rig_is_closed(fds[1]));
    for (int i = 0; i < 9; i++)
        close(fds[i]);
    rig_close(&rig);
}

TEST(subscribers_keep_their_places)
{
    struct rig rig = { 0 };
    int fds[8];
    char bytes[64];
    rig_open(&rig, rig_pub(&rig));
    for (int i = 0; i < 8; i++)
        fds[i] = rig_greet(&rig, GREETING_SUB);
    int late = rig_connect(&rig);
    rig_turn(&rig);
    CHECK(rig_is_closed(late));
    sp_server_broadcast(rig.server, SLICE("news"));
    for (int i = 0; i < 8; i++) {
        CHECK_EQ_INT(rig_receive(fds[i], bytes, sizeof bytes), 13);
        close(fds[i]);
    }
    close(late);
    rig_close(&rig);
}

/* It has been let in, so to it everything that happens from then on is news. */
TEST(who_has_greeted_is_told_though_it_was_not_its_turn)
{
    struct rig rig = { 0 };
    char bytes[64];
    rig_open(&rig, rig_pub(&rig));
    int fd = rig_connect(&rig), silent = rig_connect(&rig);
    rig_turn(&rig);
    CHECK_EQ_INT(rig_receive(fd, bytes, sizeof bytes), 8); /* its greeting */
    CHECK_EQ_INT(rig_receive(silent, bytes, sizeof bytes), 8);
    rig_send(fd, GREETING_SUB, 8);
    sp_server_broadcast(rig.server, SLICE("news"));
    CHECK_EQ_INT(rig_receive(fd, bytes, sizeof bytes), 13);
    CHECK(rig_receive(silent, bytes, sizeof bytes) <= 0);
    CHECK(!rig_is_closed(silent));
    close(fd);
    close(silent);
    rig_close(&rig);
}

TEST(silence_ends_a_connection)
{
    struct rig rig = { 0 };
    struct sp_server_config config = rig_rep(&rig);
    rig_open(&rig, config);
    clock_fake(1000000000, 0);
    int stranger = rig_connect(&rig);
    int member = rig_greet(&rig, GREETING_REQ);
    char bytes[64];
    CHECK_EQ_INT(rig_receive(stranger, bytes, sizeof bytes), 8);
    clock_advance_ms(5000);
    while (sp_server_clients(rig.server) == 2) /* the tick is on the loop's own clock */
        ev_run(rig.loop, EVRUN_ONCE);
    CHECK(rig_is_closed(stranger));
    CHECK(!rig_is_closed(member));
    clock_advance_ms(55000);
    while (sp_server_clients(rig.server) == 1)
        ev_run(rig.loop, EVRUN_ONCE);
    CHECK(rig_is_closed(member));
    clock_use_real();
    close(stranger);
    close(member);
    rig_close(&rig);
}

/* --- what is queued ----------------------------------------------------------------------------*/

TEST(a_client_that_does_not_read_is_asked_nothing_more)
{
    struct rig rig = { 0 };
    static char request[9 + 32 * 1024];
    rig_open(&rig, rig_rep(&rig));
    int fd = rig_greet(&rig, GREETING_REQ);
    memcpy(request, "\1\0\0\0\0\0\0\x80\0\x80", 10);
    size_t at = 0, sent = 0;
    for (int idle = 0; idle < 10;) {
        ssize_t got = send(fd, request + at, sizeof request - at, MSG_NOSIGNAL);
        idle = got < 0 ? idle + 1 : 0;
        sent += got < 0 ? 0 : (size_t)got;
        at = got < 0 ? at : (at + (size_t)got) % sizeof request;
        rig_turn(&rig);
        REQUIRE(sent < (size_t)64 * 1024 * 1024);
    }
    unsigned before = rig.messages;
    rig_turn(&rig);
    CHECK_EQ_INT(rig.messages, before);
    static char bytes[1024 * 1024];
    while (rig_receive(fd, bytes, sizeof bytes) > 0)
        rig_turn(&rig); /* as it reads again, it is served again */
    CHECK(rig.messages > before);
    close(fd);
    rig_close(&rig);
}

TEST(a_slow_subscriber_loses_messages_and_nobody_waits)
{
    struct rig rig = { 0 };
    static char news[1000];
    static char bytes[2000];
    rig_open(&rig, rig_pub(&rig));
    int slow = rig_greet(&rig, GREETING_SUB), quick = rig_greet(&rig, GREETING_SUB);
    unsigned quick_got = 0, slow_got = 0;
    for (int i = 0; i < 2000; i++) {
        sp_server_broadcast(rig.server, slice_of(news, sizeof news));
        quick_got += rig_receive(quick, bytes, 1009) == 1009;
    }
    CHECK_EQ_INT(quick_got, 2000);
    while (rig_receive(slow, bytes, 1009) == 1009) {
        slow_got++;
        rig_turn(&rig);
    }
    CHECK(slow_got > 10 && slow_got < 2000);
    sp_server_broadcast(rig.server, SLICE("again"));
    CHECK_EQ_INT(rig_receive(slow, bytes, sizeof bytes), 9 + 5);
    close(slow);
    close(quick);
    rig_close(&rig);
}

TEST(a_subscriber_has_nothing_to_say)
{
    struct rig rig = { 0 };
    rig_open(&rig, rig_pub(&rig));
    int fd = rig_greet(&rig, GREETING_SUB);
    rig_send(fd, "\1\0\0\0\0\0\0\0\1x", 10);
    rig_turn(&rig);
    CHECK(rig_is_closed(fd));
    close(fd);
    rig_close(&rig);
}

/* --- libnng ------------------------------------------------------------------------------------*/

/* One REQ of libnng: asked and answered. */
static void
ask_with_nng(const char *path, const char *text)
{
    nng_socket socket;
    char url[240];
    snprintf(url, sizeof url, "ipc://%s", path);
    REQUIRE(nng_req0_open(&socket) == 0);
    REQUIRE(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, 10000) == 0);
    REQUIRE(nng_dial(socket, url, NULL, 0) == 0);
    for (int i = 0; i < 3; i++) {
        char *answer;
        size_t len;
        REQUIRE(nng_send(socket, (void *)(uintptr_t)text, strlen(text), 0) == 0);
        REQUIRE(nng_recv(socket, &answer, &len, NNG_FLAG_ALLOC) == 0);
        CHECK_EQ_MEM(answer, len, text, strlen(text));
        nng_free(answer, len);
    }
    nng_close(socket);
}

TEST(a_requester_of_libnng_is_answered)
{
    struct rig rig = { 0 };
    rig_open(&rig, rig_rep(&rig));
    rig_start_thread(&rig);
    ask_with_nng(rig.path, "hello");
    ask_with_nng(rig.path, "again");
    rig_close(&rig);
    CHECK_EQ_INT(rig.messages, 6);
}

/* What wedges libnng's own listener. */
TEST(ten_thousand_that_only_knock_disturb_nobody)
{
    struct rig rig = { 0 };
    rig_open(&rig, rig_rep(&rig));
    rig_start_thread(&rig);
    for (int i = 0; i < 10000; i++)
        close(rig_connect(&rig));
    ask_with_nng(rig.path, "still there");
    rig_close(&rig);
}

static void
publish_some(struct rig *rig)
{
    for (int i = 0; i < 3; i++)
        sp_server_broadcast(rig->server, slice_of("\x08\x01", 2));
    sp_server_broadcast(rig->server, slice_of("\x08\x02", 2));
}

TEST(a_subscriber_of_libnng_gets_what_it_subscribed)
{
    struct rig rig = { .on_order = publish_some };
    nng_socket socket;
    char url[240], *news;
    size_t len;
    rig_open(&rig, rig_pub(&rig));
    rig_start_thread(&rig);
    snprintf(url, sizeof url, "ipc://%s", rig.path);
    REQUIRE(nng_sub0_open(&socket) == 0);
    REQUIRE(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, 100) == 0);
    REQUIRE(nng_socket_set(socket, NNG_OPT_SUB_SUBSCRIBE, "\x08\x02", 2) == 0);
    REQUIRE(nng_dial(socket, url, NULL, 0) == 0);
    int result = NNG_ETIMEDOUT;
    for (int i = 0; i < 100 && result == NNG_ETIMEDOUT; i++) {
        ev_async_send(rig.loop, &rig.order);
        result = nng_recv(socket, &news, &len, NNG_FLAG_ALLOC);
    }
    REQUIRE(result == 0);
    CHECK_EQ_MEM(news, len, "\x08\x02", 2);
    nng_free(news, len);
    nng_close(socket);
    rig_close(&rig);
}

TEST(without_descriptors_it_waits_and_comes_back)
{
    struct rig rig = { 0 };
    struct rlimit old, none;
    rig_open(&rig, rig_rep(&rig));
    REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
    int fd = rig_connect(&rig);
    none = old;
    none.rlim_cur = (rlim_t)fd + 1; /* all below are in use */
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    rig_turn(&rig);
    CHECK_EQ_INT(sp_server_clients(rig.server), 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
    while (sp_server_clients(rig.server) == 0)
        ev_run(rig.loop, EVRUN_ONCE);
    close(fd);
    rig_close(&rig);
}
