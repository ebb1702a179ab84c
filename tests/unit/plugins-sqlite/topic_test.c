/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages, groups and claims in the file, with a clock that the test moves.
 */
#include "fixture.h"

#include "plugins/sqlite/owner.h"
#include "plugins/sqlite/topic.h"

enum { TEXT_MAX = 400 };

/* Two processes of one group. */
struct bed {
    struct fixture fixture;
    struct topic_rules rules;
    struct owner one, two;
    char topic[8];
    struct topic_group group;
    char got[TEXT_MAX]; /* what was claimed last: "a,b" */
    struct claimed claimed;
};

static void
bed_init(struct bed *bed)
{
    *bed = (struct bed){ .rules = { .table = "messages", .lease_ms = 60000, .redeliver_ms = 1000 },
                         .topic = "orders" };
    fixture_init(&bed->fixture);
    REQUIRE(schema_ensure(&bed->fixture.connection, &schema_topics, "messages", "metadata") ==
            NULL);
    REQUIRE(owner_init(&bed->one, bed->fixture.path) && owner_init(&bed->two, bed->fixture.path));
    bed->group = (struct topic_group){ .topic = bed->topic, .name = "shop" };
}

static void
bed_fini(struct bed *bed)
{
    topic_claimed_fini(&bed->claimed);
    owner_fini(&bed->one);
    owner_fini(&bed->two);
    fixture_fini(&bed->fixture);
}

static void
join(struct bed *bed, struct topic_group *group)
{
    CHECK(topic_join(&bed->fixture.connection, &bed->rules, group) == NULL);
    CHECK(group->id > 0);
}

static void
publish(struct bed *bed, const char *data, int64_t ttl_s)
{
    const struct remora_publish message = { .topic = slice("orders"),
                                            .content_type = slice("text/plain"),
                                            .data = slice(data),
                                            .has_ttl = ttl_s > 0,
                                            .ttl_seconds = ttl_s };
    CHECK(topic_publish(&bed->fixture.connection, &bed->rules, &message) == NULL);
}

static const char *
exchange(struct bed *bed, const struct owner *owner, const struct claim_wish *wanted)
{
    struct claim_wish wish = *wanted;
    wish.rules = &bed->rules;
    wish.owner = owner;
    if (wish.group == NULL)
        wish.group = &bed->group;
    if (wish.bytes_max == 0)
        wish.bytes_max = 1000;
    topic_claimed_fini(&bed->claimed);
    struct failure *failure = topic_exchange(&bed->fixture.connection, &wish, &bed->claimed);
    CHECK(failure == NULL);
    failure_free(failure);
    size_t len = 0;
    bed->got[0] = '\0';
    for (const struct letter *one = bed->claimed.letters; one != NULL; one = one->next)
        len += (size_t)snprintf(bed->got + len, sizeof(bed->got) - len, "%s%.*s",
                                len > 0 ? "," : "", (int)one->data.len, one->data.data);
    return bed->got;
}

static const char *
claim(struct bed *bed, const struct owner *owner, size_t count)
{
    return exchange(bed, owner, &(struct claim_wish){ .messages_max = count });
}

static void
settle(struct bed *bed, const struct owner *owner, int64_t id, int64_t attempts,
       enum settlement how)
{
    const struct settled settled = { .id = id, .attempts = attempts, .how = how };
    exchange(bed, owner, &(struct claim_wish){ .settled = &settled });
}

TEST(a_message_is_claimed_once_and_goes_when_all_groups_have_it)
{
    struct bed bed;
    bed_init(&bed);
    struct topic_group other = { .topic = bed.topic, .name = "bill" };
    publish(&bed, "nobody's", 0);
    CHECK_TEXT(&bed.fixture, "SELECT count(*) FROM messages", "0");
    join(&bed, &bed.group);
    publish(&bed, "a", 0);
    publish(&bed, "b", 0);
    join(&bed, &other);
    publish(&bed, "c", 0);
    CHECK_EQ_STR(claim(&bed, &bed.one, 2), "a,b");
    CHECK_EQ_STR(claim(&bed, &bed.two, 2), "c");
    CHECK_EQ_STR(claim(&bed, &bed.two, 2), "");
    settle(&bed, &bed.one, 1, 0, SETTLE_DONE);
    settle(&bed, &bed.one, 2, 0, SETTLE_DONE);
    settle(&bed, &bed.two, 3, 0, SETTLE_DONE);
    CHECK_TEXT(&bed.fixture, "SELECT group_concat(id) FROM messages", "3");
    CHECK_EQ_STR(
        exchange(&bed, &bed.one, &(struct claim_wish){ .messages_max = 9, .group = &other }), "c");
    const struct settled done = { .id = 3, .how = SETTLE_DONE };
    exchange(&bed, &bed.one, &(struct claim_wish){ .group = &other, .settled = &done });
    CHECK_TEXT(&bed.fixture, "SELECT count(*) FROM messages", "0");
    CHECK_TEXT(&bed.fixture, "SELECT count(*) FROM messages_claims", "0");
    bed_fini(&bed);
}

