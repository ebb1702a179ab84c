/* SPDX-License-Identifier: Apache-2.0 */
/* Our own records: which names they get, and what cannot be told. The packets themselves are
 * compared with recorded ones in tests/integration/mdns_test.py. */
#include "plugins/mdns/service.h"

#include "test.h"

/* A test runs on the stack of the process, which has room. */
#pragma GCC diagnostic ignored "-Wframe-larger-than="

static struct remora_slice
text(const char *string)
{
    return (struct remora_slice){ string, strlen(string) };
}

static struct remora_instance
instance(const char *app_id, const char *address, const char *host, uint16_t port)
{
    return (struct remora_instance){ .app_id = text(app_id),
                                     .namespace_ = text(""),
                                     .host_address = text(address),
                                     .host_name = text(host),
                                     .internal_port = port,
                                     .pid = 4711 };
}

TEST(names_are_made_of_host_pid_and_app)
{
    struct service service;
    const char *error;
    struct remora_instance own = instance("back", "10.0.0.1", "vm", 50002);
    REQUIRE(service_init(&service, &own, &error));
    CHECK_EQ_STR(service.type.text, "back.local");
    CHECK_EQ_STR(service.instance.text, "vm:4711.back.local");
    CHECK_EQ_STR(service.host.text, "vm.local");
    CHECK_EQ_STR(service.address_text, "10.0.0.1:50002");
    CHECK_EQ_INT(service.address_type, DNS_A);
    own = instance("back", "fd00::1", "vm.example.org", 50002);
    REQUIRE(service_init(&service, &own, &error));
    CHECK_EQ_STR(service.instance.text, "vm.example.org:4711.back.local");
    CHECK_EQ_STR(service.address_text, "[fd00::1]:50002");
    CHECK_EQ_INT(service.address_type, DNS_AAAA);
}

TEST(a_long_host_name_leaves_room_for_the_pid)
{
    struct service service;
    struct dns_writer writer;
    const char *error;
    char host[64];
    memset(host, 'h', 63);
    host[63] = '\0';
    struct remora_instance own = instance("back", "10.0.0.1", host, 1);
    REQUIRE(service_init(&service, &own, &error));
    CHECK_EQ_INT(strchr(service.instance.text, '.') - service.instance.text, DNS_LABEL_BYTES);
    CHECK(strstr(service.instance.text, "hhh:4711.back.local") != NULL);
    service_announce(&service, false, &writer);
    CHECK(!writer.is_full);
    own = instance("back", "10.0.0.1", "bad..name", 1);
    REQUIRE(service_init(&service, &own, &error));
    CHECK_EQ_STR(service.host.text, "localhost.local");
}

TEST(what_cannot_be_told_says_why)
{
    static const char long_id[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    const struct {
        struct remora_instance own;
        const char *error;
    } cases[] = {
        { instance(long_id, "10.0.0.1", "vm", 1), "the app id cannot be a name in multicast DNS" },
        { instance("", "10.0.0.1", "vm", 1), "the app id cannot be a name in multicast DNS" },
        { instance("a..b", "10.0.0.1", "vm", 1), "the app id cannot be a name in multicast DNS" },
        { instance("back", "10.0.0.1", "vm", 0), "the sidecar has no internal port" },
        { instance("back", "some.host", "vm", 1), "the host address is no IP address" },
        { instance("back", "", "vm", 1), "the host address is no IP address" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct service service;
        const char *error = "";
        CHECK(!service_init(&service, &cases[i].own, &error));
        CHECK_EQ_STR(error, cases[i].error);
    }
}

TEST(only_our_own_goodbye_is_taken_back)
{
    struct service ours, other;
    struct dns_writer writer;
    const char *error;
    struct remora_instance own = instance("back", "10.0.0.1", "vm", 1);
    REQUIRE(service_init(&ours, &own, &error));
    own.pid = 4712;
    REQUIRE(service_init(&other, &own, &error));
    service_announce(&ours, true, &writer);
    CHECK(service_is_taken_back(&ours, writer.data, writer.len));
    CHECK(!service_is_taken_back(&other, writer.data, writer.len));
    service_announce(&ours, false, &writer);
    CHECK(!service_is_taken_back(&ours, writer.data, writer.len));
    CHECK(!service_is_taken_back(&ours, writer.data, 5));
}
