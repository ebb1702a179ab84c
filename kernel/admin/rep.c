/* SPDX-License-Identifier: Apache-2.0 */
/* The header stack of requests; see rep.h. */
#include "admin/rep.h"

enum { NUMBER_BYTES = 4, LAST = 0x80 };

bool
rep_split(struct slice message, struct slice *ret_stack, struct slice *ret_body)
{
    for (size_t hop = 0; hop <= REP_HOPS_MAX; hop++) {
        size_t at = hop * NUMBER_BYTES;
        if (message.len < at + NUMBER_BYTES)
            return false;
        if (((unsigned char)message.data[at] & LAST) != 0) {
            *ret_stack = slice_first(message, at + NUMBER_BYTES);
            *ret_body = slice_from(message, at + NUMBER_BYTES);
            return true;
        }
    }
    return false;
}
