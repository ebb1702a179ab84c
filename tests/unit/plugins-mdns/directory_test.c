/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of others, for how long, and when the network is asked again. */
#include "plugins/mdns/directory.h"

#include "plugins/mdns/service.h"
#include "test.h"

static struct directory directory;
static char found[INSTANCES_MAX][ADDRESS_BYTES];

static struct remora_slice
text(const char *string)
{
    return (struct remora_slice){ string, strlen(string) };
}

static struct service
make_service(const char *app_id, const char *address, uint16_t port, uint32_t pid)
{
    struct service service;
    const char *error;
    const struct remora_instance instance = { .app_id = text(app_id),
                                              .namespace_ = text(""),
                                              .host_address = text(address),
                                              .host_name = text("vm"),
                                              .internal_port = port,
                                              .pid = pid };
    REQUIRE(service_init(&service, &instance, &error));
    return service;
}

/* The network says that it is there, or has gone. */
static void
announce(const struct service *service, bool is_goodbye, uint64_t now)
{
    struct dns_writer writer;
    service_announce(service, is_goodbye, &writer);
    REQUIRE(!writer.is_full);
    directory_take(&directory, writer.data, writer.len, 3, now);
}

TEST(what_nobody_asks_for_is_not_kept)
{
    struct service back = make_service("back", "10.0.0.1", 1, 1);
    announce(&back, false, 1);
    CHECK_EQ_U64(directory.count, 0);
    struct app *app = directory_get(&directory, text("back"), 1);
    announce(&back, false, 2);
    CHECK_EQ_U64(app_addresses(app, 3, found), 1);
    CHECK_EQ_STR(found[0], "10.0.0.1:1");
    directory_fini(&directory);
}

TEST(an_instance_lives_a_minute_and_a_goodbye_takes_a_second)
{
    struct service back = make_service("back", "10.0.0.1", 1, 1);
    struct app *app = directory_get(&directory, text("back"), 1);
    announce(&back, false, 1000);
    CHECK(app_has_address(app, 1000 + LIFE_MS - 1));
    CHECK(!app_has_address(app, 1000 + LIFE_MS));
    announce(&back, true, 2000);
    CHECK(app_has_address(app, 2000 + GOODBYE_MS - 1));
    CHECK(!app_has_address(app, 2000 + GOODBYE_MS));
    announce(&back, false, 2500); /* taken back in time */
    CHECK(app_has_address(app, 2500 + LIFE_MS - 1));
    directory_expire(&directory, 2500 + LIFE_MS);
    CHECK_EQ_U64(app->instance_count, 0);
    announce(&back, true, 90000); /* a goodbye of the unknown makes nothing */
    CHECK_EQ_U64(app->instance_count, 0);
    directory_fini(&directory);
}

TEST(the_network_is_asked_again_before_what_is_wanted_ends)
{
    struct service back = make_service("back", "10.0.0.1", 1, 1);
    struct app *app = directory_get(&directory, text("back"), 1000);
    announce(&back, false, 1000);
    app->asked_ms = 1000;
    CHECK(!app_is_due(app, 1000 + LIFE_MS - ASK_AGAIN_MS));
    CHECK(app_is_due(app, 1001 + LIFE_MS - ASK_AGAIN_MS));
    app->asked_ms = 1001 + LIFE_MS - ASK_AGAIN_MS;
    CHECK(!app_is_due(app, app->asked_ms + ASK_PAUSE_MS - 1));
    CHECK(app_is_due(app, app->asked_ms + ASK_PAUSE_MS));
    announce(&back, false, 1000 + WANTED_MS - 1000);
    CHECK(!app_is_due(app, 1001 + WANTED_MS + 40000)); /* nobody has wanted it for long */
    directory_expire(&directory, 1001 + KEEP_MS);
    CHECK_EQ_U64(directory.count, 0);
    directory_fini(&directory);
}

TEST(hosts_of_one_name_are_told_apart_by_their_packets)
{
    struct service one = make_service("back", "10.0.0.1", 1, 1);
    struct service two = make_service("back", "10.0.0.2", 2, 2);
    struct app *app = directory_get(&directory, text("back"), 1);
    announce(&one, false, 1);
    announce(&two, false, 2);
    announce(&one, false, 3);
    REQUIRE(app_addresses(app, 4, found) == 2);
    CHECK_EQ_STR(found[0], "10.0.0.1:1");
    CHECK_EQ_STR(found[1], "10.0.0.2:2");
    directory_fini(&directory);
}

