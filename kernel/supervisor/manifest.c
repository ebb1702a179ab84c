/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads plugin.yaml (manifest.h has the format) into a checked struct. Manifests come with plugins
 * of any author: size, depth and every value are bounded, and each complaint names its line.
 */
#include "supervisor/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "supervisor/manifest_reader.h"

enum { NAME_BYTES_MAX = 40, LINKS_MAX = 64 };

/* --- fields ------------------------------------------------------------------------------------*/

static bool
read_api_version(struct manifest_reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "remora.io/v1", NULL };
    int index = 0;
    r->is_api_version_known = true;
    return manifest_read_word(r, value, words, "remora.io/v1", &index);
}

static bool
read_kind(struct manifest_reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "Plugin", NULL };
    int index = 0;
    r->is_kind_known = true;
    return manifest_read_word(r, value, words, "Plugin", &index);
}

static bool
read_name(struct manifest_reader *r, yaml_node_t *value)
{
    const char *name = "";
    if (!manifest_read_text(r, value, &name))
        return false;
    size_t len = strlen(name);
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != len || len > NAME_BYTES_MAX)
        return manifest_complain(r, value, "expected at most %d of a-z, 0-9, '.' and '-'",
                                 NAME_BYTES_MAX);
    r->manifest->name = name;
    return true;
}

static bool
read_version(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_text(r, value, &r->manifest->version);
}

static bool
read_exec(struct manifest_reader *r, yaml_node_t *value)
{
    const char *path = NULL;
    if (!manifest_read_text(r, value, &path))
        return false;
    r->manifest->program = manifest_path_beside(r->manifest, path, &r->manifest->arena);
    return true;
}

static bool
read_interpreter(struct manifest_reader *r, yaml_node_t *value)
{
    const char *path = "";
    if (!manifest_read_text(r, value, &path))
        return false;
    bool is_bare = strchr(path, '/') == NULL;
    r->manifest->interpreter = is_bare
                                   ? path
                                   : manifest_path_beside(r->manifest, path, &r->manifest->arena);
    return true;
}

static bool
read_network(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_bool(r, value, &r->manifest->has_network);
}

static bool
read_host_services(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_list(r, value, &r->manifest->host_services);
}

static bool
read_environment(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_list(r, value, &r->manifest->environment);
}

static bool
read_links_max(struct manifest_reader *r, yaml_node_t *value)
{
    uint64_t links = 0;
    if (!manifest_read_amount(r, value, LINKS_MAX, &links))
        return false;
    r->manifest->links_max = (uint32_t)links;
    return true;
}

static bool
read_token(struct manifest_reader *r, yaml_node_t *value)
{
    static const char *const words[] = { "fd", "env", NULL };
    int index = 0;
    if (!manifest_read_word(r, value, words, "fd or env", &index))
        return false;
    r->manifest->token_in_environment = index == 1;
    return true;
}

static bool
read_memory_bytes(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_amount(r, value, INT64_MAX / 16, &r->manifest->memory_bytes);
}

static bool
read_open_files(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_amount(r, value, 1 << 20, &r->manifest->open_files);
}

static bool
read_processes(struct manifest_reader *r, yaml_node_t *value)
{
    return manifest_read_amount(r, value, 1 << 20, &r->manifest->processes);
}

static bool
read_limits(struct manifest_reader *r, yaml_node_t *value)
{
    static const struct manifest_field fields[] = {
        { "memory_bytes", read_memory_bytes },
        { "open_files", read_open_files },
        { "processes", read_processes },
        { NULL, NULL },
    };
    return manifest_read_mapping(r, value, fields, "limits");
}

static const struct manifest_field manifest_fields[] = {
    { "apiVersion", read_api_version },
    { "kind", read_kind },
    { "name", read_name },
    { "version", read_version },
    { "exec", read_exec },
    { "interpreter", read_interpreter },
    { "types", manifest_read_types },
    { "types_from", manifest_read_types_from },
    { "network", read_network },
    { "files", manifest_read_files },
    { "host_services", read_host_services },
    { "links_max", read_links_max },
    { "token", read_token },
    { "environment", read_environment },
    { "limits", read_limits },
    { NULL, NULL },
};

static bool
read_document(struct manifest_reader *r)
{
    struct manifest *m = r->manifest;
    yaml_node_t *root = yaml_document_get_root_node(r->document);
    if (root == NULL) {
        (void)DIAG_FAIL(r->diag, ERR_CONFIG, "%s:1: empty; a document of kind Plugin is expected",
                        m->file);
        return false;
    }
    if (!manifest_read_mapping(r, root, manifest_fields, "a plugin"))
        return false;
    const char *missing = !r->is_api_version_known                              ? "apiVersion"
                          : !r->is_kind_known                                   ? "kind"
                          : m->name == NULL                                     ? "name"
                          : m->version == NULL                                  ? "version"
                          : m->program == NULL                                  ? "exec"
                          : m->type_count == 0                                  ? "types"
                          : manifest_has_any_type(m) && m->types_folder == NULL ? "types_from"
                                                                                : NULL;
    return missing == NULL || manifest_complain(r, root, "\"%s\" is missing", missing);
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
    struct manifest_reader reader = { .document = &document, .manifest = m, .diag = diag };
    if (read_document(&reader))
        err = OK;
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return err;
}

/* --- public ------------------------------------------------------------------------------------*/

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

bool
manifest_grants(const struct manifest *manifest, struct slice host_service)
{
    for (size_t i = 0; i < manifest->host_services.count; i++)
        if (slice_eq(host_service, slice_str(manifest->host_services.items[i])))
            return true;
    return false;
}
