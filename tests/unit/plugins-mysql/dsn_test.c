/* SPDX-License-Identifier: Apache-2.0 */
/* Connection strings: what they mean, and that nothing of a bad one is repeated. */
#include "plugins/mysql/dsn.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

TEST(a_connection_string_is_read_as_the_driver_reads_it)
{
    static const struct {
        const char *text, *user, *password, *host, *path, *database;
        unsigned port;
    } cases[] = {
        { "/", "", "", "127.0.0.1", NULL, "", 3306 },
        { "me@/db", "me", "", "127.0.0.1", NULL, "db", 3306 },
        { "me:pw@tcp(db.example:3307)/", "me", "pw", "db.example", NULL, "", 3307 },
        { "me:p@s:s/w@tcp(10.0.0.1)/x?charset=utf8", "me", "p@s:s/w", "10.0.0.1", NULL, "x", 3306 },
        { "me:@tcp([fe80::1]:1)/", "me", "", "fe80::1", NULL, "", 1 },
        { "me@tcp([::1])/", "me", "", "::1", NULL, "", 3306 },
        { "me@tcp/", "me", "", "127.0.0.1", NULL, "", 3306 },
        { "me@tcp(:3310)/", "me", "", "127.0.0.1", NULL, "", 3310 },
        { "me@unix(/run/my.sock)/db", "me", "", NULL, "/run/my.sock", "db", 0 },
        { "me@unix/db", "me", "", NULL, "/tmp/mysql.sock", "db", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dsn dsn;
        char why[DSN_WHY_BYTES] = "";
        CHECK(dsn_read(&dsn, slice(cases[i].text), why));
        CHECK_EQ_STR(why, "");
        CHECK_EQ_STR(dsn.user, cases[i].user);
        CHECK_EQ_STR(dsn.password, cases[i].password);
        CHECK_EQ_STR(dsn.database, cases[i].database);
        CHECK_EQ_INT(dsn.port, cases[i].port);
        CHECK_EQ_STR(dsn.host == NULL ? "none" : dsn.host,
                     cases[i].host == NULL ? "none" : cases[i].host);
        CHECK_EQ_STR(dsn.path == NULL ? "none" : dsn.path,
                     cases[i].path == NULL ? "none" : cases[i].path);
        dsn_fini(&dsn);
    }
}

TEST(parameters_choose_tls_and_how_the_password_is_shown)
{
    static const struct {
        const char *parameters, *ignored;
        enum dsn_tls tls;
        bool no_native, cleartext;
    } cases[] = {
        { "", NULL, DSN_PLAIN, false, false },
        { "tls=true", NULL, DSN_TLS, false, false },
        { "tls=false&&", NULL, DSN_PLAIN, false, false },
        { "allowNativePasswords=true&tls=custom", NULL, DSN_CUSTOM, false, false },
        { "tls=skip-verify&allowNativePasswords=false", NULL, DSN_SKIP_VERIFY, true, false },
        { "tls=preferred&allowCleartextPasswords=true", NULL, DSN_PREFERRED, false, true },
        { "parseTime=true&loc=UTC&max_heap=1&x=y", "max_heap", DSN_PLAIN, false, false },
        { "alone", NULL, DSN_PLAIN, false, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dsn dsn;
        char why[DSN_WHY_BYTES] = "", text[200];
        (void)snprintf(text, sizeof text, "me:pw@tcp(h:1)/?%s", cases[i].parameters);
        CHECK(dsn_read(&dsn, slice(text), why));
        CHECK_EQ_INT(dsn.tls, cases[i].tls);
        CHECK_EQ_INT(dsn.no_native_password, cases[i].no_native);
        CHECK_EQ_INT(dsn.cleartext_password, cases[i].cleartext);
        CHECK_EQ_STR(dsn.ignored == NULL ? "none" : dsn.ignored,
                     cases[i].ignored == NULL ? "none" : cases[i].ignored);
        dsn_fini(&dsn);
    }
}

TEST(a_bad_connection_string_is_refused_without_a_word_of_it)
{
    static const char *const cases[] = {
        "",
        "s3cret",
        "me:s3cret@tcp(h:1)",
        "me:s3cret@tcp(h:1/",
        "me:s3cret@tcp(h:s3cret)/",
        "me:s3cret@tcp(h:0)/",
        "me:s3cret@tcp(h:65536)/",
        "me:s3cret@tcp([::1:1)/",
        "me:s3cret@s3cret(h:1)/",
        "me:s3cret@tcp(h:1)/?tls=s3cret",
        "me:s3cret@tcp(h:1)/?allowNativePasswords=s3cret",
        "me:s3cret@tcp(h:1)/?allowCleartextPasswords=",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dsn dsn;
        char why[DSN_WHY_BYTES] = "";
        CHECK(!dsn_read(&dsn, slice(cases[i]), why));
        CHECK(strstr(why, "invalid connection string: ") == why);
        CHECK(strstr(why, "s3cret") == NULL);
        dsn_fini(&dsn);
    }
    struct dsn dsn;
    char why[DSN_WHY_BYTES] = "";
    CHECK(!dsn_read(&dsn, (struct remora_slice){ "me:a\0b@tcp(h)/", 15 }, why));
    dsn_fini(&dsn);
}
