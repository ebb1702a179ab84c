/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be started; see plan.h. */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"

enum { HTTP_PORT = 3500, GRPC_PORT = 50001, METRICS_PORT = 9090 };
enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

/* --- lists of arguments ------------------------------------------------------------------------*/

/* A growing NULL-terminated array, as exec wants it. */
struct words {
    struct arena *arena;
    char **items;
    size_t count;
};

static void
add(struct words *words, const char *text)
{
    size_t bytes = (words->count + 1) * sizeof(char *);
    words->items = arena_grow(words->arena, words->items, words->count == 0 ? 0 : bytes,
                              bytes + sizeof(char *));
    words->items[words->count++] = (char *)(uintptr_t)text; /* exec only reads it */
    words->items[words->count] = NULL;
}

static struct slice
name_of(const char *assignment)
{
    struct slice text = slice_str(assignment);
    ptrdiff_t equals = slice_find_byte(text, '=');
    return equals < 0 ? text : slice_first(text, (size_t)equals);
}

/* NAME=value, in place of an earlier one. */
static void
set(struct words *env, const char *assignment)
{
    for (size_t i = 0; i < env->count; i++)
        if (slice_eq(name_of(env->items[i]), name_of(assignment))) {
            env->items[i] = (char *)(uintptr_t)assignment; /* as above */
            return;
        }
    add(env, assignment);
}

static void
set_number(struct words *env, const char *name, unsigned number)
{
    if (number > 0)
        set(env, arena_printf(env->arena, "%s=%u", name, number).data);
}

static void
set_text(struct words *env, const char *name, const char *value)
{
    set(env, arena_printf(env->arena, "%s=%s", name, value).data);
}

struct slice
flags_get(const struct text_list *flags, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = flags->count; i > 0; i--) {
        struct slice flag = flags->items[i - 1];
        if (flag.len > len + 2 && flag.data[len + 2] == '=' &&
            memcmp(flag.data + 2, name, len) == 0)
            return slice_from(flag, len + 3);
    }
    return (struct slice){ 0 };
}

/* --- programs ----------------------------------------------------------------------------------*/

static bool
is_program(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

/* What a shell would run for `name` in `folder`; NULL: nothing. */
static const char *
find_program(struct arena *arena, const char *folder, const char *name, const char *path)
{
    char here[] = ".";
    if (strchr(name, '/') != NULL)
        return path_from(arena, folder == NULL ? here : folder, name);
    struct slice part;
    for (struct slice rest = slice_str(path); path != NULL && slice_split(&rest, ':', &part);) {
        const char *candidate = arena_printf(arena, SLICE_FMT "/%s", SLICE_ARG(part), name).data;
        if (part.len == 0)
            candidate = arena_printf(arena, "./%s", name).data;
        if (candidate[0] != '/' && folder != NULL)
            candidate = path_from(arena, folder, candidate);
        if (is_program(candidate))
            return candidate;
    }
    return NULL;
}

/* A program of ours: all lie in one folder. */
static const char *
own_program(struct arena *arena, const char *name)
{
    char path[3072];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len <= 0) {
        complain("/proc/self/exe: %s", strerror(errno));
        return NULL;
    }
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    *slash = '\0'; /* a link of /proc is absolute */
    const char *program = arena_printf(arena, "%s/%s", path, name).data;
    if (is_program(program))
        return program;
    complain("%s is not there: remora needs it beside itself", program);
    return NULL;
}

/* --- parts of a plan ---------------------------------------------------------------------------*/

static bool
pick_id(struct arena *arena, struct plan *plan)
{
    uint32_t random;
    plan->app_id = plan->wish.app_id;
    if (plan->app_id != NULL && plan->app_id[0] != '\0')
        return true;
    if (getrandom(&random, sizeof random, 0) != sizeof random) {
        complain("no random numbers: %s", strerror(errno));
        return false;
    }
    plan->app_id = arena_printf(arena, "app-%08x", random).data;
    return true;
}

