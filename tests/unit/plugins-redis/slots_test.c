/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and slots of a Redis Cluster, and what servers say of them. */
#include "fake_sdk.h"
#include "plugins/redis/slots.h"

static unsigned
slot(const char *key)
{
    return slots_of_key(fake_slice(key));
}

TEST(keys_are_hashed_as_the_specification_says)
{
    CHECK_EQ_INT(slot("123456789"), 0x31c3); /* the vector of the specification */
    CHECK_EQ_INT(slot(""), 0);
    CHECK_EQ_INT(slot("foo"), 12182);
    CHECK_EQ_INT(slot("bar"), 5061);
    CHECK_EQ_INT(slot("hello"), 866);
}

TEST(what_stands_in_braces_is_hashed_alone)
{
    CHECK_EQ_INT(slot("{user1000}.following"), slot("user1000"));
    CHECK_EQ_INT(slot("{user1000}.followers"), slot("user1000"));
    CHECK(slot("foo{}{bar}") != slot("bar"));          /* the first braces are empty */
    CHECK_EQ_INT(slot("foo{{bar}}zap"), slot("{bar")); /* up to the first closing one */
    CHECK_EQ_INT(slot("foo{bar}{zap}"), slot("bar"));
    CHECK(slot("foo{bar") != slot("bar"));
    CHECK(slot("}foo{") != slot("foo"));
}

static struct resp_value values[8192];
static struct slots_map map;
static char why[SLOTS_WHY_BYTES];

static const struct resp_value *
tree(const char *reply)
{
    struct resp_scan scan = { 0 };
    REQUIRE(resp_scan(&scan, reply, strlen(reply)) == RESP_COMPLETE);
    REQUIRE(scan.values <= sizeof values / sizeof values[0]);
    return resp_tree(reply, values);
}

static bool
parse(const char *reply)
{
    why[0] = '\0';
    return slots_parse(tree(reply), "10.0.0.9", &map, why);
}

#define NODE(HOST, PORT) "*3\r\n$9\r\n" HOST "\r\n:" PORT "\r\n$2\r\nid\r\n"

TEST(a_map_is_read_with_its_replicas)
{
    REQUIRE(parse("*3\r\n*4\r\n:0\r\n:99\r\n" NODE("127.1.1.1", "7000")
                      NODE("127.1.1.2", "7001") "*3\r\n:200\r\n:16383\r\n" NODE(
                          "10.1.1.22", "7002") "*3\r\n:100\r\n:100\r\n" NODE("127.1.1.1", "7000")));
    CHECK_EQ_INT(map.server_count, 2);
    CHECK_EQ_STR(map.servers[0].address.host, "10.0.0.9"); /* its own loopback leads nowhere here */
    CHECK_EQ_STR(map.servers[0].address.port, "7000");
    CHECK_EQ_INT(map.servers[0].replicas, 1);
    CHECK_EQ_STR(map.servers[1].address.host, "10.1.1.22");
    CHECK_EQ_INT(map.servers[1].replicas, 0);
    CHECK_EQ_INT(map.at[0], 0);
    CHECK_EQ_INT(map.at[100], 0);
    CHECK_EQ_INT(map.at[101], -1);
    CHECK_EQ_INT(map.at[16383], 1);
    slots_map_fini(&map);
}

TEST(a_server_without_a_name_is_where_we_asked)
{
    REQUIRE(parse("*3\r\n*3\r\n:0\r\n:1\r\n*4\r\n$-1\r\n:7000\r\n$2\r\nid\r\n*0\r\n"
                  "*3\r\n:2\r\n:3\r\n*2\r\n$0\r\n\r\n:7001\r\n"
                  "*3\r\n:4\r\n:5\r\n*2\r\n$1\r\n?\r\n:7002\r\n"));
    CHECK_EQ_INT(map.server_count, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ_STR(map.servers[i].address.host, "10.0.0.9");
    slots_map_fini(&map);
}

TEST(hostile_maps_are_refused)
{
    static const char *const bad[] = {
        "*0\r\n",
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:-1\r\n:1\r\n" NODE("127.1.1.1", "7000"),
        "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE("127.1.1.1", "7000"),
        "*1\r\n*3\r\n:9\r\n:8\r\n" NODE("127.1.1.1", "7000"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("127.1.1.1", "0"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("127.1.1.1", "65536"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("127 1.1.1", "7000"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("a\r\nb/../c", "7000"),
        "*2\r\n*3\r\n:0\r\n:5\r\n" NODE("127.1.1.1", "7000") "*3\r\n:5\r\n:6\r\n" NODE("127.1.1.1",
                                                                                       "7001"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!parse(bad[i]));
        CHECK(why[0] != '\0');
    }
}

TEST(there_are_at_most_1024_servers_with_names_of_253_bytes)
{
    for (unsigned count = 1024; count <= 1025; count++) {
        struct resp_buf reply = { 0 };
        char text[400], name[255];
        snprintf(text, sizeof text, "*%u\r\n", count);
        resp_buf_append(&reply, text, strlen(text));
        memset(name, 'n', sizeof name);
        name[count == 1024 ? 253 : 3] = '\0';
        for (unsigned i = 0; i < count; i++) {
            snprintf(text, sizeof text, "*3\r\n:%u\r\n:%u\r\n*2\r\n$%zu\r\n%s\r\n:%u\r\n", i, i,
                     strlen(name), name, 1 + i);
            resp_buf_append(&reply, text, strlen(text));
        }
        resp_buf_append(&reply, "", 1);
        CHECK_EQ_INT(parse(reply.data), count == 1024);
        if (count == 1024) {
            CHECK_EQ_INT(map.server_count, 1024);
            CHECK_EQ_INT(map.at[1023], 1023);
            slots_map_fini(&map);
        }
        resp_buf_fini(&reply);
    }
    char long_name[300], reply[400];
    memset(long_name, 'n', 254);
    long_name[254] = '\0';
    snprintf(reply, sizeof reply, "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$254\r\n%s\r\n:1\r\n", long_name);
    CHECK(!parse(reply));
}

TEST(redirections_are_read)
{
    unsigned where;
    struct slots_address address;
    CHECK_EQ_INT(
        slots_parse_redirection(tree("-MOVED 3999 10.0.0.2:6381\r\n"), "o", &where, &address),
        SLOTS_MOVED);
    CHECK_EQ_INT(where, 3999);
    CHECK_EQ_STR(address.host, "10.0.0.2");
    CHECK_EQ_STR(address.port, "6381");
    CHECK_EQ_INT(slots_parse_redirection(tree("-ASK 0 fe80::1:6381\r\n"), "o", &where, &address),
                 SLOTS_ASK);
    CHECK_EQ_STR(address.host, "fe80::1");
    CHECK_EQ_INT(slots_parse_redirection(tree("-MOVED 1 :6381\r\n"), "o", &where, &address),
                 SLOTS_MOVED);
    CHECK_EQ_STR(address.host, "o");
    static const char *const none[] = {
        "-ERR no\r\n",           "-MOVED\r\n",        "-MOVED 1\r\n",        "-MOVED  \r\n",
        "-MOVED 16384 h:1\r\n",  "-MOVED -1 h:1\r\n", "-MOVED 1 h:0\r\n",    "-MOVED 1 h:99999\r\n",
        "-MOVED 1 h\r\n",        "-ASK 1 h:1x\r\n",   "-MOVED 1 h/..:1\r\n", "+MOVED 1 h:1\r\n",
        "-MOVED 111111 h:1\r\n",
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK_EQ_INT(slots_parse_redirection(tree(none[i]), "o", &where, &address), SLOTS_NONE);
}
