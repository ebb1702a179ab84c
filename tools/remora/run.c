/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `remora run [flags] [--] [command …]` and `remora init`. Every flag of the sidecar is a flag of
 * `run` and handed on; what is not given gets the launcher's defaults: resources of the data
 * directory, free ports, an id.
 */
#include "run.h"

#include <stdio.h>
#include <unistd.h>

#include "launch.h"
#include "say.h"

#define TAKES_BOOL false
#define TAKES_INT true
#define TAKES_UINT true
#define TAKES_DURATION true
#define TAKES_TEXT true
#define TAKES_TEXTS true

/* Those of our own come first. */
static const struct arg_flag run_flags[] = {
    { "dir", true },      { "help", false },        { "kubernetes", false },
    { "run-file", true }, { "runtime-path", true },
#define FLAG(field, name, type, default_text, status, what) { name, TAKES_##type },
#include "config/flags.def"
#undef FLAG
};
enum { OWN_FLAGS = 5 };

static const struct arg_letter run_letters[] = {
    { 'a', "app-id" },         { 'p', "app-port" },
    { 'P', "app-protocol" },   { 'c', "config" },
    { 'd', "resources-path" }, { 'H', "dapr-http-port" },
    { 'G', "dapr-grpc-port" }, { 'I', "dapr-internal-grpc-port" },
    { 'M', "metrics-port" },   { 'u', "unix-domain-socket" },
    { 'f', "run-file" },       { 'k', "kubernetes" },
    { 'h', "help" },
};

const struct arg_syntax run_syntax = {
    .flags = run_flags,
    .flag_count = ARRAY_LEN(run_flags),
    .letters = run_letters,
    .letter_count = ARRAY_LEN(run_letters),
    .ends_at_word = true,
};

static const char run_help[] =
    "Usage: remora run [FLAGS] [--] [COMMAND [ARGUMENTS]]\n"
    "       remora run -f FILE|FOLDER\n"
    "\n"
    "Starts a sidecar, then COMMAND with DAPR_HTTP_PORT, DAPR_GRPC_PORT, APP_ID and more in its\n"
    "environment; without COMMAND the sidecar alone. When one ends, so does the other.\n"
    "\n"
    "  -a, --app-id ID             one is made up if not given\n"
    "  -p, --app-port PORT         the application's\n"
    "  -P, --app-protocol NAME     http, https, grpc, grpcs or h2c\n"
    "  -d, --resources-path DIR    may be given several times; the data directory's if not given\n"
    "  -c, --config FILE           may be given several times\n"
    "  -H, --dapr-http-port PORT   3500, or any free one if not given\n"
    "  -G, --dapr-grpc-port PORT   50001, or any free one\n"
    "  -M, --metrics-port PORT     9090, or any free one\n"
    "  -u, --unix-domain-socket DIR   for sockets instead of these ports\n"
    "  -f, --run-file FILE         several applications at once; a folder: its dapr.yaml\n"
    "      --dir DIR               the data directory, ~/.local/share/remora if not given\n"
    "      --runtime-path DIR      the data directory is .dapr in it\n"
    "  -h, --help                  this text\n"
    "\n"
    "All other flags are the sidecar's: `remorad --help` lists them.\n"
    "The exit code is COMMAND's; 1 if the sidecar failed, 2 if the flags make no sense.\n";

/* Output before there is an outlet. */
static void
say_written(void *arg, const char *path)
{
    (void)arg;
    printf("ℹ️  Wrote %s\n", path);
}

/* The data directory of --dir, --runtime-path, or the user's. */
static bool
find_home(struct arena *arena, const struct args *args, struct home *ret_home)
{
    const char *dir = args_get(args, "dir"), *runtime = args_get(args, "runtime-path");
    bool is_daprs = dir == NULL && runtime != NULL;
    if (is_daprs)
        dir = path_from(arena, runtime, ".dapr");
    if (!home_find(arena, dir, ret_home))
        return false;
    ret_home->is_daprs = is_daprs;
    return true;
}

/* --- one application ---------------------------------------------------------------------------*/

static bool
is_own(const char *name)
{
    for (size_t i = 0; i < OWN_FLAGS; i++)
        if (slice_eq(slice_str(name), slice_str(run_flags[i].name)))
            return true;
    return false;
}

static void
hand_on(struct arena *arena, const struct args *args, struct wish *wish)
{
    for (size_t i = 0; i < args->count; i++) {
        const struct arg *arg = &args->given[i];
        if (slice_eq(slice_str(arg->name), SLICE("app-id")))
            wish->app_id = arg->value;
        else if (!is_own(arg->name))
            text_list_add(arena, &wish->flags,
                          arena_printf(arena, "--%s=%s", arg->name, arg->value));
    }
}

/* Once, for who has none yet; a user's own resources and configuration need none. A folder of
 * Dapr's is used as it is. */
