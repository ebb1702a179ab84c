/* SPDX-License-Identifier: Apache-2.0 */
/* Folders to documents; see resource.h. */
#include "config/resource.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "config/file.h"

/* The reference looks at a file once for each kind and complains each time; we do so once. */
#define WARNING "daprd load %s error when "
#define KIND(resources) ((resources)->reading == NULL ? "Component" : (resources)->reading)

static void
warn(struct arena *arena, struct resources *resources, struct slice text)
{
    if (resources->warnings.count < LIMIT_resource_warnings_max)
        text_list_add(arena, &resources->warnings, text);
}

/* The document, or all of a file, is left out. */
static void
warn_broken(struct arena *arena, struct resources *resources, struct slice text)
{
    if (resources->first_broken.len == 0)
        resources->first_broken = text;
    warn(arena, resources, text);
}

void
resources_warn(struct arena *arena, struct resources *resources, const char *file,
               const struct node *at, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args); /* cut is fine */
    va_end(args);
    warn_broken(arena, resources,
                arena_printf(arena, WARNING "parsing manifests yaml resource in %s: %s:%u:%u: %s",
                             KIND(resources), file, file, at->line, at->column, what));
}

bool
resource_text(struct arena *arena, struct resources *resources, const char *file,
              const struct node *parent, const char *name, const char *path, struct slice *ret_text)
{
    const struct node *field = node_get(parent, slice_str(name));
    if (field == NULL) {
        *ret_text = SLICE_EMPTY;
        return true;
    }
    if (node_text(arena, field, ret_text))
        return true;
    resources_warn(arena, resources, file, field, "%s: expected text, found %s", path,
                   node_what(field));
    return false;
}

/* -------------------------------------------------------------------------------- documents */

static bool
fill_scopes(struct arena *arena, struct resources *resources, struct resource *r)
{
    const struct node *scopes = node_get(r->root, SLICE("scopes"));
    if (scopes == NULL)
        return true;
    if (scopes->type != NODE_LIST) {
        resources_warn(arena, resources, r->file, scopes, "scopes: expected a list, found %s",
                       node_what(scopes));
        return false;
    }
    for (const struct node_item *item = scopes->items; item != NULL; item = item->next) {
        struct slice text;
        if (!node_text(arena, item->value, &text)) {
            resources_warn(arena, resources, r->file, item->value,
                           "scopes: expected an app id, found %s", node_what(item->value));
            return false;
        }
        text_list_add(arena, &r->scopes, text);
    }
    return true;
}

/* False with a warning if the document's outer form is wrong. */
static bool
fill_resource(struct arena *arena, struct resources *resources, struct resource *r)
{
    const char *file = r->file;
    if (r->root->type != NODE_MAP) {
        resources_warn(arena, resources, file, r->root, "expected a resource, found %s",
                       node_what(r->root));
        return false;
    }
    r->metadata = node_get(r->root, SLICE("metadata"));
    r->spec = node_get(r->root, SLICE("spec"));
    if (r->metadata != NULL && r->metadata->type != NODE_MAP) {
        resources_warn(arena, resources, file, r->metadata, "metadata: expected a map, found %s",
                       node_what(r->metadata));
        return false;
    }
    return resource_text(arena, resources, file, r->root, "apiVersion", "apiVersion",
                         &r->api_version) &&
           resource_text(arena, resources, file, r->root, "kind", "kind", &r->kind) &&
           resource_text(arena, resources, file, r->metadata, "name", "metadata.name", &r->name) &&
           resource_text(arena, resources, file, r->metadata, "namespace", "metadata.namespace",
                         &r->namespace_name) &&
           fill_scopes(arena, resources, r);
}

static struct resource *
new_resource(struct arena *arena, struct resources *resources)
{
    if (resources->count == resources->room) {
        size_t room = resources->room == 0 ? 16 : resources->room * 2;
        resources->items = arena_grow(arena, resources->items,
                                      resources->room * sizeof *resources->items,
                                      room * sizeof *resources->items);
        resources->room = room;
    }
    return &resources->items[resources->count];
}

static err_t
add_document(struct arena *arena, const char *file, struct slice text, unsigned first_line,
             struct resources *resources, struct diag *diag)
{
    struct node *root;
    struct node_error error;
    if (!node_parse(arena, text, first_line, &root, &error)) {
        warn_broken(arena, resources,
                    arena_printf(arena,
                                 WARNING "parsing manifests yaml resource in %s: error converting "
                                         "YAML to JSON: %s (%s:%u:%u)",
                                 KIND(resources), file, error.text, file, error.line,
                                 error.column));
        return OK;
    }
    if (root == NULL)
        return OK;
    if (resources->count >= LIMIT_resource_documents_max)
        return DIAG_FAIL(diag, ERR_CONFIG, "failed to load components: more than %d documents",
                         (int)LIMIT_resource_documents_max);
    struct resource *r = new_resource(arena, resources);
    *r = (struct resource){ .root = root, .file = file, .line = root->line };
    resources->count += fill_resource(arena, resources, r);
    return OK;
}

static unsigned
count_lines(struct slice text)
{
    unsigned lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    return lines;
}

/* Cut at lines that begin with "---" before any YAML is read, as the reference does, so that a
 * broken document spoils no other. */
