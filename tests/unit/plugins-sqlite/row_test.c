/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows, tables and the text forms in them, against a real database and the reference's.
 */
#include "plugins/shared/base64.h"
#include "fixture.h"
#include "plugins/sqlite/scan.h"

static struct failure *
set(struct fixture *fixture, const struct remora_state_set *request)
{
    return row_set(&fixture->connection, "state", request, "11111111-2222-4333-8444-555555555555");
}

TEST(base64_round_trips_every_length)
{
    char bytes[64], text[96], back[96];
    for (size_t len = 0; len < sizeof(bytes); len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(i * 89 + len);
        size_t back_len;
        base64_encode(bytes, len, text);
        CHECK(base64_decode(text, base64_encoded_len(len), back, &back_len));
        CHECK_EQ_MEM(back, back_len, bytes, len);
    }
}

TEST(base64_refuses_what_is_not_canonical)
{
    char out[16];
    size_t len;
    CHECK(!base64_decode("AAA", 3, out, &len));
    CHECK(!base64_decode("A===", 4, out, &len));
    CHECK(!base64_decode("AA=A", 4, out, &len));
    CHECK(!base64_decode("AA*A", 4, out, &len));
    CHECK(!base64_decode("====", 4, out, &len));
    CHECK(base64_decode("AA\r\n==", 6, out, &len) && len == 1);
}

TEST(timestamps_round_trip_and_stop_at_the_year_9999)
{
    struct timestamp time;
    int64_t back;
    CHECK(timestamp_format(1798138800, &time));
    CHECK_EQ_STR(time.text, "2026-12-24 19:00:00");
    CHECK(timestamp_parse(time.text, TIMESTAMP_LEN, &back));
    CHECK_EQ_INT(back, 1798138800);
    CHECK(timestamp_parse("2026-12-24T19:00:00.25Z", 23, &back) && back == 1798138800);
    CHECK(!timestamp_parse("2026-12-24", 10, &back));
    CHECK(!timestamp_parse("abcd-12-24 19:00:00", 19, &back));
    CHECK(!timestamp_format(INT64_MAX, &time));
    CHECK(!timestamp_format(253402300800, &time));
}

TEST(a_new_database_has_the_tables_of_the_reference)
{
    struct fixture fixture;
    fixture_init(&fixture);
    CHECK_TEXT(&fixture, "SELECT value FROM metadata WHERE key = 'migrations'", "1");
    CHECK_TEXT(&fixture, "PRAGMA journal_mode", "wal");
    CHECK_TEXT(&fixture, "PRAGMA synchronous", "2");
    CHECK_TEXT(&fixture,
               "SELECT group_concat(name || ' ' || type || ' ' || \"notnull\" || ' ' ||"
               " ifnull(dflt_value, '-') || ' ' || pk) FROM pragma_table_info('state')",
               "key TEXT 1 - 1,value TEXT 1 - 0,is_binary BOOLEAN 1 - 0,etag TEXT 1 - 0,"
               "expiration_time TIMESTAMP 0 NULL 0,update_time TIMESTAMP 1 CURRENT_TIMESTAMP 0");
    fixture_fini(&fixture);
}

TEST(opening_again_changes_nothing_and_a_second_table_is_made)
{
    struct fixture fixture;
    fixture_init(&fixture);
    CHECK(put(&fixture, "k", "1", NULL) == NULL);
    CHECK(schema_ensure(&fixture.connection, &schema_state, "state", "metadata") == NULL);
    CHECK(schema_ensure(&fixture.connection, &schema_state, "other", "metadata") == NULL);
    CHECK_TEXT(&fixture, "SELECT count(*) FROM other", "0");
    CHECK_TEXT(&fixture, "SELECT count(*) FROM state", "1");
    fixture_fini(&fixture);
}

TEST(an_unreadable_migration_level_is_refused)
{
    struct fixture fixture;
    fixture_init(&fixture);
    sqlite3_exec(fixture.connection.db, "UPDATE metadata SET value = 'x'", NULL, NULL, NULL);
    struct failure *failure = schema_ensure(&fixture.connection, &schema_state, "state",
                                            "metadata");
    REQUIRE(failure != NULL);
    CHECK_EQ_STR(failure->message, "failed to perform migrations: invalid migration level found "
                                   "in metadata table: x");
    failure_free(failure);
    fixture_fini(&fixture);
}

