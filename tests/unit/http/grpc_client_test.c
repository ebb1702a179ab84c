/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of a gRPC call without a status amounts to. */
#include "http/grpc_client.h"

#include "unit/async/driver.h"

enum { NO_ERROR = 0, REFUSED_STREAM = 7, CANCEL = 8 };

static struct worker worker;

struct ending {
    uint64_t left_ms;
    err_t err;
    bool was_reset;
    uint32_t reset_code;
    enum grpc_code code;
    const char *text;
};

static void
end(struct task *t, void *arg)
{
    const struct ending *e = arg;
    const struct client_call call = { .was_reset = e->was_reset, .reset_code = e->reset_code };
    struct slice text;
    (void)task_deadline_push(t, e->left_ms);
    (void)DIAG_FAIL(task_diag(t), e->err, "its words");
    CHECK_EQ_INT(grpc_failure(t, &call, e->err, &text), e->code);
    CHECK(slice_eq(text, slice_str(e->text)));
}

TEST(the_end_of_a_call_has_a_code_and_words)
{
    static const struct ending endings[] = {
        { 10000, ERR_PEER_LOST, false, NO_ERROR, GRPC_UNAVAILABLE, "its words" },
        { 10000, ERR_PEER_LOST, true, REFUSED_STREAM, GRPC_UNAVAILABLE, "its words" },
        { 10000, ERR_PEER_LOST, true, NO_ERROR, GRPC_INTERNAL, "its words" },
        { 10000, ERR_PEER_LOST, true, CANCEL, GRPC_CANCELLED, "its words" },
        { 10000, ERR_CANCELLED, false, NO_ERROR, GRPC_CANCELLED, "context canceled" },
        { 10000, ERR_DEADLINE, false, NO_ERROR, GRPC_DEADLINE_EXCEEDED,
          "context deadline exceeded" },
        /* An application whose clock is the first ends the call by a reset. */
        { 1, ERR_PEER_LOST, true, CANCEL, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded" },
        { 1, ERR_PEER_LOST, true, REFUSED_STREAM, GRPC_UNAVAILABLE, "its words" },
    };
    CHECK_OK(worker_init(&worker, 0));
    for (size_t i = 0; i < ARRAY_LEN(endings); i++)
        REQUIRE(task_spawn(&worker, "end", end, (void *)(uintptr_t)&endings[i]) != NULL);
    turns(&worker, 5);
    CHECK_EQ_U64(worker.tasks.count, 0);
    worker_fini(&worker);
}