TEST(metadata_comes_with_the_message_and_nonsense_in_the_file_is_harmless)
{
    struct bed bed;
    bed_init(&bed);
    join(&bed, &bed.group);
    const struct remora_pair pairs[] = { { slice("kind"), slice("big") },
                                         { slice("empty"), slice("") },
                                         { slice(""), slice("nameless") },
                                         { { "a\0b", 3 }, slice("x") } };
    const struct remora_publish message = {
        .topic = slice("orders"), .data = slice("a"), .metadata = pairs, .metadata_count = 4
    };
    CHECK(topic_publish(&bed.fixture.connection, &bed.rules, &message) == NULL);
    CHECK_EQ_STR(claim(&bed, &bed.one, 1), "a");
    const struct letter *letter = bed.claimed.letters;
    REQUIRE(letter != NULL && letter->metadata_count == 2);
    CHECK(remora_slice_eq(letter->metadata[0].name, "kind"));
    CHECK(remora_slice_eq(letter->metadata[0].value, "big"));
    CHECK(remora_slice_eq(letter->metadata[1].name, "empty") && letter->metadata[1].value.len == 0);
    static const char *const odd[] = { "x'6162'",       "x'610062'", "x'00'",
                                       "x'6100620063'", "'text'",    "7" };
    static const size_t counts[] = { 0, 0, 0, 1, 0, 0 };
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        char sql[100];
        snprintf(sql, sizeof(sql), "UPDATE messages SET metadata = %s", odd[i]);
        CHECK_EQ_INT(sqlite3_exec(bed.fixture.connection.db, sql, NULL, NULL, NULL), SQLITE_OK);
        settle(&bed, &bed.one, 1, 0, SETTLE_RELEASE);
        CHECK_EQ_STR(claim(&bed, &bed.one, 1), "a");
        REQUIRE(bed.claimed.letters != NULL);
        CHECK_EQ_INT(bed.claimed.letters->metadata_count, counts[i]);
    }
    bed_fini(&bed);
}

TEST(a_claim_is_bounded_in_messages_and_bytes)
{
    struct bed bed;
    bed_init(&bed);
    join(&bed, &bed.group);
    publish(&bed, "0123456789", 0);
    publish(&bed, "abc", 0);
    publish(&bed, "def", 0);
    CHECK_EQ_STR(
        exchange(&bed, &bed.one, &(struct claim_wish){ .messages_max = 9, .bytes_max = 5 }),
        "0123456789");
    CHECK(bed.claimed.is_partial);
    CHECK_EQ_STR(
        exchange(&bed, &bed.one, &(struct claim_wish){ .messages_max = 9, .bytes_max = 5 }), "abc");
    CHECK_EQ_STR(claim(&bed, &bed.one, 9), "def");
    CHECK(!bed.claimed.is_partial);
    bed_fini(&bed);
}

TEST(a_refused_message_comes_later_each_time_and_at_most_a_minute_later)
{
    struct bed bed;
    bed_init(&bed);
    join(&bed, &bed.group);
    publish(&bed, "a", 0);
    CHECK_EQ_STR(claim(&bed, &bed.one, 1), "a");
    static const int64_t pauses_s[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        settle(&bed, &bed.one, 1, (int64_t)i, SETTLE_RETRY);
        timestamp_shift_s += pauses_s[i] + 1;
        if (pauses_s[i] > 8) { /* the machine's own clock goes on as well */
            timestamp_shift_s -= 6;
            CHECK_EQ_STR(claim(&bed, &bed.two, 1), "");
            timestamp_shift_s += 6;
        }
        CHECK_EQ_STR(claim(&bed, &bed.one, 1), "a");
        CHECK_EQ_INT(bed.claimed.letters != NULL ? bed.claimed.letters->attempts : -1,
                     (int64_t)i + 1);
    }
    bed_fini(&bed);
}

