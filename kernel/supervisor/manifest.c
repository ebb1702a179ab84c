/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads plugin.yaml (manifest.h has the format) into a checked struct. Manifests come with plugins
 * of any author: size, depth and every value are bounded, and each complaint names its line.
 */
#include "supervisor/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/limits.h"
#include "config/quantity.h"

enum { NAME_BYTES_MAX = 40, LINKS_MAX = 64, LIST_ITEMS_MAX = 64 };

struct reader {
    yaml_document_t *document;
    struct manifest *manifest;
    struct diag *diag;
    struct manifest_type *type; /* being read */
    struct manifest_file *file;
    bool is_api_version_known;
    bool is_kind_known;
};

/* Reads one value; false after complain(). */
typedef bool read_fn(struct reader *r, yaml_node_t *value);

struct field {
    const char *name;
    read_fn *read;
};

/* ------------------------------------------------------------------------------ helpers */

static bool
    PRINTF_LIKE(3, 4) complain(struct reader *r, const yaml_node_t *at, const char *format, ...)
{
    char words[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args); /* cut if too long */
    va_end(args);
    (void)DIAG_FAIL(r->diag, ERR_CONFIG, "%s:%zu: %s", r->manifest->file, at->start_mark.line + 1,
                    words);
    return false;
}

static struct slice
scalar(const yaml_node_t *node)
{
    return slice_of(node->data.scalar.value, node->data.scalar.length);
}

static bool
read_text(struct reader *r, yaml_node_t *value, const char **ret_text)
{
    if (value->type != YAML_SCALAR_NODE)
        return complain(r, value, "expected a text here");
    struct slice text = scalar(value);
    if (text.len == 0)
        return complain(r, value, "expected a text here, found nothing");
    if (slice_find_byte(text, '\0') >= 0 || text.len >= PATH_MAX)
        return complain(r, value, "a text of at most %d bytes without NUL is expected",
                        PATH_MAX - 1);
    *ret_text = arena_str(&r->manifest->arena, text);
    return true;
}

/* The index of the value in `words`, which end with NULL; `expected` lists them for the user. */
static bool
read_word(struct reader *r, yaml_node_t *value, const char *const *words, const char *expected,
          int *ret_index)
{
    if (value->type == YAML_SCALAR_NODE)
        for (int i = 0; words[i] != NULL; i++) {
            if (slice_eq_nocase(scalar(value), slice_str(words[i]))) {
                *ret_index = i;
                return true;
            }
        }
    return complain(r, value, "expected %s", expected);
}

static bool
read_bool(struct reader *r, yaml_node_t *value, bool *ret_value)
{
    static const char *const words[] = { "no", "false", "off", "yes", "true", "on", NULL };
    int index = 0;
    if (!read_word(r, value, words, "yes or no", &index))
        return false;
    *ret_value = index >= 3;
    return true;
}

static bool
read_amount(struct reader *r, yaml_node_t *value, uint64_t max, uint64_t *ret_value)
{
    int64_t amount;
    const char *reason;
    if (value->type != YAML_SCALAR_NODE || !quantity_parse(scalar(value), &amount, &reason) ||
        amount < 1 || (uint64_t)amount > max)
        return complain(r, value, "expected a number from 1 to %llu, such as 64 or 64Mi",
                        (unsigned long long)max);
    *ret_value = (uint64_t)amount;
    return true;
}

static yaml_node_t *
node_at(struct reader *r, int index)
{
    return yaml_document_get_node(r->document, index);
}

static bool
read_list(struct reader *r, yaml_node_t *value, struct manifest_list *ret_list)
{
    if (value->type != YAML_SEQUENCE_NODE)
        return complain(r, value, "expected a list, such as [a, b]");
    size_t count = (size_t)(value->data.sequence.items.top - value->data.sequence.items.start);
    if (count > LIST_ITEMS_MAX)
        return complain(r, value, "expected at most %d items", LIST_ITEMS_MAX);
    const char **items = ARENA_ARRAY(&r->manifest->arena, const char *, count);
    for (size_t i = 0; i < count; i++)
        if (!read_text(r, node_at(r, value->data.sequence.items.start[i]), &items[i]))
            return false;
    *ret_list = (struct manifest_list){ .items = items, .count = count };
    return true;
}