TEST(who_could_not_be_reached_counts_only_where_there_is_no_other)
{
    struct service one = make_service("back", "10.0.0.1", 1, 1);
    struct service two = make_service("back", "10.0.0.2", 2, 2);
    struct app *app = directory_get(&directory, text("back"), 1);
    announce(&one, false, 1);
    announce(&two, false, 2);
    app_suspect(app, text("10.0.0.1:1"), 4);
    app_suspect(app, text("10.0.0.9:1"), 4);
    REQUIRE(app_addresses(app, 4, found) == 1);
    CHECK_EQ_STR(found[0], "10.0.0.2:2");
    app_suspect(app, text("10.0.0.2:2"), 5);
    CHECK_EQ_U64(app_addresses(app, 5, found), 2);
    announce(&one, false, 6);
    REQUIRE(app_addresses(app, 6, found) == 1);
    CHECK_EQ_STR(found[0], "10.0.0.1:1");
    CHECK(app_has_address(app, 5 + SUSPECT_MS));
    app_suspect(app, text("10.0.0.1:1"), 7);
    CHECK_EQ_U64(app_addresses(app, 4 + SUSPECT_MS, found), 2);
    CHECK_EQ_U64(app_addresses(app, 5 + SUSPECT_MS, found), 1);
    CHECK(!app_has_address(app, 7 + SUSPECT_MS));
    directory_fini(&directory);
}

TEST(who_says_goodbye_is_out_at_once_where_there_are_others)
{
    struct service one = make_service("back", "10.0.0.1", 1, 1);
    struct service two = make_service("back", "10.0.0.2", 2, 2);
    struct app *app = directory_get(&directory, text("back"), 1);
    announce(&one, false, 1);
    announce(&two, false, 1);
    announce(&one, true, 2);
    REQUIRE(app_addresses(app, 2, found) == 1);
    CHECK_EQ_STR(found[0], "10.0.0.2:2");
    announce(&one, false, 3);
    CHECK_EQ_U64(app_addresses(app, 3, found), 2);
    directory_fini(&directory);
}

TEST(addresses_of_one_link_name_the_interface)
{
    struct service link = make_service("back", "fe80::1", 1, 1);
    struct service wide = make_service("back", "fd00::1", 2, 2);
    struct app *app = directory_get(&directory, text("back"), 1);
    announce(&link, false, 1);
    announce(&wide, false, 1);
    REQUIRE(app_addresses(app, 2, found) == 2);
    CHECK_EQ_STR(found[0], "[fe80::1%3]:1");
    CHECK_EQ_STR(found[1], "[fd00::1]:2");
    directory_fini(&directory);
}

TEST(there_are_never_too_many)
{
    char name[16];
    struct app *app = directory_get(&directory, text("back"), 1);
    for (uint32_t i = 0; i < INSTANCES_MAX + 10; i++) {
        struct service back = make_service("back", "10.0.0.1", 1, i + 1);
        announce(&back, false, 1);
    }
    CHECK_EQ_U64(app->instance_count, INSTANCES_MAX);
    CHECK_EQ_U64(app_addresses(app, 2, found), INSTANCES_MAX);
    for (int i = 0; i < APPS_MAX + 10; i++) {
        (void)snprintf(name, sizeof name, "app%d", i);
        REQUIRE(directory_get(&directory, text(name), (uint64_t)i + 2) != NULL);
    }
    CHECK_EQ_U64(directory.count, APPS_MAX);
    CHECK(directory_find(&directory, text("back")) == NULL);
    CHECK(directory_find(&directory, text("app0")) == NULL);
    CHECK(directory_get(&directory, text("a..b"), 1) == NULL);
    CHECK(directory_get(&directory, text(""), 1) == NULL);
    CHECK(directory_get(&directory, (struct remora_slice){ "a\0b", 3 }, 1) == NULL);
    directory_fini(&directory);
}

TEST(queries_and_parts_do_not_count)
{
    struct service back = make_service("back", "10.0.0.1", 1, 1);
    struct app *app = directory_get(&directory, text("back"), 1);
    struct dns_writer writer;
    service_probe(&back, 1, &writer);
    directory_take(&directory, writer.data, writer.len, 3, 1);
    CHECK_EQ_U64(app->instance_count, 0);
    dns_write_start(&writer, 0, DNS_IS_RESPONSE);
    dns_write_record(&writer, &(struct dns_entry){ .section = DNS_ANSWERS,
                                                   .name = "back.local",
                                                   .type = DNS_PTR,
                                                   .class_ = DNS_CLASS_IN,
                                                   .ttl = 10,
                                                   .target = "vm:1.back.local" });
    directory_take(&directory, writer.data, writer.len, 3, 1);
    CHECK(!app_has_address(app, 2));
    REQUIRE(app_incomplete(app, 2) != NULL);
    CHECK_EQ_STR(app_incomplete(app, 2)->name.text, "vm:1.back.local");
    announce(&back, false, 2);
    CHECK(app_incomplete(app, 3) == NULL);
    CHECK(app_has_address(app, 3));
    directory_fini(&directory);
}
