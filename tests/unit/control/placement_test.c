/* SPDX-License-Identifier: Apache-2.0 */
/* Orders of placement and what they mean. */
#include "control/placement.h"

#include "base/macros.h"
#include "base/wire.h"
#include "test.h"

static struct placement_order
order_of(const char *bytes, size_t len)
{
    struct placement_order order = { .version = 99 };
    REQUIRE(placement_order_unpack(slice_of(bytes, len), &order));
    return order;
}

#define ORDER(bytes) order_of((bytes), sizeof(bytes) - 1)

TEST(orders_are_read_without_their_tables)
{
    struct placement_order order = ORDER("\x12\x04lock\x18\x07");
    CHECK_EQ_INT(order.operation, PLACEMENT_LOCK);
    CHECK_EQ_U64(order.version, 7);
    order = ORDER("\x0a\x05\x12\x03"
                  "120\x12\x06update");
    CHECK_EQ_INT(order.operation, PLACEMENT_UPDATE);
    CHECK_EQ_U64(order.version, 120); /* of an older service */
    order = ORDER("\x0a\x03\x12\x01"
                  "x\x12\x06unlock\x18\x02");
    CHECK_EQ_INT(order.operation, PLACEMENT_UNLOCK);
    CHECK_EQ_U64(order.version, 2);
    order = ORDER("");
    CHECK_EQ_INT(order.operation, PLACEMENT_UNKNOWN);
    CHECK_EQ_U64(order.version, 0);
    CHECK_EQ_INT(ORDER("\x12\x04LOCK").operation, PLACEMENT_UNKNOWN);
}

TEST(what_is_malformed_is_no_order)
{
    static const struct slice bad[] = { { "\x12", 1 },         { "\x12\x05lock", 6 },
                                        { "\x10\x04", 2 },     { "\x0a\x02\x12\x05", 4 },
                                        { "\x1a\x01\x01", 3 }, { "\x0a\x01\xff", 3 } };
    struct placement_order order;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!CHECK(!placement_order_unpack(bad[i], &order)))
            fprintf(stderr, "  for %zu\n", i);
}

static err_t
take(struct placement_round *round, enum placement_operation operation, uint64_t version,
     bool *ret_confirm)
{
    const struct placement_order order = { operation, version };
    return placement_round_take(round, &order, ret_confirm);
}

TEST(each_step_of_a_round_is_confirmed)
{
    struct placement_round round = { PLACEMENT_REPORT, 0, false };
    bool confirm;
    CHECK_OK(take(&round, PLACEMENT_LOCK, 4, &confirm));
    CHECK(confirm && round.is_open && round.operation == PLACEMENT_LOCK);
    CHECK_OK(take(&round, PLACEMENT_UPDATE, 4, &confirm));
    CHECK(confirm && round.is_open && round.operation == PLACEMENT_UPDATE);
    CHECK_EQ_U64(round.version, 4);
    CHECK_OK(take(&round, PLACEMENT_UNLOCK, 5, &confirm));
    CHECK(confirm && !round.is_open && round.operation == PLACEMENT_UNLOCK);
    CHECK_EQ_U64(round.version, 5);
}

TEST(an_unlock_of_another_round_is_passed_over)
{
    struct placement_round round = { PLACEMENT_REPORT, 0, false };
    bool confirm = true;
    CHECK_OK(take(&round, PLACEMENT_UNLOCK, 1, &confirm));
    CHECK(!confirm && round.operation == PLACEMENT_REPORT);
    CHECK_OK(take(&round, PLACEMENT_LOCK, 4, &confirm));
    CHECK_OK(take(&round, PLACEMENT_UNLOCK, 4, &confirm));
    CHECK(!confirm && round.is_open);
    CHECK_OK(take(&round, PLACEMENT_UPDATE, 4, &confirm));
    CHECK_OK(take(&round, PLACEMENT_UNLOCK, 3, &confirm));
    CHECK(!confirm && round.is_open);
}

TEST(a_late_update_and_an_unknown_order_end_the_stream)
{
    struct placement_round round = { PLACEMENT_LOCK, 4, true };
    bool confirm;
    CHECK_EQ_INT(take(&round, PLACEMENT_UPDATE, 3, &confirm), ERR_PEER_PROTOCOL);
    CHECK_EQ_INT(take(&round, PLACEMENT_UNKNOWN, 4, &confirm), ERR_PEER_PROTOCOL);
    CHECK_EQ_INT(take(&round, PLACEMENT_REPORT, 4, &confirm), ERR_PEER_PROTOCOL);
    CHECK(!confirm);
}
