/* SPDX-License-Identifier: Apache-2.0 */
/* What comes in at the admin socket: any message has a header stack or none, any body is answered,
 * and every answer is one that a client can read. The kernel asked hosts nothing. */
#include <assert.h>
#include <stdlib.h>

#include "admin/answer.h"
#include "admin/message.h"
#include "admin/rep.h"
#include "base/log.h"
#include "base/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
describe(void *arg, struct admin_process *ret_process)
{
    (void)arg;
    *ret_process = (struct admin_process){ .app_id = SLICE("fuzz"), .stage = "running" };
}

static const struct admin_config *
kernel(void)
{
    static struct rundir rundir = { .path = "/run/fuzz", .lock_fd = -1 };
    static struct admin_config config;
    if (config.host != NULL)
        return &config;
    log_threshold = LOG_FATAL;
    const struct host_config host = { .loop = ev_default_loop(0), .rundir = &rundir };
    config = (struct admin_config){
        .rundir = &rundir, .host = host_new(&host), .version = "edge", .process = describe
    };
    return &config;
}

static void
check_text(struct slice input, struct arena *arena)
{
    const char *text = message_text(arena, input);
    assert(strlen(text) == input.len);
    assert(slice_is_utf8(slice_of(text, input.len)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct feed feed;
    const struct slice input = slice_of((const char *)data, size);
    struct slice stack, body;
    struct arena arena;
    arena_init(&arena);
    check_text(input, &arena);
    if (rep_split(input, &stack, &body)) {
        assert(stack.len % 4 == 0 && stack.len + body.len == input.len);
        struct slice packed = answer(kernel(), &feed, body, &arena);
        const Remora__Admin__V1__Reply *reply = pb_unpack(
            &arena, &remora__admin__v1__reply__descriptor, packed, 4, SIZE_MAX);
        assert(reply != NULL && reply->version != NULL);
        assert(slice_is_utf8(slice_str(reply->message)));
    }
    arena_fini(&arena);
    return 0;
}
