/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remora, the command line. Its commands are of two kinds: those that start sidecars with
 * applications, find and call them (run.h, sidecars.h), and those that ask the admin socket of one
 * sidecar and print what it says, here. Exit codes: 0 done, 1 it could not be done, 2 the command
 * line makes no sense; `run` ends as its application does.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "client.h"
#include "locate.h"
#include "run.h"
#include "say.h"
#include "show.h"
#include "sidecars.h"

/* Options that only some commands take, as bits. */
enum { TAKES_LINES = 1, TAKES_FOLLOW = 2, TAKES_EXE = 4 };

struct invocation {
    const char *socket;
    const char *run_dir;
    bool as_json;
    const char *name;
    uint32_t lines;
    bool follow;
    const char *executable;
    unsigned given; /* of the bits above */
    struct location location;
    struct arena arena;
};

typedef int command_fn(struct invocation *in, struct client *client);

struct command {
    const char *words[2]; /* the second may be NULL */
    bool wants_name;
    unsigned takes;
    command_fn *run;
    const char *help;
};

/* --- commands ----------------------------------------------------------------------------------*/

static const Remora__Admin__V1__Reply *
ask(struct invocation *in, struct client *client, Remora__Admin__V1__Method method)
{
    Remora__Admin__V1__Request request = REMORA__ADMIN__V1__REQUEST__INIT;
    request.method = method;
    request.lines = in->lines;
    /* They are only read from. */
    if (in->name != NULL)
        request.name = (char *)(uintptr_t)in->name;
    if (in->executable != NULL)
        request.executable = (char *)(uintptr_t)in->executable;
    return client_ask(client, &in->arena, &request);
}

typedef void show_fn(const Remora__Admin__V1__Reply *reply, bool as_json);

static int
ask_and_show(struct invocation *in, struct client *client, Remora__Admin__V1__Method method,
             show_fn *show)
{
    const Remora__Admin__V1__Reply *reply = ask(in, client, method);
    if (reply == NULL)
        return EXIT_NOT_DONE;
    show(reply, in->as_json);
    return EXIT_DONE;
}

/* Also without a sidecar: `client` may be NULL. */
static int
run_version(struct invocation *in, struct client *client)
{
    const Remora__Admin__V1__Reply *reply = NULL;
    if (client != NULL) {
        reply = ask(in, client, REMORA__ADMIN__V1__METHOD__METHOD_VERSION);
        if (reply == NULL)
            return EXIT_NOT_DONE;
    }
    show_version(reply == NULL ? NULL : reply->version, in->as_json);
    return EXIT_DONE;
}

static int
run_status(struct invocation *in, struct client *client)
{
    return ask_and_show(in, client, REMORA__ADMIN__V1__METHOD__METHOD_STATUS, show_status);
}

static int
run_components(struct invocation *in, struct client *client)
{
    return ask_and_show(in, client, REMORA__ADMIN__V1__METHOD__METHOD_LIST_COMPONENTS,
                        show_components);
}

static int
run_plugin_list(struct invocation *in, struct client *client)
{
    return ask_and_show(in, client, REMORA__ADMIN__V1__METHOD__METHOD_LIST_PLUGINS, show_plugins);
}

static int
run_plugin_describe(struct invocation *in, struct client *client)
{
    return ask_and_show(in, client, REMORA__ADMIN__V1__METHOD__METHOD_DESCRIBE_PLUGIN, show_plugin);
}

static int
run_plugin_logs(struct invocation *in, struct client *client)
{
    return ask_and_show(in, client, REMORA__ADMIN__V1__METHOD__METHOD_PLUGIN_LOGS, show_lines);
}

static int
run_plugin_restart(struct invocation *in, struct client *client)
{
    return ask_and_show(in, client, REMORA__ADMIN__V1__METHOD__METHOD_RESTART_PLUGIN,
                        show_restarted);
}

/* The kernel is somewhere else, and its programs are named by absolute paths. */
static bool
make_absolute(struct invocation *in)
{
    if (in->executable == NULL)
        return true;
    char *path = realpath(in->executable, NULL);
    if (path == NULL) {
        complain("%s: %s", in->executable, strerror(errno));
        return false;
    }
    in->executable = arena_str(&in->arena, slice_str(path)); /* until it has been asked */
    free(path);
    return true;
}

