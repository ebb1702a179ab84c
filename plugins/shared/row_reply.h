/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to reads of a state store whose rows have been copied off their connection: a large value
 * is lent to the SDK, which frees its row when it has gone; small ones are copied by it, and their
 * rows are freed here. Plugin thread only.
 */
#ifndef PLUGINS_SHARED_ROW_REPLY_H
#define PLUGINS_SHARED_ROW_REPLY_H

#include <remora_plugin.h>

/* What a plugin's rows are. */
struct row_kind {
    /* What is to be told of one; `release` is seen to by this module. Everything in it is valid
     * until the row is freed. */
    void (*view)(const void *row, struct remora_state_value *ret_value);
    void (*free)(void *row);
};

/* All of them take the rows; NULL stands for one that is not there. The call ends. */
void row_reply(remora_call *call, const struct row_kind *kind, void *row);
void row_reply_many(remora_call *call, const struct row_kind *kind, void **rows, size_t count);
/* `token` must outlive the function, as nothing in the call's memory does. */
void row_reply_query(remora_call *call, const struct row_kind *kind, void **rows, size_t count,
                     struct remora_slice token);

#endif
