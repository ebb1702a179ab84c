/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline of a Configuration (spec.httpPipeline, spec.appHttpPipeline): which middleware an HTTP
 * request passes, in this order.
 */
#ifndef CONFIG_PIPELINE_H
#define CONFIG_PIPELINE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "config/node.h"

struct pipeline_handler {
    struct slice name; /* of a component */
    struct slice type; /* that it must have, "middleware.http.bearer" */
};

/* In the arena it was read into; zeroed: nothing stands before anything. */
struct pipeline {
    const struct pipeline_handler *handlers;
    size_t count;
};

/* `node` is what stands behind `name`; NULL leaves *ret_pipeline as it is. ERR_CONFIG with the line
 * and the words if it is no pipeline. */
err_t pipeline_read(struct arena *arena, const struct node *node, const char *name,
                    struct pipeline *ret_pipeline, struct diag *diag) WARN_UNUSED;

#endif