/* Waits for its end: the feed is joined before the order is given. */
static int
run_plugin_swap(struct invocation *in, struct client *client)
{
    if (!make_absolute(in))
        return EXIT_NOT_DONE;
    if (!client_subscribe(client, &in->location) ||
        ask(in, client, REMORA__ADMIN__V1__METHOD__METHOD_SWAP_PLUGIN) == NULL)
        return EXIT_NOT_DONE;
    for (;;) {
        arena_reset(&in->arena);
        const Remora__Admin__V1__Event *event = client_next_event(client, &in->arena);
        if (event == NULL)
            return EXIT_NOT_DONE;
        if (event->kind != REMORA__ADMIN__V1__EVENT_KIND__EVENT_KIND_SWAP ||
            !slice_eq(slice_str(event->name), slice_str(in->name)))
            continue;
        if (slice_eq(slice_str(event->state), SLICE("done"))) {
            show_swapped(event, in->as_json);
            return EXIT_DONE;
        }
        complain("%s serves on as it was: %s", in->name, event->reason);
        return EXIT_NOT_DONE;
    }
}

/* Those with numbers above `seen`, and says how many are missing before them. */
static bool
show_recent(struct invocation *in, struct client *client, uint64_t *seen)
{
    const Remora__Admin__V1__Reply *reply = ask(in, client,
                                                REMORA__ADMIN__V1__METHOD__METHOD_RECENT_EVENTS);
    if (reply == NULL)
        return false;
    for (size_t i = 0; i < reply->n_events; i++) {
        const Remora__Admin__V1__Event *event = reply->events[i];
        if (event->sequence <= *seen)
            continue;
        if (*seen > 0 && event->sequence > *seen + 1)
            complain("%llu events were lost", (unsigned long long)(event->sequence - *seen - 1));
        show_event(event, in->as_json);
        *seen = event->sequence;
    }
    return true;
}

/* The feed is joined before the past is asked for, so that nothing falls between. What it lost on
 * the way, because we were slow, the kernel may still know. */
static int
run_events(struct invocation *in, struct client *client)
{
    uint64_t seen = 0;
    if (in->follow && !client_subscribe(client, &in->location))
        return EXIT_NOT_DONE;
    if (!show_recent(in, client, &seen))
        return EXIT_NOT_DONE;
    while (in->follow) {
        (void)fflush(stdout); /* for who reads along; errors show at the end */
        arena_reset(&in->arena);
        const Remora__Admin__V1__Event *event = client_next_event(client, &in->arena);
        if (event == NULL || ferror(stdout))
            return EXIT_NOT_DONE;
        if (event->sequence == seen + 1) {
            show_event(event, in->as_json);
            seen = event->sequence;
        } else if (event->sequence > seen && !show_recent(in, client, &seen)) {
            return EXIT_NOT_DONE;
        }
    }
    return EXIT_DONE;
}

/* --- the command line --------------------------------------------------------------------------*/

static const struct command commands[] = {
    { { "version", NULL }, false, 0, run_version, "versions of this program and of the sidecar" },
    { { "status", NULL }, false, 0, run_status, "the sidecar at a glance" },
    { { "components", NULL }, false, 0, run_components, "its components and their states" },
    { { "plugin", "list" }, false, 0, run_plugin_list, "its plugins and their states" },
    { { "plugin", "describe" }, true, 0, run_plugin_describe, "all that is known of a plugin" },
    { { "plugin", "logs" }, true, TAKES_LINES, run_plugin_logs, "the last lines it printed" },
    { { "plugin", "restart" }, true, 0, run_plugin_restart, "end its process, start another" },
    { { "plugin", "swap" },
      true,
      TAKES_EXE,
      run_plugin_swap,
      "read its manifest and program again, exchange it under load" },
    { { "events", NULL }, false, TAKES_FOLLOW, run_events, "what happened lately, or happens" },
};

/* Commands that read their own flags. */
static const struct launcher_command {
    const char *word;
    int (*run)(struct arena *arena, char **argv);
    const char *help;
} launcher_commands[] = {
    { "run", run_command, "start a sidecar and an application beside it, or several" },
    { "init", init_command, "write the resources that run falls back to" },
    { "list", list_command, "your running sidecars" },
    { "stop", stop_command, "end them, and what runs beside them" },
    { "invoke", invoke_command, "call a method of an application" },
    { "publish", publish_command, "publish a message" },
};

