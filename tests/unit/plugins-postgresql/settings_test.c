/* SPDX-License-Identifier: Apache-2.0 */
/* Connection strings, in the words of the reference's driver, and metadata. */
#include "plugins/postgresql/settings.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* "" or what is complained of. */
static const char *
parse(struct conninfo *conninfo, const char *text)
{
    static char why[CONNINFO_WHY_BYTES];
    conninfo_init(conninfo);
    return conninfo_parse(conninfo, text, why) ? "" : why;
}

static const char *
get(const struct conninfo *conninfo, const char *name)
{
    const char *value = conninfo_get(conninfo, name);
    return value == NULL ? "(none)" : value;
}

TEST(pairs_have_the_names_of_the_driver)
{
    struct conninfo c;
    CHECK_EQ_STR(parse(&c,
                       " host = localhost port=5433\tuser='a b' password='it\\'s \\\\' database=x"
                       " pool_max_conns=7 pool_max_conn_idle_time=90s pool_min_conns=2"
                       " default_query_exec_mode=exec empty=''"),
                 "");
    CHECK_EQ_STR(get(&c, "host"), "localhost");
    CHECK_EQ_STR(get(&c, "port"), "5433");
    CHECK_EQ_STR(get(&c, "user"), "a b");
    CHECK_EQ_STR(get(&c, "password"), "it's \\");
    CHECK_EQ_STR(get(&c, "dbname"), "x");
    CHECK_EQ_STR(get(&c, "pool_min_conns"), "(none)");
    CHECK_EQ_INT(c.pool_max_conns, 7);
    CHECK_EQ_INT(c.pool_idle_ms, 90000);
    CHECK_EQ_STR(c.exec_mode, "exec");
    CHECK_EQ_STR(get(&c, "options"), "-c empty=");
    conninfo_fini(&c);
}

TEST(what_libpq_does_not_know_is_a_setting_of_the_server)
{
    struct conninfo c;
    CHECK_EQ_STR(parse(&c, "options='-c a=b' search_path='x, y\\\\' my.name=1"), "");
    CHECK_EQ_STR(get(&c, "options"), "-c a=b -c search_path=x,\\ y\\\\ -c my.name=1");
    conninfo_fini(&c);
    CHECK_EQ_STR(parse(&c, "od;d=1"),
                 "failed to parse connection string: invalid name of a setting");
    conninfo_fini(&c);
}

TEST(urls_are_taken_apart)
{
    struct conninfo c;
    CHECK_EQ_STR(
        parse(&c, "postgres://us%40er:p%2Fw@[::1]:6543,other/d%20b?sslmode=require&pool_max_conns=3"
                  "&search_path=a%20b&"),
        "");
    CHECK_EQ_STR(get(&c, "host"), "::1,other");
    CHECK_EQ_STR(get(&c, "port"), "6543,");
    CHECK_EQ_STR(get(&c, "user"), "us@er");
    CHECK_EQ_STR(get(&c, "password"), "p/w");
    CHECK_EQ_STR(get(&c, "dbname"), "d b");
    CHECK_EQ_STR(get(&c, "sslmode"), "require");
    CHECK_EQ_STR(get(&c, "options"), "-c search_path=a\\ b");
    CHECK_EQ_INT(c.pool_max_conns, 3);
    conninfo_fini(&c);
}

TEST(malformed_strings_are_refused_without_what_they_say)
{
    static const char *const texts[] = { "host",
                                         "host='x",
                                         "=x",
                                         "postgres://u:s3cret@[::1/x",
                                         "postgres://h/x?a",
                                         "postgres://h/x?a=%zz",
                                         "postgres://h/x?a=%00",
                                         "pool_max_conns=0",
                                         "pool_max_conns=s3cret",
                                         "a b s3cret" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct conninfo c;
        const char *why = parse(&c, texts[i]);
        CHECK(*why != '\0');
        CHECK(strstr(why, "s3cret") == NULL);
        conninfo_fini(&c);
    }
}

TEST(too_many_settings_and_too_long_ones_are_refused)
{
    struct conninfo c;
    static char text[CONNINFO_BYTES_MAX + 10];
    char name[16];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CHECK(*parse(&c, text) != '\0');
    conninfo_fini(&c);
    conninfo_init(&c);
    int set = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "n%d", i);
        set += conninfo_set(&c, name, "v");
    }
    CHECK_EQ_INT(set, CONNINFO_PAIRS_MAX - 1);
    conninfo_fini(&c);
}

static const char *
read_settings(const struct remora_pair *pairs, size_t count, struct settings *settings)
{
    static char why[SETTINGS_WHY_BYTES];
    const struct remora_config config = { .metadata = pairs, .metadata_count = count };
    return settings_init(settings, &config, why) ? "" : why;
}

TEST(fields_take_the_place_of_the_connection_string)
{
    struct settings settings;
    const struct remora_pair pairs[] = {
        { slice("url"), slice("host=a user=u password=p") },
        { slice("host"), slice("b") },
        { slice("database"), slice("d") },
        { slice("maxConns"), slice("9") },
        { slice("connectionMaxIdleTime"), slice("5m") },
        { slice("queryExecMode"), slice("exec") },
    };
    CHECK_EQ_STR(read_settings(pairs, 6, &settings), "");
    CHECK_EQ_STR(get(&settings.conninfo, "host"), "b");
    CHECK_EQ_STR(get(&settings.conninfo, "user"), "u");
    CHECK_EQ_STR(get(&settings.conninfo, "dbname"), "d");
    CHECK_EQ_INT(settings.connections_max, 9);
    CHECK_EQ_INT(settings.idle_ms, 300000);
    CHECK_EQ_INT(settings.timeout_ms, 20000);
    CHECK(!settings.has_session);
    settings_fini(&settings);
    CHECK_EQ_STR(read_settings(pairs, 0, &settings), "missing connection string");
    const struct remora_pair odd[] = { pairs[0], { slice("queryExecMode"), slice("x") } };
    CHECK_EQ_STR(read_settings(odd, 2, &settings), "invalid queryExecMode metadata value: x");
}

TEST(names_of_tables_need_no_quotes)
{
    static const char *const fine[] = { "state", "public.State_1", "_a$" };
    static const char *const odd[] = { "",    "1a",  "a.b.c", "a.",  ".a",
                                       "a b", "a;b", "a\"b",  "a-b", "$a" };
    for (size_t i = 0; i < 3; i++)
        CHECK(settings_is_table(fine[i]));
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        CHECK(!settings_is_table(odd[i]));
}

TEST(keys_in_the_metadata_are_those_of_the_reference)
{
    struct table_settings tables;
    char why[SETTINGS_WHY_BYTES];
    const struct remora_pair pairs[] = { { slice("tablePrefix"), slice("app.one_") },
                                         { slice("tableName"), slice("things") },
                                         { slice("cleanupInterval"), slice("-1") } };
    const struct remora_config config = { .metadata = pairs, .metadata_count = 3 };
    CHECK(settings_read_tables(&tables, &config, true, why));
    CHECK_EQ_STR(tables.state, "app.one_state");
    CHECK_EQ_STR(tables.level_key, "migrations-state-v2-app.one_");
    CHECK_EQ_STR(tables.cleanup_key, "last-cleanup-state-v2-app.one_");
    CHECK_EQ_INT(tables.cleanup_interval_ms, 0);
    CHECK(settings_read_tables(&tables, &config, false, why));
    CHECK_EQ_STR(tables.state, "things");
    CHECK_EQ_STR(tables.level_key, "migrations");
    CHECK_EQ_STR(tables.cleanup_key, "last-cleanup");
}