err_t
resources_add_text(struct arena *arena, const char *file, struct slice text,
                   struct resources *resources, struct diag *diag)
{
    for (unsigned line = 1;;) {
        ptrdiff_t cut = slice_find(text, SLICE("\n---"));
        struct slice document = cut < 0 ? text : slice_first(text, (size_t)cut);
        err_t err = add_document(arena, file, document, line, resources, diag);
        if (err != OK || cut < 0)
            return err;
        line += count_lines(document) + 1;
        text = slice_from(text, (size_t)cut + 1);
        /* "--- value" begins a document; after "-----" the line is only decoration. */
        if (text.len > 3 && (text.data[3] == ' ' || text.data[3] == '\t'))
            continue;
        ptrdiff_t line_end = slice_find_byte(text, '\n');
        text = line_end < 0 ? SLICE_EMPTY : slice_from(text, (size_t)line_end + 1);
        line++;
    }
}

/* ------------------------------------------------------------------------------------ files */

static err_t
add_file(struct arena *arena, const char *path, struct resources *resources, struct diag *diag)
{
    size_t len = 0;
    const char *words;
    char *data = file_read(arena, path, &len, &words);
    if (data == NULL) {
        warn_broken(
            arena, resources,
            arena_printf(arena, WARNING "reading file %s: %s", KIND(resources), path, words));
        return OK;
    }
    err_t err = resources_add_text(arena, path, slice_of(data, len), resources, diag);
    free(data);
    return err;
}

static bool
is_yaml_name(struct slice name)
{
    return (name.len > 5 && slice_eq_nocase(slice_from(name, name.len - 5), SLICE(".yaml"))) ||
           (name.len > 4 && slice_eq_nocase(slice_from(name, name.len - 4), SLICE(".yml"))) ||
           slice_eq_nocase(name, SLICE(".yaml")) || slice_eq_nocase(name, SLICE(".yml"));
}

static int
by_name(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Names of everything in the folder that is no folder itself, sorted. */
static bool
list_folder(struct arena *arena, const char *folder, struct text_list *ret_names)
{
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return false;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL && ret_names->count <= LIMIT_resource_files_max)
        if (entry->d_type != DT_DIR && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0)
            text_list_add(arena, ret_names, slice_str(entry->d_name));
    (void)closedir(dir); /* read only */
    if (ret_names->count > 0)
        qsort(ret_names->items, ret_names->count, sizeof *ret_names->items, by_name);
    return true;
}

static err_t
add_folder(struct arena *arena, const char *folder, struct resources *resources, struct diag *diag)
{
    struct text_list names = { 0 };
    if (!list_folder(arena, folder, &names)) {
        int code = errno;
        const char *words = file_error_words(arena, code);
        if (code == ENOTDIR)
            return DIAG_FAIL(diag, ERR_CONFIG, "failed to load components: readdirent %s: %s",
                             folder, words);
        return DIAG_FAIL(diag, ERR_CONFIG, "failed to create watcher: failed to add target %s: %s",
                         folder, words);
    }
    if (names.count > LIMIT_resource_files_max)
        return DIAG_FAIL(diag, ERR_CONFIG, "failed to load components: more than %d files in %s",
                         (int)LIMIT_resource_files_max, folder);
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i].data;
        if (!is_yaml_name(names.items[i])) {
            warn(arena, resources,
                 arena_printf(arena,
                              "A non-YAML Component file %s was detected, it will not be loaded",
                              name));
            continue;
        }
        size_t len = strlen(folder);
        const char *slash = len > 0 && folder[len - 1] == '/' ? "" : "/";
        err_t err = add_file(arena, arena_printf(arena, "%s%s%s", folder, slash, name).data,
                             resources, diag);
        if (err != OK)
            return err;
    }
    return OK;
}

err_t
resources_read(struct arena *arena, const struct text_list *folders,
               struct resources *ret_resources, struct diag *diag)
{
    struct resources resources = { 0 };
    for (size_t i = 0; i < folders->count; i++) {
        err_t err = add_folder(arena, folders->items[i].data, &resources, diag);
        if (err != OK)
            return err;
    }
    *ret_resources = resources;
    return OK;
}

/* ----------------------------------------------------------------------------------- filter */

bool
resource_is_in_namespace(const struct resource *resource, const struct resource_filter *filter)
{
    return filter->namespace_name.len == 0 || resource->namespace_name.len == 0 ||
           slice_eq(resource->namespace_name, filter->namespace_name);
}

bool
resource_is_in_scope(const struct resource *resource, const struct resource_filter *filter)
{
    for (size_t i = 0; i < resource->scopes.count; i++)
        if (slice_eq(resource->scopes.items[i], filter->app_id))
            return true;
    return resource->scopes.count == 0;
}

const char *
resource_name_fault(struct slice name)
{
    if (name.len == 0)
        return "must not be empty";
    if (slice_eq(name, SLICE(".")))
        return "may not be '.'";
    if (slice_eq(name, SLICE("..")))
        return "may not be '..'";
    if (slice_find_byte(name, '/') >= 0)
        return "may not contain '/'";
    if (slice_find_byte(name, '%') >= 0)
        return "may not contain '%'";
    return slice_find_byte(name, '\0') >= 0 ? "may not contain NUL" : NULL;
}