static bool
prepare_home(struct arena *arena, const struct wish *wish, const struct home *home)
{
    unsigned parts = 0;
    bool has_components = path_is_folder(home->components);
    if (flags_get(&wish->flags, "resources-path").data == NULL &&
        flags_get(&wish->flags, "components-path").data == NULL && !has_components)
        parts |= HOME_COMPONENTS;
    if (flags_get(&wish->flags, "config").data == NULL && access(home->config, F_OK) != 0 &&
        (!home->is_daprs || parts != 0))
        parts |= HOME_CONFIG;
    return parts == 0 || home_init(arena, home, parts, say_written, NULL);
}

static int
run_one(struct arena *arena, const struct args *args, const struct home *home)
{
    struct plan plan;
    struct wish wish = { .command = args->word_count == 0 ? NULL : args->words,
                         .home = home,
                         .app_log = LOG_TO_CONSOLE,
                         .sidecar_log = LOG_TO_CONSOLE };
    hand_on(arena, args, &wish);
    if (!prepare_home(arena, &wish, home))
        return EXIT_NOT_DONE;
    int code = plan_make(arena, &wish, &plan);
    (void)fflush(stdout); /* the outlet comes after */
    return code != 0 ? code : launch_run(&plan, 1, false);
}

/* --- a run file --------------------------------------------------------------------------------*/

static int
run_several(struct arena *arena, const struct args *args, const struct home *home)
{
    struct wish *wishes;
    size_t count, made = 0;
    for (size_t i = 0; i < args->count; i++)
        if (!is_own(args->given[i].name))
            return misused("--%s does not go with --run-file", args->given[i].name);
    if (args->word_count > 0)
        return misused("%s does not go with --run-file", args->words[0]);
    int code = run_file_read(arena, args_get(args, "run-file"), home, &wishes, &count);
    if (code != 0)
        return code;
    for (size_t i = 0; i < count; i++)
        if (wishes[i].home == home && !prepare_home(arena, &wishes[i], home))
            return EXIT_NOT_DONE;
    struct plan *plans = ARENA_ARRAY(arena, struct plan, count);
    while (made < count && code == 0)
        code = plan_make(arena, &wishes[made], &plans[made]), made += code == 0;
    (void)fflush(stdout); /* the outlet comes after */
    if (code == 0)
        return launch_run(plans, count, true);
    for (size_t i = 0; i < made; i++)
        plan_release(&plans[i]);
    return code;
}

int
run_command(struct arena *arena, char **argv)
{
    struct args args;
    struct slice message;
    struct home home;
    if (!args_read(arena, &run_syntax, argv, &args, &message))
        return misused(SLICE_FMT, SLICE_ARG(message));
    if (args_has(&args, "help")) {
        (void)fputs(run_help, stdout); /* main() looks at stdout at the end */
        return EXIT_DONE;
    }
    if (args_has(&args, "kubernetes"))
        return misused("--kubernetes is not implemented: this runs programs of this machine");
    if (!find_home(arena, &args, &home))
        return EXIT_NOT_DONE;
    return args_get(&args, "run-file") != NULL ? run_several(arena, &args, &home)
                                               : run_one(arena, &args, &home);
}

/* --- init --------------------------------------------------------------------------------------*/

static const struct arg_flag init_flags[] = { { "dir", true },
                                              { "help", false },
                                              { "kubernetes", false },
                                              { "runtime-path", true },
                                              { "slim", false } };
static const struct arg_letter init_letters[] = { { 'h', "help" },
                                                  { 'k', "kubernetes" },
                                                  { 's', "slim" } };

static void
count_written(void *arg, const char *path)
{
    (*(size_t *)arg)++;
    say_written(NULL, path);
}

int
init_command(struct arena *arena, char **argv)
{
    const struct arg_syntax syntax = { .flags = init_flags,
                                       .flag_count = ARRAY_LEN(init_flags),
                                       .letters = init_letters,
                                       .letter_count = ARRAY_LEN(init_letters) };
    struct args args;
    struct slice message;
    struct home home;
    size_t written = 0;
    if (!args_read(arena, &syntax, argv, &args, &message))
        return misused(SLICE_FMT, SLICE_ARG(message));
    if (args_has(&args, "kubernetes"))
        return misused("--kubernetes is not implemented: this is for programs of this machine");
    if (args.word_count > 0)
        return misused("%s is one word too many", args.words[0]);
    if (args_has(&args, "help")) {
        printf("Usage: remora init [--dir DIR]\n\n"
               "Writes the resources that `remora run` gives a sidecar when it is told nothing.\n"
               "What exists is left as it is. DIR is ~/.local/share/remora if not given.\n");
        return EXIT_DONE;
    }
    if (!find_home(arena, &args, &home) ||
        !home_init(arena, &home, HOME_COMPONENTS | HOME_CONFIG, count_written, &written))
        return EXIT_NOT_DONE;
    if (written == 0)
        printf("✅  Everything is there already, in %s\n", home.path);
    else
        printf("✅  Success! `remora run` gives a sidecar what is in %s\n", home.path);
    return EXIT_DONE;
}
