/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that mean harm: each loses its own connection, soon, while an innocent one on the same
 * server goes on being answered.
 */
#include "h2_client.h"

enum { FLOOD_BYTES = 4 * 1024 * 1024 };

static unsigned begun, ended;

static void
handle(struct http_exchange *x)
{
    begun++;
    if (slice_eq(x->path, SLICE("/wait"))) {
        err_t err = task_sleep(x->task, 3600000); /* until it is cancelled */
        (void)err;
    }
    (void)http_reply(x, 200, NULL, 0, SLICE("ok"));
    ended++;
}

static struct rig rig;
static struct h2_client innocent;
static int fd; /* the attacker's */
static char *flood;
static size_t flood_len;

static void
add(unsigned type, unsigned flags, uint32_t id, const void *payload, size_t len)
{
    REQUIRE(flood_len + 9 + len <= FLOOD_BYTES);
    flood_len += h2_frame(flood + flood_len, type, flags, id, payload, len);
}

static void
start(void)
{
    begun = ended = 0;
    rig_start(&rig, NULL, handle, NULL);
    h2_client_start(&innocent, &rig);
    CHECK_EQ_INT(h2_client_get(&innocent, "/")->status, 200);
    fd = rig_connect(&rig);
    flood = malloc(FLOOD_BYTES);
    REQUIRE(flood != NULL);
    memcpy(flood, H2_PREFACE, sizeof H2_PREFACE - 1);
    flood_len = sizeof H2_PREFACE - 1;
    add(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

/* The attacker has been cut off, the innocent has not, and nothing is left behind. */
static void
stop(void)
{
    static char rest[256 * 1024];
    if (!h2_flood(&rig, fd, flood, flood_len))
        CHECK(rig_receive(&rig, fd, rest, sizeof rest, NULL) < sizeof rest);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 1);
    CHECK_EQ_INT(h2_client_get(&innocent, "/")->status, 200);
    (void)close(fd);
    RIG_UNTIL(&rig, h1_server_connections(rig.server) == 1 && begun == ended);
    free(flood);
    h2_client_stop(&innocent);
    rig_stop(&rig);
}

/* :method GET, :scheme http, :path /wait, :authority x */
static const char head[] = "\x82\x86\x04\x05/wait\x41\x01x";

TEST(a_flood_of_resets_is_cut_off)
{
    start();
    static const char cancel[] = { 0, 0, 0, NGHTTP2_CANCEL };
    for (uint32_t i = 0; i < 20000; i++) {
        add(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 2 * i + 1, head,
            sizeof head - 1);
        add(NGHTTP2_RST_STREAM, 0, 2 * i + 1, cancel, sizeof cancel);
    }
    stop();
    CHECK(begun < 10); /* what is reset at once is not begun */
}

TEST(resets_that_follow_later_are_cut_off_too)
{
    start();
    static const char cancel[] = { 0, 0, 0, NGHTTP2_CANCEL };
    for (uint32_t i = 0; i < 20000; i++) {
        add(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 2 * i + 1, head,
            sizeof head - 1);
        if (i >= 10)
            add(NGHTTP2_RST_STREAM, 0, 2 * i - 19, cancel, sizeof cancel);
    }
    stop();
    CHECK(begun < 5000);
}

TEST(a_flood_of_pings_is_cut_off)
{
    start();
    for (int i = 0; i < 50000; i++)
        add(NGHTTP2_PING, 0, 0, "12345678", 8);
    stop();
}

TEST(a_flood_of_settings_is_cut_off)
{
    start();
    for (int i = 0; i < 50000; i++)
        add(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    stop();
}

TEST(a_flood_of_priorities_is_cut_off)
{
    start();
    for (uint32_t i = 0; i < 50000; i++)
        add(NGHTTP2_PRIORITY, 0, 2 * i + 1, "\0\0\0\0\1", 5);
    stop();
}

TEST(a_flood_of_empty_data_is_cut_off)
{
    start();
    add(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, head, sizeof head - 1);
    for (int i = 0; i < 50000; i++)
        add(NGHTTP2_DATA, 0, 1, NULL, 0);
    stop();
}

TEST(a_head_that_never_ends_is_cut_off)
{
    start();
    add(NGHTTP2_HEADERS, 0, 1, head, sizeof head - 1);
    for (int i = 0; i < 20000; i++)
        add(NGHTTP2_CONTINUATION, 0, 1, "\x00\x01y\x01z", 5);
    stop();
}

TEST(a_head_that_unpacks_to_very_much_is_cut_off)
{
    start();
    /* One long header into the table, then thousands of references to it, in many streams. */
    static char block[12000];
    size_t len = sizeof head - 1;
    memcpy(block, head, len);
    memcpy(block + len, "\x40\x01y\x7f\x81\x1e", 6); /* a value of 127 + 1 + 30 * 128 bytes */
    len += 6;
    memset(block + len, 'v', 3968);
    len += 3968;
    memset(block + len, 0xbe, sizeof block - len);
    for (uint32_t i = 0; i < 300; i++)
        add(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 2 * i + 1, block,
            sizeof block);
    CHECK(!h2_flood(&rig, fd, flood, flood_len)); /* each of them is refused, nobody is called */
    CHECK_EQ_U64(begun, 1);
    flood_len = 0;
    add(NGHTTP2_PING, 0, 1, "", 0); /* and a protocol error to end it */
    stop();
}

TEST(more_than_a_window_of_data_resets_its_stream)
{
    start();
    static char data[16384];
    add(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, head, sizeof head - 1);
    for (int i = 0; i < 100; i++)
        add(NGHTTP2_DATA, 0, 1, data, sizeof data);
    CHECK(!h2_flood(&rig, fd, flood, flood_len));
    RIG_UNTIL(&rig, begun == 2 && ended == 2);
    flood_len = 0;
    add(NGHTTP2_PING, 0, 1, "", 0);
    stop();
}

TEST(streams_beyond_the_limit_are_refused_and_the_rest_go_on)
{
    start();
    for (uint32_t i = 0; i < LIMIT_h2_streams_max + 500; i++)
        add(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 2 * i + 1, head,
            sizeof head - 1);
    CHECK(!h2_flood(&rig, fd, flood, flood_len));
    rig_turn(&rig);
    CHECK_EQ_U64(begun, LIMIT_h2_streams_max + 1);
    CHECK_EQ_INT(h2_client_get(&innocent, "/")->status, 200);
    flood_len = 0;
    add(NGHTTP2_PING, 0, 1, "", 0);
    stop();
}

TEST(garbage_behind_the_preface_is_cut_off)
{
    start();
    memset(flood + flood_len, 0xff, 1000);
    flood_len += 1000;
    stop();
}

TEST(frames_that_are_too_long_are_cut_off)
{
    start();
    static char data[40000];
    add(NGHTTP2_DATA, 0, 1, data, sizeof data);
    stop();
}

/* A client that comes back, again and again. */
TEST(after_several_cuts_new_connections_are_allowed_less)
{
    start();
    for (int i = 0; i < 1000; i++)
        add(NGHTTP2_PING, 0, 0, "12345678", 8);
    size_t modest_len = flood_len;
    CHECK(!h2_flood(&rig, fd, flood, flood_len)); /* as things are, that many are fine */
    for (int i = 0; i < 2000; i++)
        add(NGHTTP2_PING, 0, 0, "12345678", 8);
    for (unsigned i = 0; i <= LIMIT_h2_cuts_burst; i++) {
        (void)close(fd);
        fd = rig_connect(&rig);
        if (!h2_flood(&rig, fd, flood, flood_len))
            RIG_UNTIL(&rig, h1_server_connections(rig.server) == 1);
    }
    (void)close(fd);
    fd = rig_connect(&rig);
    flood_len = modest_len;
    stop(); /* which sees it cut */
}

TEST(a_client_that_reads_nothing_holds_little)
{
    start();
    /* Pings want answers; the socket fills, and nobody reads. */
    for (int i = 0; i < 1900; i++)
        add(NGHTTP2_PING, 0, 0, "12345678", 8);
    rig_send_mem(&rig, fd, flood, flood_len);
    rig_turn(&rig);
    CHECK_EQ_INT(h2_client_get(&innocent, "/")->status, 200);
    flood_len = 0;
    add(NGHTTP2_PING, 0, 1, "", 0);
    stop();
}