/* Each key is known and there once. */
static bool
read_mapping(struct reader *r, yaml_node_t *node, const struct field *fields, const char *what)
{
    if (node->type != YAML_MAPPING_NODE)
        return complain(r, node, "expected the fields of %s", what);
    uint32_t seen = 0;
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = node_at(r, pair->key);
        if (key->type != YAML_SCALAR_NODE)
            return complain(r, key, "expected the name of a field of %s", what);
        unsigned i = 0;
        while (fields[i].name != NULL && !slice_eq(scalar(key), slice_str(fields[i].name)))
            i++;
        if (fields[i].name == NULL)
            return complain(r, key, "%s has no field \"" SLICE_FMT "\"", what,
                            SLICE_ARG(slice_first(scalar(key), 64)));
        if ((seen & 1u << i) != 0)
            return complain(r, key, "\"%s\" is there twice", fields[i].name);
        seen |= 1u << i;
        if (!fields[i].read(r, node_at(r, pair->value)))
            return false;
    }
    return true;
}

/* The count of a list of mappings, or -1 after a complaint. */
static ptrdiff_t
items_of(struct reader *r, yaml_node_t *value, size_t max, const char *what)
{
    if (value->type != YAML_SEQUENCE_NODE) {
        (void)complain(r, value, "expected a list of %s", what);
        return -1;
    }
    ptrdiff_t count = value->data.sequence.items.top - value->data.sequence.items.start;
    if ((size_t)count > max) {
        (void)complain(r, value, "expected at most %zu %s", max, what);
        return -1;
    }
    return count;
}

/* Relative to the manifest's folder; without a "." at its end. */
static const char *
path_beside(const struct manifest *manifest, const char *path, struct arena *arena)
{
    if (path[0] == '/')
        return path;
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (strcmp(path, ".") == 0)
        return manifest->folder;
    return arena_printf(arena, "%s/%s", manifest->folder, path).data;
}

/* ------------------------------------------------------------------------------ types */

static bool
read_type_name(struct reader *r, yaml_node_t *value)
{
    const char *text = NULL;
    if (!read_text(r, value, &text))
        return false;
    char *lower = arena_str(&r->manifest->arena, slice_str(text));
    for (char *p = lower; *p != '\0'; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
    const char *star = strchr(lower, '*'), *dot = strchr(lower, '.');
    if (dot == NULL || strlen(lower) > 128 || (star != NULL && strcmp(dot, ".*") != 0))
        return complain(r, value, "expected a component type such as state.redis or state.*");
    r->type->type = lower;
    return true;
}

static bool
read_type_versions(struct reader *r, yaml_node_t *value)
{
    if (!read_list(r, value, &r->type->versions))
        return false;
    return r->type->versions.count > 0 || complain(r, value, "expected at least one version");
}

static bool
read_type_replace(struct reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "overlap", "exclusive", "handover", NULL };
    int index = 0;
    if (!read_word(r, value, words, "overlap, exclusive or handover", &index))
        return false;
    r->type->replace = (enum manifest_replace)index;
    return true;
}

static bool
read_type_environment(struct reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "none", "sidecar", NULL };
    int index = 0;
    if (!read_word(r, value, words, "none or sidecar", &index))
        return false;
    r->type->wants_environment = index == 1;
    return true;
}

static bool
read_types(struct reader *r, yaml_node_t *value)
{
    static const struct field fields[] = {
        { "type", read_type_name },
        { "versions", read_type_versions },
        { "replace", read_type_replace },
        { "environment", read_type_environment },
        { NULL, NULL },
    };
    static const char *v1[] = { "v1" };
    ptrdiff_t count = items_of(r, value, LIMIT_plugin_types_max, "component types");
    if (count < 0)
        return false;
    struct manifest *m = r->manifest;
    m->types = ARENA_ARRAY(&m->arena, struct manifest_type, (size_t)count);
    m->type_count = (size_t)count;
    for (ptrdiff_t i = 0; i < count; i++) {
        yaml_node_t *node = node_at(r, value->data.sequence.items.start[i]);
        r->type = &m->types[i];
        *r->type = (struct manifest_type){ .versions = { .items = v1, .count = 1 } };
        if (!read_mapping(r, node, fields, "a component type"))
            return false;
        if (r->type->type == NULL)
            return complain(r, node, "\"type\" is missing here");
    }
    return true;
}

static bool
read_types_variable(struct reader *r, yaml_node_t *value)
{
    return read_text(r, value, &r->manifest->types_variable);
}

static bool
read_types_folder(struct reader *r, yaml_node_t *value)
{
    if (!read_text(r, value, &r->manifest->types_folder))
        return false;
    return r->manifest->types_folder[0] == '/' || complain(r, value, "expected an absolute path");
}