static void
print_help(FILE *to)
{
    (void)fputs("Usage: remora COMMAND [OPTIONS]\n\nCommands:\n", to); /* as all below: no use in
                                                                         complaining */
    for (size_t i = 0; i < ARRAY_LEN(launcher_commands); i++)
        (void)fprintf(to, "  %-22s %s\n", launcher_commands[i].word, launcher_commands[i].help);
    (void)fputs("\nThese take --help and have options of their own. Of one sidecar:\n", to);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *command = &commands[i];
        const char *second = command->words[1] == NULL ? "" : command->words[1];
        char text[40];
        (void)snprintf(text, sizeof text, "%s%s%s%s", command->words[0],
                       second[0] == '\0' ? "" : " ", second, command->wants_name ? " NAME" : "");
        (void)fprintf(to, "  %-22s %s\n", text, command->help);
    }
    (void)fputs("  help                   this text\n"
                "\n"
                "Options:\n"
                "  -o, --output FORM      table, for people (default), or json, for scripts\n"
                "      --socket PATH      the admin socket of the sidecar that is meant\n"
                "      --run-dir DIR      its run directory, or what it was given as --run-dir\n"
                "  -n, --lines N          plugin logs: at most the last N lines\n"
                "  -f, --follow           events: go on until the sidecar ends\n"
                "      --exe PATH         plugin swap: a program other than the manifest's\n"
                "  -h, --help             this text\n"
                "\n"
                "Without --socket and --run-dir the newest running sidecar of yours is meant.\n"
                "Exit codes: 0 done, 1 it could not be done, 2 the command line makes no sense.\n",
                to);
}

static bool
set_output(struct invocation *in, struct slice form)
{
    in->as_json = slice_eq(form, SLICE("json"));
    return in->as_json || slice_eq(form, SLICE("table"));
}

static bool
set_lines(struct invocation *in, struct slice text)
{
    uint64_t lines;
    if (!slice_to_u64(text, &lines) || lines == 0 || lines > UINT32_MAX)
        return false;
    in->lines = (uint32_t)lines;
    in->given |= TAKES_LINES;
    return true;
}

enum { OPTION_SOCKET = 256, OPTION_RUN_DIR, OPTION_EXE, OPTION_HELP };

/* One option; an exit code, or -1 to go on. */
static int
take_option(struct invocation *in, int option, char **argv)
{
    switch (option) {
    case 'o':
        return set_output(in, slice_str(optarg)) ? -1 : misused("-o takes table or json");
    case 'n':
        return set_lines(in, slice_str(optarg)) ? -1 : misused("--lines takes a number above 0");
    case 'f':
        in->follow = true;
        in->given |= TAKES_FOLLOW;
        return -1;
    case OPTION_SOCKET:
        in->socket = optarg;
        return -1;
    case OPTION_RUN_DIR:
        in->run_dir = optarg;
        return -1;
    case OPTION_EXE:
        in->executable = optarg;
        in->given |= TAKES_EXE;
        return -1;
    case 'h':
        print_help(stdout);
        return EXIT_DONE;
    case ':':
        return misused("%s needs a value", argv[optind - 1]);
    default:
        return misused("there is no option %s", argv[optind - 1]);
    }
}

static int
take_options(struct invocation *in, int argc, char **argv)
{
    static const struct option options[] = {
        { "output", required_argument, NULL, 'o' },
        { "socket", required_argument, NULL, OPTION_SOCKET },
        { "run-dir", required_argument, NULL, OPTION_RUN_DIR },
        { "lines", required_argument, NULL, 'n' },
        { "follow", no_argument, NULL, 'f' },
        { "exe", required_argument, NULL, OPTION_EXE },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int option;
    opterr = 0; /* we say it ourselves */
    while ((option = getopt_long(argc, argv, ":o:n:fh", options, NULL)) != -1) {
        int code = take_option(in, option, argv);
        if (code >= 0)
            return code;
    }
    return -1;
}

/* NULL: no such command. `ret_used` words name it. */
static const struct command *
find_command(char *const *words, int count, int *ret_used)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *command = &commands[i];
        int length = command->words[1] == NULL ? 1 : 2;
        if (count < length || !slice_eq(slice_str(words[0]), slice_str(command->words[0])) ||
            (length == 2 && !slice_eq(slice_str(words[1]), slice_str(command->words[1]))))
            continue;
        *ret_used = length;
        return command;
    }
    return NULL;
}

