/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit: what many callers want written becomes one transaction with one sync to disk.
 */
#ifndef SQLITE_PLUGIN_GROUP_H
#define SQLITE_PLUGIN_GROUP_H

#include "job.h"

/* Runs the list of writes, linked by job.next, in order in one transaction. Afterwards each job and
 * operation holds its failure; all others are on the disk. */
void group_commit(struct connection *connection, struct write *writes);

#endif