static bool
read_types_from(struct reader *r, yaml_node_t *value)
{
    static const struct field fields[] = {
        { "variable", read_types_variable },
        { "folder", read_types_folder },
        { NULL, NULL },
    };
    if (!read_mapping(r, value, fields, "types_from"))
        return false;
    if (r->manifest->types_variable == NULL || r->manifest->types_folder == NULL)
        return complain(r, value, "\"types_from\" has \"variable\" and \"folder\"");
    return true;
}

static bool
has_any_type(const struct manifest *m)
{
    for (size_t i = 0; i < m->type_count; i++)
        if (strchr(m->types[i].type, '*') != NULL)
            return true;
    return false;
}

/* ------------------------------------------------------------------------------ files */

static bool
read_file_metadata(struct reader *r, yaml_node_t *value)
{
    return read_text(r, value, &r->file->metadata);
}

static bool
read_file_path(struct reader *r, yaml_node_t *value)
{
    const char *path = NULL;
    if (!read_text(r, value, &path) || path == NULL)
        return false;
    r->file->path = strncmp(path, "~/", 2) == 0
                        ? path
                        : path_beside(r->manifest, path, &r->manifest->arena);
    return true;
}

static bool
read_file_variable(struct reader *r, yaml_node_t *value)
{
    return read_text(r, value, &r->file->variable);
}

static bool
read_file_form(struct reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "path", "uri", "existing", NULL };
    int index = 0;
    if (!read_word(r, value, words, "path, uri or existing", &index))
        return false;
    r->file->is_uri = index == 1;
    r->file->is_existing = index == 2;
    return true;
}

static bool
read_file_access(struct reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "read", "write", "execute", NULL };
    int index = 0;
    if (!read_word(r, value, words, "read, write or execute", &index))
        return false;
    r->file->access = (enum manifest_access)index;
    return true;
}

static bool
read_file_folder(struct reader *r, yaml_node_t *value)
{
    return read_bool(r, value, &r->file->is_folder);
}

static bool
read_files(struct reader *r, yaml_node_t *value)
{
    static const struct field fields[] = {
        { "metadata", read_file_metadata },
        { "variable", read_file_variable },
        { "path", read_file_path },
        { "form", read_file_form },
        { "access", read_file_access },
        { "folder", read_file_folder },
        { NULL, NULL },
    };
    ptrdiff_t count = items_of(r, value, LIST_ITEMS_MAX, "files");
    if (count < 0)
        return false;
    struct manifest *m = r->manifest;
    m->files = ARENA_ARRAY(&m->arena, struct manifest_file, (size_t)count);
    m->file_count = (size_t)count;
    for (ptrdiff_t i = 0; i < count; i++) {
        yaml_node_t *node = node_at(r, value->data.sequence.items.start[i]);
        r->file = &m->files[i];
        if (!read_mapping(r, node, fields, "a file"))
            return false;
        const bool is_fixed = r->file->path != NULL || r->file->variable != NULL;
        if ((r->file->metadata != NULL) == is_fixed)
            return complain(r, node, "a file has either \"metadata\" or \"path\" or \"variable\"");
    }
    return true;
}

/* ------------------------------------------------------------------------------ the rest */

static bool
read_api_version(struct reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "remora.io/v1", NULL };
    int index = 0;
    r->is_api_version_known = true;
    return read_word(r, value, words, "remora.io/v1", &index);
}

static bool
read_kind(struct reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "Plugin", NULL };
    int index = 0;
    r->is_kind_known = true;
    return read_word(r, value, words, "Plugin", &index);
}

static bool
read_name(struct reader *r, yaml_node_t *value)
{
    const char *name = "";
    if (!read_text(r, value, &name))
        return false;
    size_t len = strlen(name);
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != len || len > NAME_BYTES_MAX)
        return complain(r, value, "expected at most %d of a-z, 0-9, '.' and '-'", NAME_BYTES_MAX);
    r->manifest->name = name;
    return true;
}

static bool
read_version(struct reader *r, yaml_node_t *value)
{
    return read_text(r, value, &r->manifest->version);
}

static bool
read_exec(struct reader *r, yaml_node_t *value)
{
    const char *path = NULL;
    if (!read_text(r, value, &path))
        return false;
    r->manifest->program = path_beside(r->manifest, path, &r->manifest->arena);
    return true;
}

static bool
read_interpreter(struct reader *r, yaml_node_t *value)
{
    const char *path = "";
    if (!read_text(r, value, &path))
        return false;
    bool is_bare = strchr(path, '/') == NULL;
    r->manifest->interpreter = is_bare ? path : path_beside(r->manifest, path, &r->manifest->arena);
    return true;
}

static bool
read_network(struct reader *r, yaml_node_t *value)
{
    return read_bool(r, value, &r->manifest->has_network);
}

