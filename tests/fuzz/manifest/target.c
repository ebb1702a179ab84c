/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin.yaml of any bytes, and what a plugin prints: the two things an author unknown to us
 * hands to the supervisor. What was read must be whole; a command line can be made of it. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "supervisor/command.h"
#include "supervisor/output.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
get_env(void *arg, const char *name)
{
    (void)arg;
    return name;
}

static void
use(const struct manifest *m, struct slice value, struct arena *arena)
{
    assert(strlen(m->name) > 0 && strlen(m->version) > 0);
    assert(m->program[0] == '/');
    assert(m->type_count > 0 && m->links_max >= 1);
    for (size_t i = 0; i < m->type_count; i++) {
        struct slice version = slice_str(m->types[i].versions.items[0]);
        assert(manifest_find_type(m, slice_str(m->types[i].type), version) != NULL);
    }
    for (size_t i = 0; i < m->file_count; i++) {
        const struct manifest_file *file = &m->files[i];
        const char *path = file->metadata == NULL
                               ? manifest_fixed_path(file, (struct env){ .get = get_env }, arena)
                               : manifest_path_of(file, value, arena);
        assert(path == NULL || path[0] == '/');
    }
    struct command_args args = {
        .manifest = m,
        .exec_path = "/bin/remora-exec",
        .environment = { .get = get_env },
        .socket_path = "/run/p0.1",
        .token = "secret",
        .parent = 1,
    };
    struct command command = command_build(&args, arena);
    for (char **word = command.argv; *word != NULL; word++)
        assert(strcmp(*word, "secret") != 0);
}

static bool
on_line(void *arg, struct slice line, bool is_logged)
{
    (void)arg;
    (void)is_logged;
    assert(line.len > 0 && line.len <= LIMIT_stderr_line_bytes);
    for (size_t i = 0; i < line.len; i++)
        assert((unsigned char)line.data[i] >= 0x20);
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct manifest *m = NULL;
    struct output output;
    struct arena arena;
    struct diag diag;
    arena_init(&arena);
    diag_init(&diag, &arena);
    if (manifest_parse(text, "/usr/plugin.yaml", &m, &diag) == OK)
        use(m, slice_first(text, 100), &arena);
    else
        assert(slice_has_prefix(diag.message, SLICE("/usr/plugin.yaml:")));
    manifest_unref(m);
    output_init(&output);
    output_feed(&output, slice_first(text, size / 2), on_line, NULL);
    output_feed(&output, slice_from(text, size / 2), on_line, NULL);
    output_flush(&output, on_line, NULL);
    output_fini(&output);
    arena_fini(&arena);
    return 0;
}
