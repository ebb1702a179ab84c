/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutual TLS between sidecars, as the process has it: a thread of its own keeps the identity (see
 * peer/keeper.h), the main thread watches the file of trust anchors and hands every new identity to
 * the workers. Nothing listens before there is one. Main thread.
 */
#ifndef MAIN_SECURITY_H
#define MAIN_SECURITY_H

#include <stdbool.h>

struct identity;
struct runtime;
struct security;

/* Without --enable-mtls a warning. Else waits for the first identity, however long; false: a fatal
 * line was logged, or the end has begun. */
bool security_start(struct runtime *runtime);
/* The one in force; NULL: mTLS is off. */
struct identity *security_identity(const struct runtime *runtime);
/* Ends the thread; the identity stays. Before the workers are joined. */
void security_stop(struct runtime *runtime);
/* After the workers are gone. */
void security_free(struct runtime *runtime);

#endif