static bool
read_host_services(struct reader *r, yaml_node_t *value)
{
    return read_list(r, value, &r->manifest->host_services);
}

static bool
read_environment(struct reader *r, yaml_node_t *value)
{
    return read_list(r, value, &r->manifest->environment);
}

static bool
read_links_max(struct reader *r, yaml_node_t *value)
{
    uint64_t links = 0;
    if (!read_amount(r, value, LINKS_MAX, &links))
        return false;
    r->manifest->links_max = (uint32_t)links;
    return true;
}

static bool
read_token(struct reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "fd", "env", NULL };
    int index = 0;
    if (!read_word(r, value, words, "fd or env", &index))
        return false;
    r->manifest->token_in_environment = index == 1;
    return true;
}

static bool
read_memory_bytes(struct reader *r, yaml_node_t *value)
{
    return read_amount(r, value, INT64_MAX / 16, &r->manifest->memory_bytes);
}

static bool
read_open_files(struct reader *r, yaml_node_t *value)
{
    return read_amount(r, value, 1 << 20, &r->manifest->open_files);
}

static bool
read_processes(struct reader *r, yaml_node_t *value)
{
    return read_amount(r, value, 1 << 20, &r->manifest->processes);
}

static bool
read_limits(struct reader *r, yaml_node_t *value)
{
    static const struct field fields[] = {
        { "memory_bytes", read_memory_bytes },
        { "open_files", read_open_files },
        { "processes", read_processes },
        { NULL, NULL },
    };
    return read_mapping(r, value, fields, "limits");
}

static const struct field manifest_fields[] = {
    { "apiVersion", read_api_version },
    { "kind", read_kind },
    { "name", read_name },
    { "version", read_version },
    { "exec", read_exec },
    { "interpreter", read_interpreter },
    { "types", read_types },
    { "types_from", read_types_from },
    { "network", read_network },
    { "files", read_files },
    { "host_services", read_host_services },
    { "links_max", read_links_max },
    { "token", read_token },
    { "environment", read_environment },
    { "limits", read_limits },
    { NULL, NULL },
};

static bool
read_document(struct reader *r)
{
    struct manifest *m = r->manifest;
    yaml_node_t *root = yaml_document_get_root_node(r->document);
    if (root == NULL) {
        (void)DIAG_FAIL(r->diag, ERR_CONFIG, "%s:1: empty; a document of kind Plugin is expected",
                        m->file);
        return false;
    }
    if (!read_mapping(r, root, manifest_fields, "a plugin"))
        return false;
    const char *missing = !r->is_api_version_known                     ? "apiVersion"
                          : !r->is_kind_known                          ? "kind"
                          : m->name == NULL                            ? "name"
                          : m->version == NULL                         ? "version"
                          : m->program == NULL                         ? "exec"
                          : m->type_count == 0                         ? "types"
                          : has_any_type(m) && m->types_folder == NULL ? "types_from"
                                                                       : NULL;
    return missing == NULL || complain(r, root, "\"%s\" is missing", missing);
}

static err_t
parse(struct slice text, struct manifest *m, struct diag *diag)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (yaml_parser_initialize(&parser) == 0)
        abort(); /* out of memory */
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.len);
    err_t err = ERR_CONFIG;
    if (yaml_parser_load(&parser, &document) == 0) {
        (void)DIAG_FAIL(diag, err, "%s:%zu: not YAML: %s", m->file, parser.problem_mark.line + 1,
                        parser.problem == NULL ? "cannot be read" : parser.problem);
        yaml_parser_delete(&parser);
        return err;
    }
    struct reader reader = { .document = &document, .manifest = m, .diag = diag };
    if (read_document(&reader))
        err = OK;
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return err;
}

/* ------------------------------------------------------------------------------ public */

err_t
manifest_parse(struct slice text, const char *path, struct manifest **ret_manifest,
               struct diag *diag)
{
    struct manifest *m = calloc(1, sizeof *m);
    if (m == NULL)
        abort();
    m->refs = 1;
    arena_init(&m->arena);
    m->source = arena_dup(&m->arena, text);
    m->links_max = 1;
    m->file = arena_str(&m->arena, slice_str(path));
    const char *slash = strrchr(path, '/');
    struct slice folder = slash == NULL ? SLICE(".") : slice_of(path, (size_t)(slash - path));
    char *real = realpath(arena_str(&m->arena, folder.len == 0 ? SLICE("/") : folder), NULL);
    m->folder = arena_str(&m->arena, real == NULL ? folder : slice_str(real));
    free(real);
    err_t err = parse(text, m, diag);
    if (err == OK)
        *ret_manifest = TAKE(m);
    manifest_unref(m);
    return err;
}