/* The command that the words after the options name; NULL: `ret_code` is the exit code. */
static const struct command *
take_words(struct invocation *in, char **words, int count, int *ret_code)
{
    int used = 0;
    *ret_code = EXIT_USAGE;
    if (count == 0) {
        print_help(stderr);
        return NULL;
    }
    if (slice_eq(slice_str(words[0]), SLICE("help"))) {
        print_help(stdout);
        *ret_code = EXIT_DONE;
        return NULL;
    }
    const struct command *command = find_command(words, count, &used);
    int wanted = used + (command != NULL && command->wants_name);
    if (command == NULL)
        (void)misused("there is no command %s%s%s", words[0], count > 1 ? " " : "",
                      count > 1 ? words[1] : ""); /* the code is set */
    else if (count < wanted)
        (void)misused("which plugin? its NAME is missing");
    else if (count > wanted)
        (void)misused("%s is one word too many", words[wanted]);
    else if ((in->given & ~command->takes) != 0)
        (void)misused("that command does not take such an option");
    else if (in->socket != NULL && in->run_dir != NULL)
        (void)misused("either --socket or --run-dir");
    else {
        in->name = command->wants_name ? words[used] : NULL;
        return command;
    }
    return NULL;
}

static int
run(struct invocation *in, const struct command *command)
{
    enum found found = locate(in->socket, in->run_dir, &in->location);
    if (found == FOUND_BROKEN)
        return EXIT_NOT_DONE;
    if (found == FOUND_NONE) {
        if (command->run == run_version)
            return run_version(in, NULL);
        complain("no sidecar of yours is running; --run-dir or --socket tells where one is");
        return EXIT_NOT_DONE;
    }
    struct client *client = client_open(&in->location);
    int code = client == NULL ? EXIT_NOT_DONE : command->run(in, client);
    client_close(client);
    return code;
}

/* Whether an option that stands before the command brings its value with it in the next word. */
static bool
takes_next(const char *option, const char *next)
{
    static const struct arg_flag own[] = {
        { "socket", true }, { "lines", true }, { "exe", true }, { "output", true }
    };
    const struct arg_syntax syntax = { .flags = own, .flag_count = ARRAY_LEN(own) };
    struct slice name = slice_from(slice_str(option), option[1] == '-' ? 2 : 1);
    if (slice_find_byte(name, '=') >= 0)
        return false;
    if (option[1] != '-' && name.len != 1)
        return false;
    if (slice_eq(name, SLICE("f"))) /* a file for run, nothing for events */
        return next != NULL && !slice_eq(slice_str(next), SLICE("events"));
    const struct arg_flag *flag = option[1] == '-' ? args_flag(&run_syntax, name)
                                                   : args_letter(&run_syntax, option[1]);
    if (flag == NULL && option[1] == '-')
        flag = args_flag(&syntax, name);
    return flag != NULL ? flag->takes_value : slice_find_byte(SLICE("on"), option[1]) >= 0;
}

/* The first word that is no option, which may stand anywhere; NULL if there is none. */
static char **
find_word(char **argv)
{
    char **at = argv + 1;
    while (*at != NULL && (*at)[0] == '-' && (*at)[1] != '\0') {
        bool skips = takes_next(at[0], at[1]);
        at++;
        if (skips && *at != NULL)
            at++;
    }
    return *at == NULL ? NULL : at;
}

/* -1 if that is none of them. */
static int
run_launcher(struct invocation *in, int argc, char **argv)
{
    char **word = find_word(argv);
    for (size_t i = 0; word != NULL && i < ARRAY_LEN(launcher_commands); i++) {
        if (!slice_eq(slice_str(*word), slice_str(launcher_commands[i].word)))
            continue;
        /* Without the word the flags before and after it are in one piece. */
        memmove(word, word + 1, (size_t)(argv + argc - word) * sizeof *word);
        return launcher_commands[i].run(&in->arena, argv + 1);
    }
    return -1;
}

int
main(int argc, char **argv)
{
    struct invocation in = { .socket = NULL };
    static char version[] = "version";
    arena_init(&in.arena);
    if (argc == 2 && slice_eq(slice_str(argv[1]), SLICE("--version")))
        argv[1] = version;
    int code = run_launcher(&in, argc, argv);
    if (code < 0)
        code = take_options(&in, argc, argv);
    if (code < 0) {
        const struct command *command = take_words(&in, argv + optind, argc - optind, &code);
        if (command != NULL)
            code = run(&in, command);
    }
    arena_fini(&in.arena);
    if (fflush(stdout) != 0 && code == EXIT_DONE) {
        complain("the output could not be written");
        code = EXIT_NOT_DONE;
    }
    return code;
}
