/* SPDX-License-Identifier: Apache-2.0 */
/* What the status details of a component say, well-formed and not. */
#include "plugins/bridge/failure.h"

#include "sdk-plugin/c/src/sdk.h"
#include "test.h"

/* google.rpc.Status with one detail: the type behind the slash, and its bytes. */
static struct remora_slice
status_with(const char *type, const char *bytes, size_t len)
{
    static char room[512];
    char url[128];
    const size_t url_len = (size_t)snprintf(url, sizeof url, "type.googleapis.com/google.rpc.%s",
                                            type);
    room[0] = 0x1a;
    room[1] = (char)(url_len + len + 4);
    room[2] = 0x0a;
    room[3] = (char)url_len;
    memcpy(room + 4, url, url_len);
    room[4 + url_len] = 0x12;
    room[5 + url_len] = (char)len;
    memcpy(room + 6 + url_len, bytes, len);
    return (struct remora_slice){ room, url_len + len + 6 };
}

static void
check(enum remora_code code, struct remora_slice details, const char *reason, const char *words)
{
    struct remora_call call = { .serial = 0 };
    arena_init(&call.arena);
    const struct rpc_end end = {
        .code = code, .words = "why", .is_of_component = true, .details = details
    };
    const struct remora_failure failure = failure_of_write(&call, &end);
    if (reason == NULL)
        CHECK(failure.reason == NULL);
    else
        CHECK_EQ_STR(failure.reason, reason);
    CHECK_EQ_STR(failure.message, words);
    arena_fini(&call.arena);
}

/* BadRequest{field_violations{field: "etag", description: "old"}} */
static const char violation[] = "\x0a\x0b\x0a\x04"
                                "etag\x12\x03"
                                "old";

TEST(a_conflict_is_told_by_code_and_detail)
{
    const struct remora_slice details = status_with("BadRequest", violation, 13);
    check(REMORA_FAILED_PRECONDITION, details, REMORA_REASON_ETAG_MISMATCH,
          "possible etag mismatch. error from state store: old");
    check(REMORA_INVALID_ARGUMENT, details, REMORA_REASON_ETAG_INVALID, "invalid etag value: old");
    check(REMORA_ABORTED, details, NULL, "rpc error: code = Aborted desc = why");
    check(REMORA_FAILED_PRECONDITION, (struct remora_slice){ "", 0 }, NULL,
          "rpc error: code = FailedPrecondition desc = why");
}

TEST(rows_that_a_delete_has_not_met_are_counted)
{
    static const char info[] = "\x1a\x0d\x0a\x08"
                               "expected\x12\x01"
                               "5\x1a\x0d\x0a\x08"
                               "affected\x12\x01"
                               "2";
    check(REMORA_INTERNAL, status_with("ErrorInfo", info, sizeof info - 1), NULL,
          "delete affected only 2 rows, expected 5");
    static const char kit[] = "\x1a\x11\x0a\x09"
                              "kit_error\x12\x04"
                              "true";
    check(REMORA_INTERNAL, status_with("ErrorInfo", kit, sizeof kit - 1), NULL,
          "api error: code = Internal desc = why");
}

TEST(details_cut_anywhere_are_no_conflict)
{
    for (size_t len = 0; len < 13; len++)
        check(REMORA_FAILED_PRECONDITION, status_with("BadRequest", violation, len), NULL,
              "rpc error: code = FailedPrecondition desc = why");
    struct remora_slice details = status_with("BadRequest", violation, 13);
    while (details.len-- > 1)
        check(REMORA_FAILED_PRECONDITION, details, NULL,
              "rpc error: code = FailedPrecondition desc = why");
}
