/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim's story: read the command line, split off the monitors that keep a plugin from outliving
 * the kernel, put the limits and the sandbox around what is left, become the plugin. exec.h has the
 * command line. Started by the supervisor; must never be given a secret on its command line.
 */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

static void
append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);
    for (; *more != '\0' && used + 1 < size; more++)
        text[used++] = *more;
    text[used] = '\0';
}

void
report_active(struct report *report, const char *layer)
{
    if (report->active[0] != '\0')
        append(report->active, sizeof report->active, ",");
    append(report->active, sizeof report->active, layer);
}

void
report_missing(struct report *report, const char *layer, const char *reason)
{
    if (report->missing[0] != '\0')
        append(report->missing, sizeof report->missing, ",");
    append(report->missing, sizeof report->missing, layer);
    append(report->missing, sizeof report->missing, "(");
    append(report->missing, sizeof report->missing, reason);
    append(report->missing, sizeof report->missing, ")");
}

/* One write, so that lines of several processes do not mix. */
static void
say(const char *a, const char *b, const char *c, const char *d)
{
    char line[1024] = "remora-exec: ";
    append(line, sizeof line - 1, a);
    append(line, sizeof line - 1, b);
    append(line, sizeof line - 1, c);
    append(line, sizeof line - 1, d);
    append(line, sizeof line, "\n");
    ssize_t ignored = write(2, line, strlen(line));
    (void)ignored; /* nobody is left to be told */
}

void
die(enum exec_exit code, const char *what, const char *detail)
{
    say("error: ", what, detail[0] == '\0' ? "" : ": ", detail);
    _exit(code);
}

const char *
option_value(const char *option, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(option, prefix, len) == 0 ? option + len : NULL;
}

static uint64_t
number(const char *option, const char *text)
{
    uint64_t value = 0;
    if (text[0] == '\0' || strlen(text) > 18)
        die(EXEC_EXIT_USAGE, "not a number", option);
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            die(EXEC_EXIT_USAGE, "not a number", option);
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return value;
}

static bool
read_number(struct spec *spec, const char *option)
{
    const char *value;
    if ((value = option_value(option, "--parent=")) != NULL)
        spec->parent = (pid_t)number(option, value);
    else if ((value = option_value(option, "--open-files=")) != NULL)
        spec->open_files = number(option, value);
    else if ((value = option_value(option, "--memory=")) != NULL)
        spec->memory_bytes = number(option, value);
    else if ((value = option_value(option, "--processes=")) != NULL)
        spec->processes = number(option, value);
    else
        return false;
    return true;
}

static bool
read_word(struct spec *spec, const char *option)
{
    if (strcmp(option, "--sandbox=off") == 0)
        spec->sandbox = SANDBOX_OFF;
    else if (strcmp(option, "--sandbox=best-effort") == 0)
        spec->sandbox = SANDBOX_BEST_EFFORT;
    else if (strcmp(option, "--sandbox=require") == 0)
        spec->sandbox = SANDBOX_REQUIRE;
    else if (strcmp(option, "--network=yes") == 0)
        spec->has_network = true;
    else if (strcmp(option, "--network=no") == 0)
        spec->has_network = false;
    else if (strcmp(option, "--token-fd") == 0)
        spec->has_token_fd = true;
    else if (strcmp(option, "--plain") == 0)
        spec->is_plain = true;
    else
        return false;
    return true;
}

static bool
is_path(const char *option)
{
    return option_value(option, "--execute=/") != NULL ||
           option_value(option, "--read=/") != NULL || option_value(option, "--write=/") != NULL;
}

static void
read_command_line(int argc, char **argv, struct spec *spec)
{
    *spec = (struct spec){ .sandbox = SANDBOX_BEST_EFFORT };
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!read_number(spec, argv[i]) && !read_word(spec, argv[i]) && !is_path(argv[i]))
            die(EXEC_EXIT_USAGE, "unknown option", argv[i]);
    spec->options = argv + 1;
    spec->option_count = i - 1;
    if (i + 1 >= argc)
        die(EXEC_EXIT_USAGE, "no program", "usage: remora-exec --parent=PID [options] -- PROGRAM");
    if (spec->parent <= 0)
        die(EXEC_EXIT_USAGE, "no --parent", "");
    spec->program = argv + i + 1;
}

/* The kernel's descriptors are close-on-exec; a library's may not be. */
static void
close_from(unsigned first)
{
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
    struct rlimit limit = { .rlim_cur = 1024 };
    (void)getrlimit(RLIMIT_NOFILE, &limit); /* then 1,024 stands */
    for (unsigned fd = first; fd < limit.rlim_cur && fd < 65536; fd++)
        (void)close((int)fd); /* most are not open */
}

/* Both bounds, never above what is allowed already. */
static void
limit_to(__rlimit_resource_t resource, uint64_t value)
{
    struct rlimit limit;
    if (value == 0 || getrlimit(resource, &limit) != 0)
        return;
    if (limit.rlim_max == RLIM_INFINITY || value < limit.rlim_max)
        limit.rlim_max = value;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(resource, &limit); /* lowering is always allowed */
}

static void
limits_apply(const struct spec *spec)
{
    limit_to(RLIMIT_NOFILE, spec->open_files);
    limit_to(RLIMIT_DATA,
             spec->memory_bytes); /* RLIMIT_AS would count what runtimes only reserve */
    limit_to(RLIMIT_NPROC, spec->processes);
}

static void
sandbox_apply(const struct spec *spec, struct report *report)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        report_active(report, "no-new-privs");
    else
        report_missing(report, "no-new-privs", strerror(errno));
    landlock_apply(spec, report);
    capabilities_drop(report);
    seccomp_apply(spec, report); /* last: it forbids what the others need */
    if (spec->sandbox == SANDBOX_REQUIRE &&
        !(report->has_files && report->has_syscalls && report->has_signals))
        die(EXEC_EXIT_SANDBOX, "the sandbox is required, and not all of it can be had here",
            report->missing);
}

int
main(int argc, char **argv)
{
    struct spec spec;
    read_command_line(argc, argv, &spec);
    struct report report = { .active = "" };

    close_from(spec.has_token_fd ? 4 : 3);
    if (!spec.is_plain) /* a core would hold users' data; lowering is always allowed */
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    lifetime_split(&spec, &report);
    limits_apply(&spec);
    if (spec.sandbox != SANDBOX_OFF)
        sandbox_apply(&spec, &report);
    if (!spec.is_plain)
        say("active=", report.active, report.missing[0] == '\0' ? "" : " missing=", report.missing);

    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail with these arguments */
    execve(spec.program[0], spec.program, environ);
    const char *reason = strerror(errno);
    say("error: cannot run ", spec.program[0], ": ", reason);
    _exit(EXEC_EXIT_RUN);
}
