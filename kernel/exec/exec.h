/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remora-exec, the shim a plugin starts through: what its files share. It is a static program that
 * knows nothing of the kernel, allocates nothing and stays small, since a copy of it lives as long
 * as the plugin does.
 *
 *   remora-exec --parent=PID [options] -- PROGRAM [ARGUMENT]...
 *
 *   --parent=PID             who must be alive; when it dies, everything below dies
 *   --sandbox=WORD           require, best-effort (default) or off
 *   --network=yes|no         no (default): sockets of the Unix family only
 *   --token-fd               descriptor 3 is handed on
 *   --plain                  no plugin but a program of the user's: no report, and cores as he has
 *                            them
 *   --execute=P --read=P --write=P   files, or whole directories, the plugin may use
 *   --open-files=N --memory=BYTES --processes=N   limits
 *
 * Standard input, output and error are what the caller made of them. The first line on standard
 * error says which protections hold: `remora-exec: active=A,B missing=C(reason)`. Trouble before
 * the program runs is one line `remora-exec: error: …` and an exit code of enum exec_exit.
 */
#ifndef EXEC_EXEC_H
#define EXEC_EXEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum exec_exit {
    EXEC_EXIT_SANDBOX = 120, /* --sandbox=require and something is missing */
    EXEC_EXIT_USAGE = 121,
    EXEC_EXIT_SETUP = 122, /* the operating system refused something essential */
    EXEC_EXIT_RUN = 126,   /* PROGRAM cannot be executed */
};

enum exec_sandbox { SANDBOX_OFF, SANDBOX_BEST_EFFORT, SANDBOX_REQUIRE };

struct spec {
    enum exec_sandbox sandbox;
    bool has_network;
    bool has_token_fd;
    bool is_plain;
    pid_t parent;
    uint64_t open_files; /* 0: as inherited */
    uint64_t memory_bytes;
    uint64_t processes;
    char **options; /* the command line up to "--", from which landlock.c reads the paths */
    int option_count;
    char **program; /* after "--" */
};

/* Which layers hold in this process. Filled before PROGRAM runs, written out once. */
struct report {
    char active[160];
    char missing[480];
    bool has_files; /* what `require` asks for, one by one */
    bool has_syscalls;
    bool has_signals;
};

void report_active(struct report *report, const char *layer);
void report_missing(struct report *report, const char *layer, const char *reason);
/* One line on standard error, then exit. */
__attribute__((noreturn)) void die(enum exec_exit code, const char *what, const char *detail);

/* The text after `prefix` if `option` begins with it, else NULL. */
const char *option_value(const char *option, const char *prefix);

/* Returns in the process that shall become the plugin; monitors of it stay behind. */
void lifetime_split(const struct spec *spec, struct report *report);

/* Layers of the sandbox, for this process and all it starts. */
void landlock_apply(const struct spec *spec, struct report *report);
void capabilities_drop(struct report *report);
void seccomp_apply(const struct spec *spec, struct report *report);

#endif
