/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process tells the resolver of names of itself, and which resolver that is: part of the
 * start and of every reading of the resources. Main thread only.
 */
#ifndef MAIN_NAMES_H
#define MAIN_NAMES_H

#include <stdbool.h>

struct host_load;
struct runtime;

/* Finds out the kernel's host address and name. False: a fatal line was logged. */
bool names_find_host(struct runtime *runtime);
/* Fills in runtime->instance; once all ports are bound. */
void names_describe(struct runtime *runtime);
/* Adds the resolver that the Configuration in force asks for to the components of the load. */
void names_add_resolver(const struct runtime *runtime, struct host_load *load);

#endif