TEST(an_overdue_message_goes_to_another_process_first)
{
    struct bed bed;
    bed_init(&bed);
    join(&bed, &bed.group);
    publish(&bed, "a", 0);
    CHECK_EQ_STR(claim(&bed, &bed.one, 1), "a");
    timestamp_shift_s += 61;
    CHECK_EQ_STR(claim(&bed, &bed.one, 1), "");
    CHECK_EQ_STR(claim(&bed, &bed.two, 1), "a");
    settle(&bed, &bed.one, 1, 0, SETTLE_RETRY); /* too late: it is another's now */
    timestamp_shift_s += 100;
    CHECK_EQ_STR(claim(&bed, &bed.two, 1), "");
    timestamp_shift_s += 21;
    CHECK_EQ_STR(claim(&bed, &bed.two, 1), "a");
    settle(&bed, &bed.one, 1, 0, SETTLE_DONE); /* whoever says so */
    CHECK_TEXT(&bed.fixture, "SELECT count(*) FROM messages", "0");
    bed_fini(&bed);
}

TEST(claims_of_a_process_that_has_gone_are_free)
{
    struct bed bed;
    bed_init(&bed);
    join(&bed, &bed.group);
    publish(&bed, "a", 0);
    CHECK_EQ_STR(claim(&bed, &bed.one, 1), "a");
    const struct claim_wish clean = { .messages_max = 1, .clean = true };
    CHECK(!owner_is_gone(&bed.two, bed.one.number));
    CHECK_EQ_STR(exchange(&bed, &bed.two, &clean), "");
    owner_fini(&bed.one);
    CHECK(owner_is_gone(&bed.two, bed.one.number));
    CHECK_EQ_STR(exchange(&bed, &bed.two, &clean), "a");
    bed_fini(&bed);
}

TEST(a_message_that_was_not_tried_is_free_at_once)
{
    struct bed bed;
    bed_init(&bed);
    join(&bed, &bed.group);
    publish(&bed, "a", 0);
    CHECK_EQ_STR(claim(&bed, &bed.one, 1), "a");
    settle(&bed, &bed.one, 1, 0, SETTLE_RELEASE);
    CHECK_EQ_STR(claim(&bed, &bed.two, 1), "a");
    CHECK_EQ_INT(bed.claimed.letters->attempts, 0);
    bed_fini(&bed);
}

TEST(what_has_expired_is_not_claimed_and_is_deleted)
{
    struct bed bed;
    bed_init(&bed);
    join(&bed, &bed.group);
    publish(&bed, "a", 10);
    publish(&bed, "b", 10);
    publish(&bed, "c", 0);
    CHECK_EQ_STR(claim(&bed, &bed.one, 1), "a");
    settle(&bed, &bed.one, 1, 0, SETTLE_RETRY);
    timestamp_shift_s += 11;
    CHECK_EQ_STR(claim(&bed, &bed.two, 9), "c");
    const struct settled done = { .id = 3, .how = SETTLE_DONE };
    exchange(&bed, &bed.two, &(struct claim_wish){ .settled = &done, .clean = true });
    CHECK_TEXT(&bed.fixture, "SELECT count(*) FROM messages", "0");
    CHECK_TEXT(&bed.fixture, "SELECT count(*) FROM messages_claims", "0");
    bed.rules.age_max_ms = 5000;
    publish(&bed, "d", 100);
    timestamp_shift_s += 6;
    CHECK_EQ_STR(claim(&bed, &bed.two, 9), "");
    bed_fini(&bed);
}

TEST(what_nobody_waits_for_stays_for_the_retention)
{
    struct bed bed;
    bed_init(&bed);
    bed.rules.retention_ms = 100000;
    bed.group.from_start = true;
    publish(&bed, "a", 0);
    timestamp_shift_s += 50;
    publish(&bed, "b", 0);
    timestamp_shift_s += 60;
    join(&bed, &bed.group);
    CHECK_EQ_STR(claim(&bed, &bed.one, 9), "b");
    bed_fini(&bed);
}
