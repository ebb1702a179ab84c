/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of a Configuration; see field.h. */
#include "config/field.h"

err_t
field_wrong(struct diag *diag, const char *path, const char *what, const struct node *node)
{
    return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.%s must be %s, not %s", node->line, path,
                     what, node_what(node));
}

err_t
field_text(struct arena *arena, const struct node *map, const char *name, const char *path,
           struct slice *text, struct diag *diag)
{
    const struct node *node = node_get(map, slice_str(name));
    if (node != NULL && !node_text(arena, node, text))
        return field_wrong(diag, path, "a text", node);
    return OK;
}

err_t
field_list(const struct node *map, const char *name, const char *path, const struct node **list,
           struct diag *diag)
{
    const struct node *node = node_get(map, slice_str(name));
    if (node != NULL && node->type != NODE_LIST)
        return field_wrong(diag, path, "a list", node);
    if (node != NULL)
        *list = node;
    return OK;
}
