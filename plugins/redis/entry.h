/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message as an entry of a stream: a field `data`, and a field `metadata`, a JSON object of
 * texts, in any order. What else an entry holds is another program's and passed over.
 */
#ifndef REDIS_ENTRY_H
#define REDIS_ENTRY_H

#include "resp.h"

enum { ENTRY_METADATA_BYTES_MAX = 64 * 1024, ENTRY_PAIRS_MAX = 256, ENTRY_ID_BYTES = 48 };

/* Appends the object, as the reference writes it: names sorted, each once (the last one counts). */
void entry_put_metadata(struct resp_buf *buf, const struct remora_pair *pairs, size_t count);

/* A message read, or claimed, from a stream. */
struct entry {
    struct entry *next,
        **at; /* in one of its subscription's lists; `at` points at what points here */
    struct intake *intake;
    uint64_t read_at_ms;
    size_t bytes;                  /* of memory */
    struct remora_message message; /* id and data follow the struct */
    void *metadata;                /* what the pairs point into; owned, or NULL */
};

/* Of an element of a reply to XREADGROUP or XCLAIM; NULL if it is none (an entry that was deleted).
 * Metadata that cannot be read are none. */
struct entry *entry_new(const struct resp_value *value);
/* NULL is fine. */
void entry_free(struct entry *entry);

/* "5-7" to "5-8": the least identifier after it. False if `id` is none. */
bool entry_id_after(struct remora_slice id, char ret[ENTRY_ID_BYTES]);

#endif