static bool
reserve(struct arena *arena, struct plan *plan, const char *name, uint16_t preferred,
        struct reservation *ret_reservation)
{
    struct slice given = flags_get(&plan->wish.flags, name);
    int64_t port;
    bool is_any = given.len == 0 || (slice_to_i64(given, &port) && port <= 0);
    if (!is_any)
        return true;
    if (!port_reserve(preferred, ret_reservation)) {
        complain("no port for --%s: %s", name, strerror(errno));
        return false;
    }
    text_list_add(arena, &plan->wish.flags,
                  arena_printf(arena, "--%s=%u", name, ret_reservation->port));
    return true;
}

/* With Unix sockets the APIs have no ports. */
static bool
reserve_ports(struct arena *arena, struct plan *plan)
{
    bool ok = true;
    if (flags_get(&plan->wish.flags, "unix-domain-socket").len == 0)
        ok = reserve(arena, plan, "dapr-http-port", HTTP_PORT, &plan->http) &&
             reserve(arena, plan, "dapr-grpc-port", GRPC_PORT, &plan->grpc);
    return ok && reserve(arena, plan, "metrics-port", METRICS_PORT, &plan->metrics);
}

static void
use_defaults(struct arena *arena, struct plan *plan)
{
    const struct home *home = plan->wish.home;
    struct text_list *flags = &plan->wish.flags;
    if (home != NULL && flags_get(flags, "resources-path").data == NULL &&
        flags_get(flags, "components-path").data == NULL && path_is_folder(home->components))
        text_list_add(arena, flags, arena_printf(arena, "--resources-path=%s", home->components));
    if (home != NULL && flags_get(flags, "config").data == NULL && access(home->config, F_OK) == 0)
        text_list_add(arena, flags, arena_printf(arena, "--config=%s", home->config));
}

/* The sidecar's own parser judges its flags before it is started. */
static int
read_options(struct arena *arena, struct plan *plan, struct words *argv)
{
    struct slice message;
    add(argv, arena_printf(arena, "--app-id=%s", plan->app_id).data);
    for (size_t i = 0; i < plan->wish.flags.count; i++)
        add(argv, plan->wish.flags.items[i].data);
    enum cli_verdict verdict = cli_parse(arena, (int)argv->count, argv->items, env_of_process(),
                                         &plan->options, &message);
    if (verdict == CLI_RUN)
        return 0;
    if (message.len == 0)
        message = SLICE("--version, --build-info and --wait are remorad's");
    complain(SLICE_FMT, SLICE_ARG(message));
    return EXIT_USAGE;
}

static void
name_sockets(struct arena *arena, struct plan *plan)
{
    struct slice folder = plan->options.unix_domain_socket;
    if (folder.len == 0)
        return;
    plan->http_socket =
        arena_printf(arena, SLICE_FMT "/dapr-%s-http.socket", SLICE_ARG(folder), plan->app_id).data;
    plan->grpc_socket =
        arena_printf(arena, SLICE_FMT "/dapr-%s-grpc.socket", SLICE_ARG(folder), plan->app_id).data;
}

static struct words
inherited(struct arena *arena, const struct plan *plan)
{
    struct words env = { .arena = arena };
    for (char **variable = environ; *variable != NULL; variable++)
        add(&env, *variable);
    /* A sidecar ends when it finds no address at which others could reach it. */
    if (getenv("DAPR_HOST_IP") == NULL && machine_is_alone())
        set_text(&env, "DAPR_HOST_IP", "127.0.0.1");
    for (size_t i = 0; i < plan->wish.env.count; i++)
        set(&env, plan->wish.env.items[i].data);
    return env;
}

