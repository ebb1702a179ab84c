/* SPDX-License-Identifier: Apache-2.0 */
/* `remora run` and what goes with it: each takes the words behind its name, returns an exit code.
 */
#ifndef REMORA_RUN_H
#define REMORA_RUN_H

#include "args.h"
#include "plan.h"

int run_command(struct arena *arena, char **argv);
int init_command(struct arena *arena, char **argv);

/* The flags of `run`, for who looks for the command behind them. */
extern const struct arg_syntax run_syntax;

/* Wishes of the applications in a run file. `home` is theirs if they name no other; 0: done, else
 * said why. */
int run_file_read(struct arena *arena, const char *path, const struct home *home,
                  struct wish **ret_wishes, size_t *ret_count) WARN_UNUSED;

#endif