TEST(json_is_kept_as_text_and_bytes_as_base64)
{
    struct fixture fixture;
    fixture_init(&fixture);
    static const char bytes[] = "\0\xff\xfe(";
    struct remora_state_set json = { .key = slice("app||j"),
                                     .value = slice("{ \"a\" : 1.0 }"),
                                     .json = true };
    struct remora_state_set binary = { .key = slice("app||b"), .value = { bytes, 4 } };
    struct remora_state_set empty = { .key = slice("app||e"), .value = { NULL, 0 } };
    CHECK(set(&fixture, &json) == NULL);
    CHECK(set(&fixture, &binary) == NULL);
    CHECK(set(&fixture, &empty) == NULL);
    CHECK_TEXT(&fixture, "SELECT value || is_binary FROM state WHERE key = 'app||j'",
               "{ \"a\" : 1.0 }0");
    CHECK_TEXT(&fixture, "SELECT value || is_binary FROM state WHERE key = 'app||b'", "AP/+KA==1");
    CHECK_TEXT(&fixture,
               "SELECT typeof(value) || value || is_binary FROM state WHERE key = 'app||e'",
               "text1");
    CHECK_TEXT(&fixture,
               "SELECT count(*) FROM state WHERE update_time LIKE '____-__-__ __:__:__'"
               " AND expiration_time IS NULL",
               "3");
    struct row *row = get(&fixture, "app||b");
    REQUIRE(row != NULL);
    CHECK_EQ_MEM(row->value, row->value_len, bytes, 4);
    CHECK_EQ_MEM(row->etag, row->etag_len, "11111111-2222-4333-8444-555555555555", ETAG_LEN);
    row_free(row);
    row = get(&fixture, "app||e");
    REQUIRE(row != NULL);
    CHECK_EQ_INT(row->value_len, 0);
    row_free(row);
    fixture_fini(&fixture);
}

TEST(json_text_with_odd_bytes_comes_back_exactly)
{
    struct fixture fixture;
    fixture_init(&fixture);
    static const char odd[] = "\"\xff\0\xc3\x28\"";
    struct remora_state_set request = { .key = slice("k"),
                                        .value = { odd, sizeof(odd) - 1 },
                                        .json = true };
    CHECK(set(&fixture, &request) == NULL);
    struct row *row = get(&fixture, "k");
    REQUIRE(row != NULL);
    CHECK_EQ_MEM(row->value, row->value_len, odd, sizeof(odd) - 1);
    row_free(row);
    fixture_fini(&fixture);
}

TEST(a_value_that_is_not_base64_is_an_error_of_its_row)
{
    struct fixture fixture;
    fixture_init(&fixture);
    CHECK(put(&fixture, "k", "no base64!", NULL) == NULL);
    sqlite3_exec(fixture.connection.db, "UPDATE state SET is_binary = 1", NULL, NULL, NULL);
    struct row *row = get(&fixture, "k");
    REQUIRE(row != NULL && row->failure != NULL);
    CHECK_EQ_INT(row->failure->base.code, REMORA_DATA_LOSS);
    row_free(row);
    fixture_fini(&fixture);
}

TEST(etags_guard_updates_and_deletes)
{
    struct fixture fixture;
    fixture_init(&fixture);
    CHECK(put(&fixture, "k", "1", "missing") == failure_etag_mismatch());
    CHECK(put(&fixture, "k", "1", NULL) == NULL);
    CHECK(put(&fixture, "k", "2", "wrong") == failure_etag_mismatch());
    struct row *row = get(&fixture, "k");
    REQUIRE(row != NULL);
    CHECK_EQ_MEM(row->value, row->value_len, "1", 1);
    CHECK(put(&fixture, "k", "2", row->etag) == NULL);
    CHECK(put(&fixture, "k", "3", row->etag) == failure_etag_mismatch());
    CHECK(put(&fixture, "k", "3", "") == NULL);

    struct remora_state_delete del = { .key = slice("k"),
                                       .has_etag = true,
                                       .etag = slice(row->etag) };
    CHECK(row_delete(&fixture.connection, "state", &del) == failure_etag_mismatch());
    row_free(row);
    row = get(&fixture, "k");
    REQUIRE(row != NULL);
    del.etag = slice(row->etag);
    CHECK(row_delete(&fixture.connection, "state", &del) == NULL);
    CHECK(get(&fixture, "k") == NULL);
    del.has_etag = false;
    CHECK(row_delete(&fixture.connection, "state", &del) == NULL);
    row_free(row);
    CHECK_EQ_STR(failure_etag_mismatch()->base.message,
                 "possible etag mismatch. error from state store");
    fixture_fini(&fixture);
}

