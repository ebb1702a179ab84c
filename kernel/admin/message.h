/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel knows, as messages of the admin protocol, in the arena. Main thread only. */
#ifndef ADMIN_MESSAGE_H
#define ADMIN_MESSAGE_H

#include "base/arena.h"
#include "component/host.h"
#include "remora/admin/v1/admin.pb-c.h"

/* A string field. What is not UTF-8 or holds a NUL would make strict clients refuse the whole
 * message, so such bytes become '?'. */
char *message_text(struct arena *arena, struct slice text);

/* `status` is that of `of`, which may be NULL: then less is told. Lines only if wanted. */
Remora__Admin__V1__Plugin *message_plugin(struct arena *arena, const struct plugin_status *status,
                                          const struct plugin *of, bool with_lines);
Remora__Admin__V1__Component *
message_component(struct arena *arena, const struct host_component *component);

#endif
