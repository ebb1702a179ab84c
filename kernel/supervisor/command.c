/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of remora-exec says in words what a plugin may do, so that `ps` shows it and a
 * person can run it by hand. The token is not on it. The environment holds what is listed here and
 * what the manifest names: the kernel's own may carry secrets of every component.
 */
#include "supervisor/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

struct words {
    struct arena *arena;
    char **items;
    size_t count;
    size_t capacity;
};

static void
add(struct words *words, struct slice word)
{
    if (words->count == words->capacity) {
        size_t bytes = words->capacity * sizeof words->items[0];
        words->items = arena_grow(words->arena, words->items, bytes, bytes * 2);
        words->capacity *= 2;
    }
    words->items[words->count++] = arena_str(words->arena, word);
}

static void PRINTF_LIKE(2, 3) addf(struct words *words, const char *format, ...)
{
    char text[LIMIT_stderr_line_bytes];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add(words, slice_of(text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1));
}

static struct words
words_new(struct arena *arena)
{
    return (struct words){
        .arena = arena,
        .items = ARENA_ARRAY(arena, char *, 32),
        .capacity = 32,
    };
}

/* With the NULL at the end. */
static char **
finish(struct words *words)
{
    add(words, SLICE_EMPTY);
    words->items[words->count - 1] = NULL;
    return words->items;
}

/* ------------------------------------------------------------------------------ command line */

static void
add_path(struct words *argv, enum manifest_access access, const char *path)
{
    static const char *const options[] = {
        [ACCESS_READ] = "--read=", [ACCESS_WRITE] = "--write=", [ACCESS_EXECUTE] = "--execute="
    };
    add(argv, arena_printf(argv->arena, "%s%s", options[access], path));
}

static void
add_fixed(struct words *argv, const struct command_args *args, const struct manifest_file *file)
{
    const char *path = file->metadata != NULL
                           ? NULL
                           : manifest_fixed_path(file, args->environment, argv->arena);
    if (path != NULL)
        add_path(argv, file->access, path);
}

static void
add_paths(struct words *argv, const struct command_args *args)
{
    const struct manifest *m = args->manifest;
    add_path(argv, ACCESS_EXECUTE, m->folder);
    if (m->has_other_program) /* which lies elsewhere */
        add_path(argv, ACCESS_EXECUTE, m->program);
    for (size_t i = 0; i < m->file_count; i++)
        add_fixed(argv, args, &m->files[i]);
    const char *types = manifest_types_folder(m, args->environment, argv->arena);
    if (types != NULL)
        add_path(argv, ACCESS_READ, types);
    for (size_t i = 0; i < args->path_count; i++)
        add_path(argv, args->paths[i].access, args->paths[i].path);
    static const char *const trust[] = { "SSL_CERT_FILE", "SSL_CERT_DIR" };
    for (size_t i = 0; i < ARRAY_LEN(trust); i++) {
        const char *path = env_get(args->environment, trust[i]);
        if (path != NULL && path[0] == '/')
            add_path(argv, ACCESS_READ, path);
    }
}

static void
add_program(struct words *argv, const struct manifest *m)
{
    if (m->interpreter == NULL) {
        add(argv, slice_str(m->program));
        return;
    }
    /* A bare name is looked up by env(1), which every system has where scripts expect it. */
    if (m->interpreter[0] != '/')
        add(argv, SLICE("/usr/bin/env"));
    add(argv, slice_str(m->interpreter));
    add(argv, slice_str(m->program));
}

static char **
build_argv(const struct command_args *args, struct arena *arena)
{
    static const char *const sandboxes[] = {
        [SANDBOX_BEST_EFFORT] = "best-effort", [SANDBOX_REQUIRE] = "require", [SANDBOX_OFF] = "off"
    };
    const struct manifest *m = args->manifest;
    struct words argv = words_new(arena);
    add(&argv, slice_str(args->exec_path));
    addf(&argv, "--parent=%d", (int)args->parent);
    addf(&argv, "--sandbox=%s", sandboxes[args->sandbox]);
    addf(&argv, "--network=%s", m->has_network ? "yes" : "no");
    addf(&argv, "--open-files=%llu",
         m->open_files != 0 ? (unsigned long long)m->open_files
                            : (unsigned long long)LIMIT_plugin_open_files);
    if (m->memory_bytes != 0)
        addf(&argv, "--memory=%llu", (unsigned long long)m->memory_bytes);
    if (m->processes != 0)
        addf(&argv, "--processes=%llu", (unsigned long long)m->processes);
    if (!m->token_in_environment)
        add(&argv, SLICE("--token-fd"));
    add_paths(&argv, args);
    add(&argv, SLICE("--"));
    add_program(&argv, m);
    return finish(&argv);
}

/* ------------------------------------------------------------------------------ environment */

static const char *const passed_always[] = {
    "LANG",         "LC_ALL",        "LC_CTYPE",     "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
#ifdef REMORA_SANITIZE
    "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
#endif
};

static const char *const passed_with_network[] = {
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
};

static void
pass(struct words *envp, struct env environment, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = env_get(environment, names[i]);
        if (value != NULL && strncmp(names[i], "REMORA_", 7) != 0)
            add(envp, arena_printf(envp->arena, "%s=%s", names[i], value));
    }
}

static char **
build_envp(const struct command_args *args, struct arena *arena)
{
    const struct manifest *m = args->manifest;
    struct words envp = words_new(arena);
    add(&envp, SLICE("PATH=/usr/local/bin:/usr/bin:/bin"));
    add(&envp, arena_printf(arena, "REMORA_URL=ipc://%s", args->socket_path));
    if (m->token_in_environment)
        add(&envp, arena_printf(arena, "REMORA_TOKEN=%s", args->token));
    pass(&envp, args->environment, passed_always, ARRAY_LEN(passed_always));
#ifdef REMORA_SANITIZE
    if (args->sandbox != SANDBOX_OFF) /* the leak check is done with ptrace */
        add(&envp, SLICE("LSAN_OPTIONS=detect_leaks=0"));
#endif
    if (m->has_network)
        pass(&envp, args->environment, passed_with_network, ARRAY_LEN(passed_with_network));
    pass(&envp, args->environment, m->environment.items, m->environment.count);
    for (size_t i = 0; i < m->file_count; i++)
        if (m->files[i].variable != NULL)
            pass(&envp, args->environment, &m->files[i].variable, 1);
    if (m->types_variable != NULL)
        pass(&envp, args->environment, &m->types_variable, 1);
    return finish(&envp);
}

struct command
command_build(const struct command_args *args, struct arena *arena)
{
    return (struct command){ .argv = build_argv(args, arena), .envp = build_envp(args, arena) };
}
