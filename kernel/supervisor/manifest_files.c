/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a manifest opens to its plugin; where they lie is manifest_path.c's to say. */
#include <string.h>

#include "supervisor/manifest_reader.h"

static bool
read_file_metadata(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_text(r, value, &r->file->metadata);
}

static bool
read_file_path(struct manifest_reader *r, yaml_node_t *value)
{
    const char *path = NULL;
    if (!manifest_read_text(r, value, &path) || path == NULL)
        return false;
    r->file->path = strncmp(path, "~/", 2) == 0
                        ? path
                        : manifest_path_beside(r->manifest, path, &r->manifest->arena);
    return true;
}

static bool
read_file_variable(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_text(r, value, &r->file->variable);
}

static bool
read_file_form(struct manifest_reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "path", "uri", "existing", NULL };
    int index = 0;
    if (!manifest_read_word(r, value, words, "path, uri or existing", &index))
        return false;
    r->file->is_uri = index == 1;
    r->file->is_existing = index == 2;
    return true;
}

static bool
read_file_access(struct manifest_reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "read", "write", "execute", NULL };
    int index = 0;
    if (!manifest_read_word(r, value, words, "read, write or execute", &index))
        return false;
    r->file->access = (enum manifest_access)index;
    return true;
}

static bool
read_file_folder(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_bool(r, value, &r->file->is_folder);
}

bool
manifest_read_files(struct manifest_reader *r, yaml_node_t *value)
{
    static const struct manifest_field fields[] = {
        { "metadata", read_file_metadata },
        { "variable", read_file_variable },
        { "path", read_file_path },
        { "form", read_file_form },
        { "access", read_file_access },
        { "folder", read_file_folder },
        { NULL, NULL },
    };
    ptrdiff_t count = manifest_read_items(r, value, MANIFEST_ITEMS_MAX, "files");
    if (count < 0)
        return false;
    struct manifest *m = r->manifest;
    m->files = ARENA_ARRAY(&m->arena, struct manifest_file, (size_t)count);
    m->file_count = (size_t)count;
    for (ptrdiff_t i = 0; i < count; i++) {
        yaml_node_t *node = manifest_node(r, value->data.sequence.items.start[i]);
        r->file = &m->files[i];
        if (!manifest_read_mapping(r, node, fields, "a file"))
            return false;
        const bool is_fixed = r->file->path != NULL || r->file->variable != NULL;
        if ((r->file->metadata != NULL) == is_fixed)
            return manifest_complain(r, node,
                                     "a file has either \"metadata\" or \"path\" or \"variable\"");
    }
    return true;
}
