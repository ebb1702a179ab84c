/* SPDX-License-Identifier: Apache-2.0 */
/* A packed request of the admin protocol becomes a packed reply. Main thread only. */
#ifndef ADMIN_ANSWER_H
#define ADMIN_ANSWER_H

#include "admin/admin.h"
#include "admin/feed.h"

enum { ADMIN_MAJOR = 1, ADMIN_MINOR = 1 };

/* In the arena. Any bytes are answered. */
struct slice answer(const struct admin_config *config, const struct feed *feed,
                    struct slice request, struct arena *arena);
/* To be sent when the true answer is longer than LIMIT_admin_output_bytes_max. */
struct slice answer_too_long(const struct admin_config *config, struct arena *arena);

#endif