static err_t
read_whole(const char *path, struct slice *ret_text, struct diag *diag)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return DIAG_FAIL(diag, ERR_CONFIG, "%s: %s", path, strerror(errno));
    err_t err = OK;
    char *data = arena_alloc(diag->arena, LIMIT_manifest_bytes_max);
    size_t len = 0;
    for (;;) {
        ssize_t got = read(fd, data + len, (size_t)LIMIT_manifest_bytes_max - len);
        if (got <= 0) {
            if (got < 0)
                err = DIAG_FAIL(diag, ERR_CONFIG, "%s: %s", path, strerror(errno));
            break;
        }
        len += (size_t)got;
        if (len == LIMIT_manifest_bytes_max) {
            err = DIAG_FAIL(diag, ERR_CONFIG, "%s: larger than %d bytes", path,
                            LIMIT_manifest_bytes_max);
            break;
        }
    }
    (void)close(fd); /* only read from */
    *ret_text = slice_of(data, len);
    return err;
}

err_t
manifest_load(const char *path, struct manifest **ret_manifest, struct diag *diag)
{
    struct slice text = SLICE_EMPTY;
    err_t err = read_whole(path, &text, diag);
    return err != OK ? err : manifest_parse(text, path, ret_manifest, diag);
}

void
manifest_unref(struct manifest *manifest)
{
    if (manifest == NULL || --manifest->refs > 0)
        return;
    arena_fini(&manifest->arena);
    free(manifest);
}

struct manifest *
manifest_ref(const struct manifest *manifest)
{
    struct manifest *counted = (struct manifest *)(uintptr_t)manifest;
    counted->refs++;
    return counted;
}

/* NULL: nothing is wrong with it. */
static const char *
program_fault(const struct manifest *manifest, const struct stat *file)
{
    if (!S_ISREG(file->st_mode))
        return "is no file";
    if (file->st_uid != geteuid() && file->st_uid != 0)
        return "belongs to another user";
    if ((file->st_mode & S_IWOTH) != 0)
        return "can be written by everybody";
    if (manifest->interpreter == NULL && access(manifest->program, X_OK) != 0)
        return "cannot be executed";
    return NULL;
}

err_t
manifest_set_program(struct manifest *manifest, struct slice path, struct diag *diag)
{
    struct stat file;
    const char *text = arena_str(&manifest->arena, path);
    if (path.len == 0 || path.data[0] != '/' || strlen(text) != path.len)
        return DIAG_FAIL(diag, ERR_CONFIG, "a program is named by its absolute path");
    char *whole = realpath(text, NULL);
    if (whole == NULL || stat(whole, &file) != 0) {
        free(whole);
        return DIAG_FAIL(diag, ERR_CONFIG, "%s: %s", text, strerror(errno));
    }
    manifest->program = arena_str(&manifest->arena, slice_str(whole));
    manifest->has_other_program = true;
    free(whole);
    const char *fault = program_fault(manifest, &file);
    return fault == NULL ? OK : DIAG_FAIL(diag, ERR_CONFIG, "%s %s", manifest->program, fault);
}

static const struct manifest_type *
find_type(const struct manifest *manifest, struct slice type, struct slice version)
{
    for (size_t i = 0; i < manifest->type_count; i++) {
        const struct manifest_type *t = &manifest->types[i];
        if (!slice_eq_nocase(type, slice_str(t->type)))
            continue;
        for (size_t v = 0; v < t->versions.count; v++)
            if (slice_eq_nocase(version, slice_str(t->versions.items[v])))
                return t;
    }
    return NULL;
}

struct slice
manifest_any_type(struct slice type, struct arena *arena)
{
    ptrdiff_t dot = slice_find_byte(type, '.');
    return dot < 0 ? SLICE_EMPTY
                   : arena_printf(arena, SLICE_FMT ".*", SLICE_ARG(slice_first(type, (size_t)dot)));
}

const struct manifest_type *
manifest_find_type(const struct manifest *manifest, struct slice type, struct slice version)
{
    const struct manifest_type *found = find_type(manifest, type, version);
    if (found == NULL && manifest->types_folder != NULL) {
        struct arena scratch;
        arena_init(&scratch);
        found = find_type(manifest, manifest_any_type(type, &scratch), version);
        arena_fini(&scratch);
    }
    return found;
}

bool
manifest_grants(const struct manifest *manifest, struct slice host_service)
{
    for (size_t i = 0; i < manifest->host_services.count; i++)
        if (slice_eq(host_service, slice_str(manifest->host_services.items[i])))
            return true;
    return false;
}
