/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this process knows of the transactions behind events of the outbox, by the id of the event:
 * one that is still under way is worth waiting for, and of one that has certainly failed nothing is
 * left to wait for. What is not known here may be another process's. Any thread.
 */
#ifndef API_OUTBOX_NOTE_H
#define API_OUTBOX_NOTE_H

#include <stdbool.h>

#include "base/slice.h"

enum outbox_note { OUTBOX_UNKNOWN, OUTBOX_UNDER_WAY, OUTBOX_REFUSED };

/* It is under way from now on. */
void outbox_note_begin(struct slice id);
/* It is over: nothing of it has happened and nothing will, or that is not known. Of the refused
 * ones the latest LIMIT_outbox_refused_max are remembered. */
void outbox_note_end(struct slice id, bool is_refused);
enum outbox_note outbox_note_of(struct slice id);
/* Its event is gone. */
void outbox_note_forget(struct slice id);

#endif