TEST(first_write_takes_only_an_absent_or_expired_key)
{
    struct fixture fixture;
    fixture_init(&fixture);
    struct remora_state_set first = { .key = slice("k"),
                                      .value = slice("1"),
                                      .json = true,
                                      .concurrency = REMORA_FIRST_WRITE,
                                      .has_ttl = true,
                                      .ttl_seconds = 10 };
    CHECK(set(&fixture, &first) == NULL);
    CHECK(set(&fixture, &first) == failure_etag_mismatch());
    timestamp_shift_s = 11;
    CHECK(get(&fixture, "k") == NULL);
    CHECK(put(&fixture, "k", "2", "11111111-2222-4333-8444-555555555555") ==
          failure_etag_mismatch());
    CHECK(set(&fixture, &first) == NULL);
    struct row *row = get(&fixture, "k");
    CHECK(row != NULL);
    row_free(row);
    fixture_fini(&fixture);
}

TEST(a_time_to_live_ends_a_row_and_is_cleared_by_the_next_save)
{
    struct fixture fixture;
    fixture_init(&fixture);
    struct remora_state_set ttl = {
        .key = slice("k"), .value = slice("1"), .json = true, .has_ttl = true, .ttl_seconds = 100
    };
    CHECK(set(&fixture, &ttl) == NULL);
    CHECK_TEXT(&fixture,
               "SELECT count(*) FROM state WHERE expiration_time LIKE '____-__-__ __:__:__' AND"
               " abs(unixepoch(expiration_time) - unixepoch('now') - 100) < 60",
               "1");
    struct row *row = get(&fixture, "k");
    REQUIRE(row != NULL);
    CHECK(llabs(row->expires_unix_ms / 1000 - timestamp_now_unix_s() - 100) < 60);
    row_free(row);
    ttl.ttl_seconds = -1;
    CHECK(set(&fixture, &ttl) == NULL);
    CHECK_TEXT(&fixture, "SELECT expiration_time FROM state", NULL);
    ttl.ttl_seconds = 100;
    CHECK(set(&fixture, &ttl) == NULL);
    CHECK(put(&fixture, "k", "2", NULL) == NULL);
    CHECK_TEXT(&fixture, "SELECT expiration_time FROM state", NULL);
    ttl.ttl_seconds = INT64_MAX;
    CHECK(set(&fixture, &ttl) == NULL);
    CHECK_TEXT(&fixture, "SELECT expiration_time FROM state", NULL);
    fixture_fini(&fixture);
}

static void
check_golden_read(struct fixture *fixture, const char *prefix, const cJSON *read)
{
    const cJSON *grpc = cJSON_GetObjectItem(read, "grpc");
    const char *data = cJSON_GetStringValue(cJSON_GetObjectItem(grpc, "data_b64"));
    const char *etag = cJSON_GetStringValue(cJSON_GetObjectItem(grpc, "etag"));
    const char *key = cJSON_GetStringValue(cJSON_GetObjectItem(read, "key"));
    const cJSON *expires = cJSON_GetObjectItem(cJSON_GetObjectItem(grpc, "metadata"),
                                               "ttlExpireTime");
    char full_key[200];
    snprintf(full_key, sizeof(full_key), "%s%s", prefix, key);
    struct row *row = get(fixture, full_key);
    if (etag == NULL || *etag == '\0') {
        CHECK(row == NULL);
    } else if (CHECK(row != NULL) && CHECK(row->failure == NULL)) {
        static char expected[4096];
        size_t len = 0;
        REQUIRE(data == NULL || strlen(data) < sizeof(expected));
        CHECK(base64_decode(data != NULL ? data : "", data != NULL ? strlen(data) : 0, expected,
                            &len));
        CHECK_EQ_MEM(row->value, row->value_len, expected, len);
        CHECK_EQ_MEM(row->etag, row->etag_len, etag, strlen(etag));
        int64_t unix_s = 0;
        if (expires != NULL)
            CHECK(timestamp_parse(expires->valuestring, strlen(expires->valuestring), &unix_s));
        CHECK_EQ_INT(row->expires_unix_ms, unix_s * 1000);
    }
    row_free(row);
}

TEST(every_value_etag_and_expiry_of_the_reference_is_read)
{
    const char *golden = golden_path("sqlite.db");
    if (golden == NULL)
        SKIP("the data written by the reference are not here (REMORA_SHARED)");
    struct fixture fixture = { .path = "" };
    snprintf(fixture.path, sizeof(fixture.path), "%s/golden.db", test_dir());
    copy_file(golden, fixture.path);
    fixture_open(&fixture);

    size_t len, count = 0;
    char *text = read_file(golden_path("sqlite-expected.json"), &len);
    cJSON *expected = cJSON_ParseWithLength(text, len);
    const cJSON *read;
    REQUIRE(expected != NULL);
    cJSON_ArrayForEach(read, cJSON_GetObjectItem(expected, "reads"))
    {
        check_golden_read(&fixture, "goldapp||", read);
        count++;
    }
    CHECK(count > 50);
    cJSON_Delete(expected);
    free(text);
    fixture_fini(&fixture);
}

