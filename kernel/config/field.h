/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of a Configuration's section by name, with the words for those that hold something else:
 * "line 3: spec.api.allowed must be a list, not text". Paths are given without "spec.". What is
 * absent leaves the result as it was.
 */
#ifndef CONFIG_FIELD_H
#define CONFIG_FIELD_H

#include "base/arena.h"
#include "base/err.h"
#include "config/node.h"

/* ERR_CONFIG: `node` is not `what`. */
err_t field_wrong(struct diag *diag, const char *path, const char *what, const struct node *node);

err_t field_text(struct arena *arena, const struct node *map, const char *name, const char *path,
                 struct slice *text, struct diag *diag) WARN_UNUSED;
err_t field_list(const struct node *map, const char *name, const char *path,
                 const struct node **list, struct diag *diag) WARN_UNUSED;

#endif
