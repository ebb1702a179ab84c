/* SPDX-License-Identifier: Apache-2.0 */
/* Topic scopes of brokers: the truth tables of PUB-93 to PUB-99. */
#include "component/topic_scopes.h"

#include "tests/lib/test.h"

struct texts {
    const char *publishing, *subscribing, *allowed, *protected_;
};

static struct topic_scopes
read_scopes(struct arena *arena, const struct texts *texts, const char *app)
{
    struct component_value values[4] = {
        { .name = SLICE("publishingScopes"), .value = slice_str(texts->publishing) },
        { .name = SLICE("subscriptionScopes"), .value = slice_str(texts->subscribing) },
        { .name = SLICE("allowedTopics"), .value = slice_str(texts->allowed) },
        { .name = SLICE("protectedTopics"), .value = slice_str(texts->protected_) },
    };
    const struct component_spec spec = { .values = values, .value_count = 4 };
    return topic_scopes_read(arena, &spec, slice_str(app));
}

/* One letter a topic of `topics` that may be used, or a dot. */
static void
check(const struct texts *texts, const char *app, const char *topics, const char *published,
      const char *subscribed)
{
    struct arena arena;
    arena_init(&arena);
    struct topic_scopes scopes = read_scopes(&arena, texts, app);
    for (size_t i = 0; topics[i] != '\0'; i++) {
        struct slice topic = slice_of(topics + i, 1);
        CHECK_EQ_INT(topic_scopes_may_publish(&scopes, topic), published[i] != '.');
        CHECK_EQ_INT(topic_scopes_may_subscribe(&scopes, topic), subscribed[i] != '.');
    }
    arena_fini(&arena);
}

TEST(scopes_limit_only_who_is_listed)
{
    const struct texts texts = { .publishing = "app1=1;app2=2,3;app3=",
                                 .subscribing = "app2=;app3=1" };
    check(&texts, "app1", "1239", "1...", "1239");
    check(&texts, "app2", "1239", ".23.", "....");
    check(&texts, "app3", "1239", "....", "1...");
    check(&texts, "app4", "1239", "1239", "1239");
}

TEST(allowed_topics_are_all_that_there_are)
{
    const struct texts texts = { .allowed = "1, 2,3" };
    check(&texts, "app1", "1234", "123.", "123.");
}

TEST(scopes_apply_within_the_allowed_topics)
{
    const struct texts texts = { .allowed = "A,B",
                                 .publishing = "app1=A",
                                 .subscribing = "app1=;app2=A" };
    check(&texts, "app1", "ABC", "A..", "...");
    check(&texts, "app2", "ABC", "AB.", "A..");
    check(&texts, "app3", "ABC", "AB.", "AB.");
    const struct texts beyond = { .allowed = "A", .publishing = "app1=C" };
    check(&beyond, "app1", "ABC", "...", "A..");
}

TEST(protected_topics_need_a_grant)
{
    const struct texts texts = { .protected_ = "A,B",
                                 .publishing = "app1=A,B;app2=B",
                                 .subscribing = "app1=A,B;app2=B" };
    check(&texts, "app1", "ABC", "AB.", "AB.");
    check(&texts, "app2", "ABC", ".B.", ".B.");
    check(&texts, "app3", "ABC", "..C", "..C");
}

TEST(odd_lists_are_read_as_the_reference_reads_them)
{
    check(&(struct texts){ .publishing = "app1" }, "app1", "AB", "AB", "AB");
    check(&(struct texts){ .publishing = " app1 = A ; app1 = B " }, "app1", "ABC", "AB.", "ABC");
    check(&(struct texts){ .publishing = "app1=A=B" }, "app1", "AB", "A.", "AB");
    check(&(struct texts){ .publishing = ";;=A;app=A" }, "app1", "AB", "AB", "AB");
}

TEST(a_list_in_a_secret_store_allows_nothing)
{
    struct arena arena;
    arena_init(&arena);
    struct component_value value = { .name = SLICE("allowedTopics"), .secret_name = SLICE("x") };
    const struct component_spec spec = { .values = &value, .value_count = 1 };
    struct topic_scopes scopes = topic_scopes_read(&arena, &spec, SLICE("app1"));
    CHECK(!topic_scopes_may_publish(&scopes, SLICE("A")));
    CHECK(!topic_scopes_may_subscribe(&scopes, SLICE("A")));
    arena_fini(&arena);
}
