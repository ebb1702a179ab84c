/* SPDX-License-Identifier: Apache-2.0 */
/* `remora list` and `remora stop`. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "home.h"
#include "say.h"
#include "show.h"
#include "sidecars.h"
#include "table.h"

enum { JSON_BYTES_MAX = 16 * 1024 * 1024, COMMAND_SHOWN = 40, STOP_MS = 60000 };

/* --- list --------------------------------------------------------------------------------------*/

static void
created(const struct sidecar *sidecar, char ret_text[32])
{
    time_t when = (time_t)(sidecar->started_unix_ms / 1000);
    struct tm parts;
    if (localtime_r(&when, &parts) == NULL || strftime(ret_text, 32, "%F %H:%M.%S", &parts) == 0)
        ret_text[0] = '\0';
}

static void
add_number(struct table *table, uint64_t number)
{
    if (number == 0)
        table_add(table, "");
    else
        table_addf(table, "%" PRIu64, number);
}

static void
list_table(const struct sidecar *sidecars, size_t count)
{
    static const char *const heads[] = {
        "APP ID", "HTTP PORT", "GRPC PORT", "APP PORT", "COMMAND",
        "AGE",    "CREATED",   "DAPRD PID", "CLI PID",  "APP PID"
    };
    struct table table;
    char text[32];
    table_init(&table, ARRAY_LEN(heads));
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        table_add(&table, heads[i]);
    for (size_t i = 0; i < count; i++) {
        const struct sidecar *sidecar = &sidecars[i];
        struct slice command = slice_str(sidecar->command);
        table_add(&table, sidecar->app_id);
        add_number(&table, sidecar->http_port);
        add_number(&table, sidecar->grpc_port);
        add_number(&table, sidecar->app_port);
        if (command.len > COMMAND_SHOWN)
            table_addf(&table, "%.*s...", COMMAND_SHOWN, command.data);
        else
            table_add(&table, command.data);
        show_age(sidecar->started_unix_ms, text);
        table_add(&table, text);
        created(sidecar, text);
        table_add(&table, text);
        add_number(&table, (uint64_t)sidecar->pid);
        add_number(&table, (uint64_t)sidecar->launcher_pid);
        add_number(&table, (uint64_t)sidecar->app_pid);
    }
    table_print(&table);
    table_fini(&table);
}

static bool
put_text(struct buf *out, const char *name, const char *text)
{
    return buf_printf(out, ",\"%s\":", name) && json_write_string(out, slice_str(text), false);
}

/* The names are the reference's, so that scripts go on. */
static bool
put_sidecar(struct buf *out, const struct sidecar *sidecar)
{
    char age[32], when[32];
    show_age(sidecar->started_unix_ms, age);
    created(sidecar, when);
    return buf_append(out, SLICE("{\"appId\":")) &&
           json_write_string(out, slice_str(sidecar->app_id), false) &&
           buf_printf(out, ",\"httpPort\":%u,\"grpcPort\":%u,\"appPort\":%u,\"metricsEnabled\":%s",
                      sidecar->http_port, sidecar->grpc_port, sidecar->app_port,
                      sidecar->has_metrics ? "true" : "false") &&
           put_text(out, "command", sidecar->command) && put_text(out, "age", age) &&
           put_text(out, "created", when) &&
           buf_printf(out, ",\"daprdPid\":%d,\"cliPid\":%d,\"appPid\":%d", (int)sidecar->pid,
                      (int)sidecar->launcher_pid, (int)sidecar->app_pid) &&
           buf_printf(out, ",\"maxRequestBodySize\":%" PRIu64 ",\"httpReadBufferSize\":%" PRIu64,
                      sidecar->body_bytes_max, sidecar->head_bytes_max) &&
           put_text(out, "runTemplatePath", sidecar->template) &&
           put_text(out, "appLogPath", sidecar->app_log) &&
           put_text(out, "daprdLogPath", sidecar->sidecar_log) &&
           put_text(out, "unixDomainSocket", sidecar->http_socket) && buf_append_byte(out, '}');
}

static int
list_json(const struct sidecar *sidecars, size_t count)
{
    struct buf out;
    buf_init(&out, JSON_BYTES_MAX);
    bool ok = buf_append_byte(&out, '[');
    for (size_t i = 0; i < count && ok; i++)
        ok = (i == 0 || buf_append_byte(&out, ',')) && put_sidecar(&out, &sidecars[i]);
    ok = ok && buf_append(&out, SLICE("]\n"));
    if (ok)
        (void)fwrite(buf_slice(&out).data, 1, out.len, stdout); /* main() looks at stdout */
    else
        complain("the list is too long");
    buf_fini(&out);
    return ok ? EXIT_DONE : EXIT_NOT_DONE;
}

