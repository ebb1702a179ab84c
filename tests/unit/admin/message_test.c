/* SPDX-License-Identifier: Apache-2.0 */
/* Facts as messages of the admin protocol. */
#include "admin/message.h"

#include "test.h"

TEST(texts_that_strict_clients_refuse_are_mended)
{
    struct arena arena;
    arena_init(&arena);
    CHECK_EQ_STR(message_text(&arena, SLICE("plain")), "plain");
    CHECK_EQ_STR(message_text(&arena, SLICE("gr\xc3\xbc\xc3\x9f"
                                            "e")),
                 "gr\xc3\xbc\xc3\x9f"
                 "e");
    CHECK_EQ_STR(message_text(&arena, SLICE("a\xffz\xc3")), "a?z?");
    CHECK_EQ_STR(message_text(&arena, SLICE("a\0b")), "a?b");
    CHECK_EQ_STR(message_text(&arena, SLICE_EMPTY), "");
    arena_fini(&arena);
}

TEST(a_plugin_is_told_in_full)
{
    struct arena arena;
    struct slice lines[] = { SLICE("first"), SLICE("sec\xffnd") };
    const struct plugin_status status = {
        .name = SLICE("redis/orders"),
        .version = SLICE("1.2"),
        .state = PLUGIN_FAILED,
        .reason = SLICE("exit code 3"),
        .last_exit = SLICE("exit code 3"),
        .sandbox_active = SLICE("seccomp"),
        .sandbox_missing = SLICE("landlock(no)"),
        .pid = 43,
        .group = 42,
        .generation = 7,
        .restarts = 6,
        .since_unix_ms = 99,
        .lines = lines,
        .line_count = 2,
    };
    arena_init(&arena);
    Remora__Admin__V1__Plugin *plugin = message_plugin(&arena, &status, NULL, true);
    CHECK_EQ_STR(plugin->name, "redis/orders");
    CHECK_EQ_STR(plugin->version, "1.2");
    CHECK_EQ_STR(plugin->state, "failed");
    CHECK_EQ_STR(plugin->reason, "exit code 3");
    CHECK_EQ_STR(plugin->sandbox, "seccomp");
    CHECK_EQ_STR(plugin->sandbox_missing, "landlock(no)");
    CHECK_EQ_INT(plugin->pid, 43);
    CHECK_EQ_INT(plugin->generation, 7);
    CHECK_EQ_INT(plugin->restarts, 6);
    CHECK_EQ_INT(plugin->since_unix_ms, 99);
    REQUIRE(plugin->n_lines == 2);
    CHECK_EQ_STR(plugin->lines[1], "sec?nd");
    CHECK_EQ_U64(message_plugin(&arena, &status, NULL, false)->n_lines, 0);
    arena_fini(&arena);
}

TEST(a_component_is_told_in_full)
{
    struct arena arena;
    const struct host_component from = { .name = SLICE("store"),
                                         .type = SLICE("state.redis"),
                                         .version = SLICE("v1"),
                                         .state = "failed",
                                         .plugin = SLICE("redis"),
                                         .error = SLICE("no route"),
                                         .generation = 3,
                                         .capabilities = CAN_ETAG | CAN_TRANSACT };
    arena_init(&arena);
    Remora__Admin__V1__Component *component = message_component(&arena, &from);
    CHECK_EQ_STR(component->name, "store");
    CHECK_EQ_STR(component->type, "state.redis");
    CHECK_EQ_STR(component->state, "failed");
    CHECK_EQ_STR(component->plugin, "redis");
    CHECK_EQ_STR(component->error, "no route");
    CHECK_EQ_INT(component->generation, 3);
    REQUIRE(component->n_capabilities == 3);
    CHECK_EQ_STR(component->capabilities[0], "ETAG");
    CHECK_EQ_STR(component->capabilities[1], "TRANSACTIONAL");
    CHECK_EQ_STR(component->capabilities[2], "ACTOR");
    arena_fini(&arena);
}
