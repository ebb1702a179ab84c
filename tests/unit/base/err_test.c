/* SPDX-License-Identifier: Apache-2.0 */
/* The error table and the words beside it. */
#include "base/err.h"

#include "test.h"

TEST(every_row_is_complete)
{
    for (int i = OK; i < ERR_COUNT; i++) {
        const struct err_info *info = err_info((err_t)i);
        REQUIRE(info != NULL && info->name != NULL && info->code != NULL);
        CHECK(info->http == 200 ? i == OK : info->http >= 400 && info->http < 600);
        CHECK((info->grpc == GRPC_OK) == (i == OK));
        CHECK(i == OK || strncmp(info->name, "ERR_", 4) == 0);
        CHECK(i == OK || strncmp(info->code, "ERR_", 4) == 0);
    }
}

TEST(rows_carry_what_clients_see)
{
    CHECK_EQ_INT(err_info(OK)->http, 200);
    CHECK_EQ_STR(err_info(ERR_STATE_STORE_NOT_FOUND)->code, "ERR_STATE_STORE_NOT_FOUND");
    CHECK_EQ_INT(err_info(ERR_STATE_STORE_NOT_FOUND)->http, 400);
    CHECK_EQ_STR(err_info(ERR_STATE_ILLEGAL_KEY)->code, "ERR_MALFORMED_REQUEST");
    CHECK(err_info(ERR_PLUGIN_NOT_SENT)->retry);
    CHECK(!err_info(ERR_PLUGIN_UNKNOWN)->retry);
}

TEST(grpc_codes_have_go_s_names_and_http_s_numbers)
{
    CHECK_EQ_STR(grpc_code_name(GRPC_OK), "OK");
    CHECK_EQ_STR(grpc_code_name(GRPC_CANCELLED), "Canceled");
    CHECK_EQ_STR(grpc_code_name(GRPC_INVALID_ARGUMENT), "InvalidArgument");
    CHECK_EQ_STR(grpc_code_name(GRPC_UNAUTHENTICATED), "Unauthenticated");
    CHECK_EQ_STR(grpc_code_name((enum grpc_code)99), "Unknown");
    CHECK_EQ_INT(grpc_code_to_http(GRPC_UNAVAILABLE), 503);
    CHECK_EQ_INT(grpc_code_to_http(GRPC_RESOURCE_EXHAUSTED), 429);
    CHECK_EQ_INT(grpc_code_to_http(GRPC_FAILED_PRECONDITION), 400);
    CHECK_EQ_INT(grpc_code_to_http((enum grpc_code)99), 500);
    CHECK_EQ_INT(grpc_code_to_http((enum grpc_code) - 1), 500);
}

TEST(a_diag_keeps_number_words_and_place)
{
    struct arena arena;
    arena_init(&arena);
    struct diag diag;
    diag_init(&diag, &arena);
    CHECK_SLICE_IS(diag.message, "");
    CHECK_EQ_INT(DIAG_FAIL(&diag, ERR_STATE_GET, "key %s: %d", "a", 5), ERR_STATE_GET);
    CHECK_EQ_INT(diag.err, ERR_STATE_GET);
    CHECK_SLICE_IS(diag.message, "key a: 5");
    CHECK(strstr(diag.file, "err_test.c") != NULL);
    CHECK(diag.line > 40);
    CHECK_EQ_INT(DIAG_FAIL(&diag, ERR_IO, "%5000d", 1), ERR_IO);
    CHECK_EQ_INT(diag.message.len, 4096);
    arena_fini(&arena);
}

TEST(without_an_arena_only_the_number_is_kept)
{
    struct diag diag;
    diag_init(&diag, NULL);
    CHECK_EQ_INT(DIAG_FAIL(&diag, ERR_IO, "words"), ERR_IO);
    CHECK_EQ_INT(diag.err, ERR_IO);
    CHECK_SLICE_IS(diag.message, "");
}
