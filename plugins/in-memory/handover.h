/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table in pieces, for the component that takes over. A piece is a byte 1 (its format), and then
 * for each change, numbers little-endian:
 *
 *     1 byte    1: set, 2: deleted
 *     8 bytes   when it expires, Unix milliseconds; 0: never
 *     36 bytes  ETag
 *     4 bytes   length of the key
 *     8 bytes   length of the value
 *     the key, the value
 */
#ifndef IN_MEMORY_HANDOVER_H
#define IN_MEMORY_HANDOVER_H

#include "table.h"

enum {
    /* A piece ends with the change that exceeds this. Small enough to be made, and taken in,
     * between two requests without anybody noticing. */
    HANDOVER_PIECE_BYTES = 256 * 1024,
};

/* What comes next of the export under way, at most one piece; from malloc(). False if memory is
 * out. */
bool handover_pack(struct table *table, char **ret_piece, size_t *ret_bytes);
/* Makes the changes of a piece. False if it is malformed or memory is out: some may be made. */
bool handover_apply(struct table *table, struct remora_slice piece);

#endif
