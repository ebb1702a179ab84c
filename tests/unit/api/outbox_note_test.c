/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of transactions, and for how many. */
#include "api/outbox_note.h"

#include "base/limits.h"
#include "tests/lib/test.h"

TEST(a_transaction_is_known_while_it_is_under_way)
{
    CHECK_EQ_INT(outbox_note_of(SLICE("a")), OUTBOX_UNKNOWN);
    outbox_note_begin(SLICE("a"));
    CHECK_EQ_INT(outbox_note_of(SLICE("a")), OUTBOX_UNDER_WAY);
    outbox_note_end(SLICE("a"), false);
    CHECK_EQ_INT(outbox_note_of(SLICE("a")), OUTBOX_UNKNOWN);
    outbox_note_end(SLICE("a"), true); /* never begun */
    CHECK_EQ_INT(outbox_note_of(SLICE("a")), OUTBOX_UNKNOWN);
}

TEST(one_that_failed_is_known_until_its_event_is_gone)
{
    outbox_note_begin(SLICE("a"));
    outbox_note_begin(SLICE("b"));
    outbox_note_end(SLICE("a"), true);
    outbox_note_end(SLICE("b"), true);
    CHECK_EQ_INT(outbox_note_of(SLICE("a")), OUTBOX_REFUSED);
    outbox_note_forget(SLICE("a"));
    outbox_note_forget(SLICE("a"));
    CHECK_EQ_INT(outbox_note_of(SLICE("a")), OUTBOX_UNKNOWN);
    CHECK_EQ_INT(outbox_note_of(SLICE("b")), OUTBOX_REFUSED);
    outbox_note_forget(SLICE("b"));
}

TEST(of_those_that_failed_only_the_latest_are_remembered)
{
    enum { MORE = 3 };
    outbox_note_begin(SLICE("under way"));
    for (unsigned i = 0; i < LIMIT_outbox_refused_max + MORE; i++) {
        outbox_note_begin(slice_of(&i, sizeof i));
        outbox_note_end(slice_of(&i, sizeof i), true);
    }
    for (unsigned i = 0; i < LIMIT_outbox_refused_max + MORE; i++) {
        CHECK_EQ_INT(outbox_note_of(slice_of(&i, sizeof i)),
                     i < MORE ? OUTBOX_UNKNOWN : OUTBOX_REFUSED);
        outbox_note_forget(slice_of(&i, sizeof i));
    }
    CHECK_EQ_INT(outbox_note_of(SLICE("under way")), OUTBOX_UNDER_WAY);
    outbox_note_end(SLICE("under way"), false);
}