/* What the reference tells an application; what the user sets himself comes last. */
static void
fill_app_env(struct arena *arena, struct plan *plan)
{
    const struct options *options = &plan->options;
    struct words env = { .arena = arena };
    for (char **variable = environ; *variable != NULL; variable++)
        add(&env, *variable);
    set_text(&env, "APP_ID", plan->app_id);
    set_text(&env, "APP_CHANNEL_ADDRESS", options->app_channel_address.data);
    set_text(&env, "APP_PROTOCOL",
             options->app_protocol.len == 0 ? "http" : options->app_protocol.data);
    set_number(&env, "APP_PORT", options->app_port);
    if (plan->http_socket == NULL) {
        set_number(&env, "DAPR_HTTP_PORT", options->http_port);
        set_number(&env, "DAPR_GRPC_PORT", options->grpc_port);
    }
    set_number(&env, "DAPR_METRICS_PORT", options->metrics_port);
    for (size_t i = 0; i < plan->wish.env.count; i++)
        set(&env, plan->wish.env.items[i].data);
    plan->app_env = env.items;
}

/* remora-exec keeps what a program starts from outliving it, and it from outliving us. */
static void
add_keeper(struct words *argv, const char *exec_path)
{
    add(argv, exec_path);
    add(argv, "--plain");
    add(argv, arena_printf(argv->arena, "--parent=%d", (int)getpid()).data);
    add(argv, "--sandbox=off");
    add(argv, "--");
}

static const char *
path_variable(char **env)
{
    for (; *env != NULL; env++)
        if (slice_eq(name_of(*env), SLICE("PATH")))
            return *env + 5;
    return NULL;
}

static int
fill_app(struct arena *arena, struct plan *plan)
{
    char **command = plan->wish.command;
    if (command == NULL || command[0] == NULL)
        return 0;
    fill_app_env(arena, plan);
    const char *program = find_program(arena, plan->wish.folder, command[0],
                                       path_variable(plan->app_env));
    if (program == NULL || access(program, F_OK) != 0) {
        complain("%s: there is no such program", command[0]);
        return EXIT_NOT_FOUND;
    }
    if (!is_program(program)) {
        complain("%s: cannot be executed", command[0]);
        return EXIT_NOT_EXECUTABLE;
    }
    struct words argv = { .arena = arena };
    add_keeper(&argv, plan->exec_path);
    add(&argv, program);
    struct slice shown = SLICE_EMPTY;
    for (size_t i = 0; command[i] != NULL; i++) {
        if (i > 0)
            add(&argv, command[i]);
        shown = arena_printf(arena, SLICE_FMT "%s%s", SLICE_ARG(shown), i == 0 ? "" : " ",
                             command[i]);
    }
    plan->app_argv = argv.items;
    plan->app_command = arena_str(arena, shown);
    return 0;
}

int
plan_make(struct arena *arena, const struct wish *wish, struct plan *ret_plan)
{
    struct plan *plan = ret_plan;
    *plan = (struct plan){ .wish = *wish };
    plan->exec_path = own_program(arena, "remora-exec");
    const char *sidecar = own_program(arena, "remorad");
    if (plan->exec_path == NULL || sidecar == NULL || !pick_id(arena, plan))
        return EXIT_NOT_DONE;
    use_defaults(arena, plan);
    if (!reserve_ports(arena, plan)) {
        plan_release(plan);
        return EXIT_NOT_DONE;
    }
    struct words argv = { .arena = arena };
    add(&argv, sidecar);
    int code = read_options(arena, plan, &argv);
    name_sockets(arena, plan);
    if (code == 0)
        code = fill_app(arena, plan);
    if (code != 0) {
        plan_release(plan);
        return code;
    }
    struct words kept = { .arena = arena };
    add_keeper(&kept, plan->exec_path);
    for (size_t i = 0; i < argv.count; i++)
        add(&kept, argv.items[i]);
    plan->sidecar_argv = kept.items;
    plan->sidecar_env = inherited(arena, plan).items;
    return 0;
}

void
plan_release(struct plan *plan)
{
    port_release(&plan->http);
    port_release(&plan->grpc);
    port_release(&plan->metrics);
}
