/* SPDX-License-Identifier: Apache-2.0 */
/* AMQP URIs: what they mean, and that nothing of a bad one is repeated. */
#include "plugins/rabbitmq/address.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

TEST(a_uri_is_read_as_the_reference_reads_it)
{
    static const struct {
        const char *uri, *shown, *username, *password, *vhost;
    } cases[] = {
        { "amqp://", "amqp://localhost:5672", "guest", "guest", "/" },
        { "amqp://mq", "amqp://mq:5672", "guest", "guest", "/" },
        { "AMQPS://mq/", "amqps://mq:5671", "guest", "guest", "/" },
        { "amqp://me@mq:1", "amqp://mq:1", "me", "guest", "/" },
        { "amqp://me:@mq", "amqp://mq:5672", "me", "", "/" },
        { "amqp://a%40b:p%3aq%2F@mq/%2f", "amqp://mq:5672", "a@b", "p:q/", "/" },
        { "amqp://a:b@c@mq/v/w", "amqp://mq:5672", "a", "b@c", "v/w" },
        { "amqps://[::1]:5/v?heartbeat=5", "amqps://[::1]:5", "guest", "guest", "v" },
        { "amqp://[fe80::1]", "amqp://[fe80::1]:5672", "guest", "guest", "/" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address;
        char why[WHY_BYTES] = "";
        CHECK(address_parse(slice(cases[i].uri), &address, why));
        CHECK_EQ_STR(why, "");
        CHECK_EQ_STR(address.shown, cases[i].shown);
        CHECK_EQ_STR(address.username, cases[i].username);
        CHECK_EQ_STR(address.password, cases[i].password);
        CHECK_EQ_STR(address.vhost, cases[i].vhost);
        address_fini(&address);
    }
}

TEST(a_bad_uri_is_refused_without_a_word_of_it)
{
    static const struct {
        const char *uri, *why;
    } cases[] = {
        { "", "AMQP scheme must be either 'amqp://' or 'amqps://'" },
        { "http://hidden@mq", "AMQP scheme must be either 'amqp://' or 'amqps://'" },
        { "amqp:/hidden", "AMQP scheme must be either 'amqp://' or 'amqps://'" },
        { "amqp://hidden @mq", "URI must not contain whitespace" },
        { "amqp://a:hidden%2@mq", "invalid URL escape in the credentials" },
        { "amqp://a:hidden%00@mq", "invalid URL escape in the credentials" },
        { "amqp://a:hidden@mq:0", "invalid port after host" },
        { "amqp://a:hidden@mq:65536", "invalid port after host" },
        { "amqp://a:hidden@mq:x", "invalid port after host" },
        { "amqp://hidden:a:b", "invalid port after host" },
        { "amqp://a:hidden@[::1", "missing ']' in host" },
        { "amqp://a:hidden@[::1]x", "missing ']' in host" },
        { "amqp://a:hidden@m\"q", "invalid character in host name" },
        { "amqp://a:hidden@mq/%zz", "invalid URL escape in the path" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address;
        char why[WHY_BYTES] = "";
        CHECK(!address_parse(slice(cases[i].uri), &address, why));
        CHECK_EQ_STR(why, cases[i].why);
        CHECK(strstr(why, "hidden") == NULL);
    }
}

TEST(lengths_are_bounded)
{
    static char uri[CONNECTION_STRING_BYTES_MAX + 10];
    char why[WHY_BYTES];
    struct address address;
    memset(uri, 'a', sizeof uri);
    memcpy(uri, "amqp://", 7);
    CHECK(!address_parse((struct remora_slice){ uri, sizeof uri }, &address, why));
    CHECK_EQ_STR(why, "the URI is too long");
    CHECK(!address_parse((struct remora_slice){ uri, 7 + 254 }, &address, why));
    CHECK_EQ_STR(why, "the host's name is too long");
    CHECK(address_parse((struct remora_slice){ uri, 7 + 253 }, &address, why));
    address_fini(&address);
    uri[8] = '/';
    CHECK(!address_parse((struct remora_slice){ uri, 9 + 256 }, &address, why));
    CHECK_EQ_STR(why, "the virtual host's name is too long");
}

TEST(parts_make_an_address_too)
{
    struct address address;
    char why[WHY_BYTES];
    struct remora_slice none = { "", 0 };
    CHECK(address_from_parts(slice("amqps"), slice("mq:7"), slice("me"), slice("p@:/ w"), &address,
                             why));
    CHECK_EQ_STR(address.shown, "amqps://mq:7");
    CHECK_EQ_STR(address.username, "me");
    CHECK_EQ_STR(address.password, "p@:/ w");
    address_fini(&address);
    CHECK(address_from_parts(slice("amqp"), slice("mq"), none, slice("alone"), &address, why));
    CHECK_EQ_STR(address.username, "guest");
    CHECK_EQ_STR(address.password, "guest");
    address_fini(&address);
    CHECK(!address_from_parts(slice("fakeprotocol"), slice("mq"), none, none, &address, why));
    CHECK_EQ_STR(why, "AMQP scheme must be either 'amqp://' or 'amqps://'");
    CHECK(!address_from_parts(slice("amqp"), slice("a b"), none, none, &address, why));
}
