/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks in the file, with clocks that the test moves: the wall clock, which has no say, and the one
 * that leases count by.
 */
#include "fixture.h"

#include "plugins/sqlite/lease.h"

struct bed {
    struct fixture fixture;
    struct lease_clock clock;
};

static void
bed_init(struct bed *bed)
{
    fixture_init(&bed->fixture);
    REQUIRE(schema_ensure(&bed->fixture.connection, &schema_locks, "locks", "metadata") == NULL);
    REQUIRE(lease_clock_init(&bed->clock));
    lease_shift_ms = 0;
}

static void
bed_fini(struct bed *bed)
{
    lease_shift_ms = 0;
    fixture_fini(&bed->fixture);
}

static bool
take(struct bed *bed, const char *resource, const char *owner, int64_t lease_ms)
{
    bool is_held = false;
    CHECK(lease_take(&bed->fixture.connection, "locks", &bed->clock, slice(resource), slice(owner),
                     lease_ms, &is_held) == NULL);
    return is_held;
}

static enum remora_unlock
end(struct bed *bed, const char *resource, const char *owner)
{
    enum remora_unlock status = 0;
    CHECK(lease_end(&bed->fixture.connection, "locks", &bed->clock, slice(resource), slice(owner),
                    &status) == NULL);
    return status;
}

TEST(a_resource_is_held_by_one_until_it_is_given_back_LOCK_05)
{
    struct bed bed;
    bed_init(&bed);
    CHECK(take(&bed, "r", "a", 60000));
    CHECK(!take(&bed, "r", "b", 60000));
    CHECK(!take(&bed, "r", "a", 60000));
    CHECK(take(&bed, "s", "b", 60000));
    CHECK_EQ_INT(end(&bed, "r", "b"), REMORA_UNLOCK_BELONGS_TO_OTHERS);
    CHECK_EQ_INT(end(&bed, "none", "b"), REMORA_UNLOCK_DOES_NOT_EXIST);
    CHECK_EQ_INT(end(&bed, "r", "a"), REMORA_UNLOCKED);
    CHECK_EQ_INT(end(&bed, "r", "a"), REMORA_UNLOCK_DOES_NOT_EXIST);
    CHECK(take(&bed, "r", "b", 60000));
    bed_fini(&bed);
}

TEST(a_lease_lasts_as_long_as_was_said_and_no_longer_LOCK_07)
{
    struct bed bed;
    bed_init(&bed);
    CHECK(take(&bed, "r", "a", 60000));
    lease_shift_ms = 59000;
    CHECK(!take(&bed, "r", "b", 60000));
    lease_shift_ms = 60001;
    CHECK_EQ_INT(end(&bed, "r", "a"), REMORA_UNLOCK_DOES_NOT_EXIST);
    CHECK(take(&bed, "r", "b", 60000));
    CHECK_EQ_INT(end(&bed, "r", "a"), REMORA_UNLOCK_BELONGS_TO_OTHERS);
    bed_fini(&bed);
}

TEST(a_jump_of_the_wall_clock_changes_nothing)
{
    struct bed bed;
    bed_init(&bed);
    CHECK(take(&bed, "r", "a", 60000));
    timestamp_shift_s = 10 * 365 * 86400;
    CHECK(!take(&bed, "r", "b", 60000));
    timestamp_shift_s = -10 * 365 * 86400;
    CHECK(!take(&bed, "r", "b", 60000));
    lease_shift_ms = 60001;
    CHECK(take(&bed, "r", "b", 60000));
    bed_fini(&bed);
}

TEST(a_lease_by_another_clock_lasts_its_whole_length_again)
{
    struct bed bed;
    bed_init(&bed);
    CHECK(take(&bed, "r", "a", 60000));
    /* As after a restart of the machine: another boot, a clock near its beginning. */
    snprintf(bed.clock.name, sizeof bed.clock.name, "another boot");
    lease_shift_ms = 3600 * 1000;
    CHECK(!take(&bed, "r", "b", 1000));
    CHECK_TEXT(&bed.fixture, "SELECT clock || ' ' || owner FROM locks", "another boot a");
    lease_shift_ms += 59000;
    CHECK(!take(&bed, "r", "b", 1000));
    lease_shift_ms += 1001;
    CHECK(take(&bed, "r", "b", 1000));
    CHECK_EQ_INT(end(&bed, "r", "a"), REMORA_UNLOCK_BELONGS_TO_OTHERS);
    bed_fini(&bed);
}

TEST(the_owner_gives_back_what_was_taken_by_another_clock)
{
    struct bed bed;
    bed_init(&bed);
    CHECK(take(&bed, "r", "a", 60000));
    snprintf(bed.clock.name, sizeof bed.clock.name, "another boot");
    CHECK_EQ_INT(end(&bed, "r", "b"), REMORA_UNLOCK_BELONGS_TO_OTHERS);
    CHECK_EQ_INT(end(&bed, "r", "a"), REMORA_UNLOCKED);
    bed_fini(&bed);
}

TEST(rows_of_leases_that_are_over_do_not_pile_up)
{
    struct bed bed;
    char name[16];
    bed_init(&bed);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "r%d", i);
        CHECK(take(&bed, name, "a", 1000));
    }
    CHECK_TEXT(&bed.fixture, "SELECT count(*) FROM locks", "100");
    lease_shift_ms = 1001;
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "s%d", i);
        CHECK(take(&bed, name, "a", 1000));
    }
    CHECK_TEXT(&bed.fixture, "SELECT count(*) FROM locks", "10");
    bed_fini(&bed);
}