/* An encrypted value is text in base64, kept as bytes: the store neither knows nor changes it. */
TEST(encrypted_rows_of_the_reference_are_read)
{
    const char *golden = golden_path("encrypted-sqlite.db");
    if (golden == NULL)
        SKIP("the data written by the reference are not here (REMORA_SHARED)");
    struct fixture fixture = { .path = "" };
    snprintf(fixture.path, sizeof(fixture.path), "%s/golden.db", test_dir());
    copy_file(golden, fixture.path);
    fixture_open(&fixture);
    struct rows rows;
    rows_init(&rows);
    CHECK(scan_query(&fixture.connection, "state", slice("{}"), slice(""), &rows) == NULL);
    CHECK(rows.count > 10);
    for (struct row *row = rows.first; row != NULL; row = row->next) {
        CHECK(row->failure == NULL);
        CHECK(memmem(row->value, row->value_len, "||", 2) != NULL);
    }
    rows_fini(&rows);
    fixture_fini(&fixture);
}

/* The tables as the reference made them, white space aside. */
TEST(our_tables_read_like_those_of_the_reference)
{
    const char *golden = golden_path("sqlite-expected.json");
    if (golden == NULL)
        SKIP("the data written by the reference are not here (REMORA_SHARED)");
    size_t len;
    char *text = read_file(golden, &len);
    cJSON *expected = cJSON_ParseWithLength(text, len);
    REQUIRE(expected != NULL);
    struct fixture fixture;
    fixture_init(&fixture);
    const cJSON *schema;
    cJSON_ArrayForEach(schema, cJSON_GetObjectItem(expected, "raw_schema"))
    {
        char *sql = sqlite3_mprintf("SELECT count(*) FROM sqlite_master WHERE replace(replace("
                                    "replace(sql, char(9), ''), char(10), ''), ' ', '') ="
                                    " replace(replace(replace(%Q, char(9), ''), char(10), ''),"
                                    " ' ', '')",
                                    cJSON_GetStringValue(schema));
        CHECK_TEXT(&fixture, sql, cJSON_IsString(schema) ? "1" : "0");
        sqlite3_free(sql);
    }
    CHECK_TEXT(&fixture, "SELECT count(*) FROM sqlite_master", "4");
    fixture_fini(&fixture);
    cJSON_Delete(expected);
    free(text);
}

/* Values as the reference was given them lie in the table as it laid them. */
TEST(what_we_write_has_the_raw_form_of_the_reference)
{
    const char *golden = golden_path("sqlite-expected.json");
    if (golden == NULL)
        SKIP("the data written by the reference are not here (REMORA_SHARED)");
    size_t len;
    char *text = read_file(golden, &len);
    cJSON *expected = cJSON_ParseWithLength(text, len);
    REQUIRE(expected != NULL);
    struct fixture fixture;
    fixture_init(&fixture);
    const cJSON *raw;
    cJSON_ArrayForEach(raw, cJSON_GetObjectItem(expected, "raw_rows"))
    {
        const char *key = cJSON_GetObjectItem(raw, "key")->valuestring;
        const char *value = cJSON_GetObjectItem(raw, "value")->valuestring;
        bool is_binary = cJSON_GetObjectItem(raw, "is_binary")->valueint != 0;
        static char decoded[4096];
        size_t decoded_len = 0;
        REQUIRE(strlen(value) < sizeof(decoded));
        if (is_binary)
            CHECK(base64_decode(value, strlen(value), decoded, &decoded_len));
        struct remora_state_set request = {
            .key = slice(key),
            .value = is_binary ? (struct remora_slice){ decoded, decoded_len } : slice(value),
            .json = !is_binary
        };
        CHECK(set(&fixture, &request) == NULL);
        char *sql = sqlite3_mprintf("SELECT count(*) FROM state WHERE key = %Q AND value = %Q AND"
                                    " is_binary = %d AND typeof(value) = 'text' AND"
                                    " typeof(is_binary) = 'integer' AND length(etag) = 36",
                                    key, value, is_binary);
        CHECK_TEXT(&fixture, sql, "1");
        sqlite3_free(sql);
    }
    fixture_fini(&fixture);
    cJSON_Delete(expected);
    free(text);
}
