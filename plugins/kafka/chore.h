/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What librdkafka can only do by waiting (asking for metadata and offsets, ending a client) runs on
 * a thread of its own. Such things are rare: at the start, when partitions change hands, at the
 * end.
 */
#ifndef KAFKA_CHORE_H
#define KAFKA_CHORE_H

#include <stdbool.h>
#include <stdint.h>

struct chore {
    void (*work)(struct chore *chore); /* on a thread of its own */
    void (*done)(struct chore *chore); /* then on the plugin's; may free the chore. NULL: nothing */
};

/* The chore stays where it is until `done`. */
void chore_start(struct chore *chore);
/* Waits until no thread is at work, and not for ever. At the end of the process. */
void chores_finish(void);

#endif