int
list_command(struct arena *arena, char **argv)
{
    static const struct arg_flag flags[] = { { "help", false },
                                             { "output", true },
                                             { "run-dir", true } };
    static const struct arg_letter letters[] = { { 'h', "help" }, { 'o', "output" } };
    const struct arg_syntax syntax = { .flags = flags,
                                       .flag_count = ARRAY_LEN(flags),
                                       .letters = letters,
                                       .letter_count = ARRAY_LEN(letters) };
    struct args args;
    struct slice message;
    size_t count;
    if (!args_read(arena, &syntax, argv, &args, &message))
        return misused(SLICE_FMT, SLICE_ARG(message));
    struct slice output = slice_str(args_get(&args, "output"));
    if (args_has(&args, "help")) {
        printf("Usage: remora list [-o table|json] [--run-dir DIR]\n\nYour sidecars, oldest "
               "first.\n");
        return EXIT_DONE;
    }
    if (args.word_count > 0)
        return misused("%s is one word too many", args.words[0]);
    if (output.len > 0 && !slice_eq(output, SLICE("json")) && !slice_eq(output, SLICE("table")))
        return misused("-o takes table or json");
    struct sidecar *sidecars = sidecars_find(arena, args_get(&args, "run-dir"), &count);
    if (slice_eq(output, SLICE("json")))
        return list_json(sidecars, count);
    if (count == 0)
        printf("No Dapr instances found.\n");
    else
        list_table(sidecars, count);
    return EXIT_DONE;
}

/* --- stop --------------------------------------------------------------------------------------*/

/* A process that is to end. */
struct target {
    pid_t pid;
    int fd; /* stands for this process and no later one of that number */
};

static bool
aim(struct target *target, pid_t pid)
{
    target->pid = pid;
    target->fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (target->fd < 0 && errno != ESRCH)
        complain("process %d: %s", (int)pid, strerror(errno));
    return target->fd >= 0;
}

/* Whether it ended in time. */
static bool
await_end(const struct target *target, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now_ms = clock_now_ms();
        struct pollfd ended = { .fd = target->fd, .events = POLLIN };
        int count = poll(&ended, 1, now_ms < deadline_ms ? (int)(deadline_ms - now_ms) : 0);
        if (count >= 0 || errno != EINTR)
            return count > 0;
    }
}

/* The launcher if it has no other sidecar: it ends both in order. */
static pid_t
whom_to_tell(const struct sidecar *sidecar, const struct sidecar *sidecars, size_t count)
{
    size_t same = 0;
    for (size_t i = 0; i < count; i++)
        same += sidecars[i].launcher_pid == sidecar->launcher_pid;
    return sidecar->launcher_pid != 0 && same == 1 ? sidecar->launcher_pid : sidecar->pid;
}

static int
stop_process(pid_t pid, const char *name)
{
    struct target target;
    if (!aim(&target, pid))
        return EXIT_NOT_DONE;
    int code = EXIT_NOT_DONE;
    if (syscall(SYS_pidfd_send_signal, target.fd, SIGTERM, NULL, 0) != 0 && errno != ESRCH)
        complain("process %d: %s", (int)pid, strerror(errno));
    else if (!await_end(&target, clock_now_ms() + STOP_MS))
        complain("%s was told to end and has not within %d s", name, STOP_MS / 1000);
    else
        code = EXIT_DONE;
    (void)close(target.fd); /* only a handle */
    if (code == EXIT_DONE)
        printf("✅  app stopped successfully: %s\n", name);
    return code;
}

static int
stop_file(struct arena *arena, const char *file, const struct sidecar *sidecars, size_t count)
{
    const char *path = path_absolute(arena, file);
    if (path == NULL)
        return EXIT_NOT_DONE;
    if (path_is_folder(path))
        path = path_from(arena, path, "dapr.yaml");
    for (size_t i = 0; i < count; i++)
        if (sidecars[i].launcher_pid != 0 && sidecars[i].template != NULL &&
            strcmp(sidecars[i].template, path) == 0)
            return stop_process(sidecars[i].launcher_pid, path);
    complain("nothing runs from %s", path);
    return EXIT_NOT_DONE;
}

int
stop_command(struct arena *arena, char **argv)
{
    static const struct arg_flag flags[] = {
        { "app-id", true }, { "help", false }, { "run-dir", true }, { "run-file", true }
    };
    static const struct arg_letter letters[] = { { 'a', "app-id" },
                                                 { 'h', "help" },
                                                 { 'f', "run-file" } };
    const struct arg_syntax syntax = { .flags = flags,
                                       .flag_count = ARRAY_LEN(flags),
                                       .letters = letters,
                                       .letter_count = ARRAY_LEN(letters) };
    struct args args;
    struct slice message;
    size_t count;
    if (!args_read(arena, &syntax, argv, &args, &message))
        return misused(SLICE_FMT, SLICE_ARG(message));
    if (args_has(&args, "help")) {
        printf("Usage: remora stop APP_ID...\n       remora stop -f FILE|FOLDER\n\nEnds sidecars "
               "and what runs beside them, and waits for it.\n");
        return EXIT_DONE;
    }
    const char *app_id = args_get(&args, "app-id"), *file = args_get(&args, "run-file");
    if (app_id != NULL)
        args.words[args.word_count++] = (char *)(uintptr_t)app_id; /* only read from */
    if ((file == NULL) == (args.word_count == 0))
        return misused("either app ids or --run-file");
    struct sidecar *sidecars = sidecars_find(arena, args_get(&args, "run-dir"), &count);
    if (file != NULL)
        return stop_file(arena, file, sidecars, count);
    int code = EXIT_DONE;
    for (size_t i = 0; i < args.word_count; i++) {
        const struct sidecar *sidecar = sidecars_named(sidecars, count, args.words[i]);
        if (sidecar == NULL ||
            stop_process(whom_to_tell(sidecar, sidecars, count), sidecar->app_id) != EXIT_DONE)
            code = EXIT_NOT_DONE;
    }
    return code;
}
