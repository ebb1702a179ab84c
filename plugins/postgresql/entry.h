/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of state, as the server gives them, for replies. */
#ifndef POSTGRESQL_ENTRY_H
#define POSTGRESQL_ENTRY_H

#include <postgresql/libpq-fe.h>
#include <remora_plugin.h>

/* What was saved, of columns as in layout.h. Borrows from `result`, but for bytes of version 1,
 * which are decoded into memory of the call. False: it cannot be read, and value->failure says why.
 */
bool entry_read(remora_call *call, const PGresult *result, int row,
                struct remora_state_value *ret_value);

#endif
