/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others could read of this process: its environment (API tokens, secrets of
 * secretstores.local.env) under /proc/PID/environ, and its memory in a core dump. First thing in
 * main().
 */
#ifndef MAIN_CONCEAL_H
#define MAIN_CONCEAL_H

/* Moves the environment to memory of our own and wipes where it came from. */
void conceal_environment(void);
/* No core dumps of this process and of what it starts; where a handler is given one whatever the
 * limit says, it holds no memory. The user's REMORA_CORE_DUMPS=full brings dumps of this process
 * back, for those who look for a fault. */
void conceal_memory(void);

#endif
