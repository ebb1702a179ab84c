/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and the errors they end with; see request.h. */
#include "api/request.h"

#include <stdarg.h>
#include <stdio.h>

enum { INFO_MAX = 4, MESSAGE_BYTES_MAX = 16 * 1024 };

void
request_init(struct request *rq, struct task *t)
{
    struct kernel_worker *here = kernel_worker_of(t);
    *rq = (struct request){ .task = t,
                            .arena = task_arena(t),
                            .kernel = here->kernel,
                            .components = &here->components,
                            .traceparent = SLICE_EMPTY,
                            .tracestate = SLICE_EMPTY,
                            .traceparent_odd = SLICE_EMPTY,
                            .baggage = SLICE_EMPTY };
}

err_t
request_fail(struct request *rq, err_t err, const char *format, ...)
{
    const struct err_info *info = err_info(err);
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    size_t room = (len < 0 ? 0 : len > MESSAGE_BYTES_MAX ? MESSAGE_BYTES_MAX : (size_t)len) + 1;
    char *text = arena_alloc(rq->arena, room);
    text[0] = '\0';
    (void)vsnprintf(text, room, format, again); /* cut at the maximum on purpose */
    va_end(again);
    rq->error = (struct api_error){
        .err = err, .http = info->http, .grpc = info->grpc, .message = slice_of(text, room - 1)
    };
    return err;
}

void
error_add_resource(struct request *rq, const char *type, struct slice name)
{
    rq->error.has_resource = true;
    rq->error.resource_type = slice_str(type);
    rq->error.resource_name = name;
}

void
error_add_described_resource(struct request *rq, const char *type, struct slice name)
{
    error_add_resource(rq, type, name);
    rq->error.resource_has_words = true;
}

void
error_add_empty_info(struct request *rq)
{
    static const struct pair none;
    rq->error.info = &none;
    rq->error.info_count = 0;
}

void
error_add_info(struct request *rq, const char *name, struct slice value)
{
    struct pair *info = ARENA_ARRAY(rq->arena, struct pair, INFO_MAX);
    size_t count = rq->error.info_count;
    if (count == INFO_MAX)
        return;
    if (count > 0)
        memcpy(info, rq->error.info, count * sizeof *info);
    info[count] = (struct pair){ .name = slice_str(name), .value = value };
    rq->error.info = info;
    rq->error.info_count = count + 1;
}
