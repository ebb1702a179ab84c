/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines of middleware; see pipeline.h. */
#include "config/pipeline.h"

#include "base/limits.h"
#include "config/field.h"

static err_t
read_handler(struct arena *arena, const struct node *node, const char *path,
             struct pipeline_handler *ret_handler, struct diag *diag)
{
    struct pipeline_handler handler = { .name = SLICE_EMPTY, .type = SLICE_EMPTY };
    if (node->type != NODE_MAP)
        return field_wrong(diag, path, "a list of maps", node);
    err_t err = field_text(arena, node, "name", path, &handler.name, diag);
    if (err == OK)
        err = field_text(arena, node, "type", path, &handler.type, diag);
    if (err != OK)
        return err;
    if (handler.name.len == 0 || handler.type.len == 0)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: an item of spec.%s has no name or no type",
                         node->line, path);
    *ret_handler = handler;
    return OK;
}

err_t
pipeline_read(struct arena *arena, const struct node *node, const char *name,
              struct pipeline *ret_pipeline, struct diag *diag)
{
    if (node == NULL)
        return OK;
    const char *path = arena_printf(arena, "%s.handlers", name).data;
    const struct node *list = NULL;
    if (node->type != NODE_MAP)
        return field_wrong(diag, name, "a map", node);
    err_t err = field_list(node, "handlers", path, &list, diag);
    if (err != OK || list == NULL)
        return err;
    if (list->count > LIMIT_pipeline_handlers_max)
        return DIAG_FAIL(diag, ERR_CONFIG, "line %u: spec.%s has more than %d items", list->line,
                         path, LIMIT_pipeline_handlers_max);
    struct pipeline_handler *handlers = ARENA_ARRAY(arena, struct pipeline_handler, list->count);
    size_t count = 0;
    for (const struct node_item *item = list->items; err == OK && item != NULL; item = item->next)
        err = read_handler(arena, item->value, path, &handlers[count++], diag);
    if (err == OK)
        *ret_pipeline = (struct pipeline){ .handlers = handlers, .count = count };
    return err;
}
