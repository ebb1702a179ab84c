/* SPDX-License-Identifier: Apache-2.0 */
/* What the metadata of a state store say of its outbox (STATE-61 to STATE-64, X-STATE-09). */
#include "component/outbox_route.h"

#include "tests/lib/test.h"

static struct outbox_route
read_route(struct arena *arena, const char *pubsub, const char *topic, const char *inner,
           const char *discards, const char *namespace_)
{
    struct component_value values[4];
    const char *const texts[] = { pubsub, topic, inner, discards };
    static const char *const names[] = { "outboxPublishPubsub", "outboxPublishTopic",
                                         "outboxPubsub", "outboxDiscardWhenMissingState" };
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i] != NULL)
            values[count++] = (struct component_value){ .name = slice_str(names[i]),
                                                        .value = slice_str(texts[i]) };
    const struct component_spec spec = { .name = SLICE("box"),
                                         .values = values,
                                         .value_count = count };
    return outbox_route_read(arena, &spec, SLICE("app"), slice_str(namespace_));
}

TEST(the_inner_topic_is_named_as_the_reference_does)
{
    struct arena arena;
    arena_init(&arena);
    struct outbox_route route = read_route(&arena, "bus", "orders", NULL, NULL, "");
    CHECK_SLICE_IS(route.pubsub, "bus");
    CHECK_SLICE_IS(route.topic, "orders");
    CHECK_SLICE_IS(route.inner_pubsub, "bus");
    CHECK_SLICE_IS(route.inner_topic, "defaultappordersoutbox");
    CHECK(!route.discards);
    route = read_route(&arena, "bus", "orders", "inner", "true", "prod");
    CHECK_SLICE_IS(route.inner_pubsub, "inner");
    CHECK_SLICE_IS(route.inner_topic, "prodappordersoutbox");
    CHECK(route.discards);
    arena_fini(&arena);
}

TEST(one_of_the_two_names_alone_is_no_outbox)
{
    struct arena arena;
    arena_init(&arena);
    CHECK_EQ_INT(read_route(&arena, NULL, NULL, "inner", "true", "").topic.len, 0);
    CHECK_EQ_INT(read_route(&arena, "bus", NULL, NULL, NULL, "").topic.len, 0);
    CHECK_EQ_INT(read_route(&arena, "bus", "", NULL, NULL, "").topic.len, 0);
    CHECK_EQ_INT(read_route(&arena, NULL, "orders", NULL, NULL, "").pubsub.len, 0);
    CHECK_EQ_INT(read_route(&arena, NULL, "orders", NULL, NULL, "").topic.len, 0);
    arena_fini(&arena);
}

TEST(whether_it_discards_is_said_in_several_ways)
{
    struct arena arena;
    static const char *const yes[] = { "true", "TRUE", " yes ", "1", "on", "y", "t" };
    static const char *const no[] = { "false", "0", "", "no", "2", "tru" };
    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        CHECK(read_route(&arena, "bus", "orders", NULL, yes[i], "").discards);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        CHECK(!read_route(&arena, "bus", "orders", NULL, no[i], "").discards);
    arena_fini(&arena);
}
