/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of secrets: flattening, several values, what is refused, lookup. */
#include "plugins/local-secrets/secrets.h"

#include "test.h"

static const struct secrets_form flat = { .separator = ":" };
static const struct secrets_form multi = { .separator = ":", .is_multi_valued = true };

static struct secrets *
parsed(const char *text, const struct secrets_form *form)
{
    char error[SECRETS_ERROR_BYTES] = "";
    struct secrets *secrets = secrets_parse(text, strlen(text), form, error);
    if (secrets == NULL)
        fprintf(stderr, "  %s\n", error);
    REQUIRE(secrets != NULL);
    return secrets;
}

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* The secret's pairs as `name=value` with `,` between them. */
static void
check_secret(const struct secrets *secrets, const char *name, const char *expected)
{
    char text[1000];
    size_t len = 0;
    const struct remora_secret *secret = secrets_find(secrets, slice(name));
    if (!CHECK(secret != NULL)) {
        fprintf(stderr, "  %s\n", name);
        return;
    }
    for (size_t i = 0; i < secret->pair_count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s=%.*s", i > 0 ? "," : "",
                                (int)secret->pairs[i].name.len, secret->pairs[i].name.data,
                                (int)secret->pairs[i].value.len, secret->pairs[i].value.data);
    CHECK_EQ_MEM(text, len, expected, strlen(expected));
}

static void
check_refused(const char *text, size_t len, const char *words)
{
    char error[SECRETS_ERROR_BYTES] = "";
    struct secrets *secrets = secrets_parse(text, len, &flat, error);
    CHECK(secrets == NULL);
    secrets_free(secrets);
    if (!CHECK(strstr(error, words) != NULL))
        fprintf(stderr, "  got: %s\n", error);
}

TEST(nested_members_are_flattened)
{
    struct secrets *s = parsed(
        "{\"a\":\"1\",\"b\":{\"c\":\"2\",\"d\":{\"e\":\"3\"}},\"l\":[\"x\",[\"y\"]]}\n ", &flat);
    CHECK_EQ_INT(s->count, 5);
    check_secret(s, "a", "a=1");
    check_secret(s, "b:c", "b:c=2");
    check_secret(s, "b:d:e", "b:d:e=3");
    check_secret(s, "l:0", "l:0=x");
    check_secret(s, "l:1:0", "l:1:0=y");
    CHECK(secrets_find(s, slice("b")) == NULL);
    CHECK(secrets_find(s, slice("b:d")) == NULL);
    CHECK(secrets_find(s, slice("")) == NULL);
    CHECK(secrets_find(s, slice("zz")) == NULL);
    secrets_free(s);
}

TEST(with_several_values_the_first_level_names_the_secret)
{
    struct secrets *s = parsed(
        "{\"db\":{\"pw\":\"x\",\"deep\":{\"a\":\"1\"}},\"flat\":\"f\",\"l\":[\"a\"]}", &multi);
    CHECK_EQ_INT(s->count, 3);
    check_secret(s, "db", "deep:a=1,pw=x");
    check_secret(s, "flat", "flat=f");
    check_secret(s, "l", "0=a");
    secrets_free(s);
}

TEST(other_scalars_become_text)
{
    struct secrets *s = parsed(
        "{\"i\":12345678901,\"n\":-7,\"h\":0.1,\"big\":1e21,\"t\":true,\"f\":false,\"z\":null,"
        "\"e\":\"\"}",
        &flat);
    check_secret(s, "i", "i=12345678901");
    check_secret(s, "n", "n=-7");
    check_secret(s, "h", "h=0.1");
    check_secret(s, "big", "big=1e+21");
    check_secret(s, "t", "t=true");
    check_secret(s, "f", "f=false");
    check_secret(s, "z", "z=<nil>");
    check_secret(s, "e", "e=");
    secrets_free(s);
}

TEST(of_several_values_of_one_name_the_last_counts)
{
    struct secrets *s = parsed("{\"a\":\"1\",\"b:c\":\"2\",\"b\":{\"c\":\"3\"},\"a\":\"4\"}",
                               &flat);
    CHECK_EQ_INT(s->count, 2);
    check_secret(s, "a", "a=4");
    check_secret(s, "b:c", "b:c=3");
    secrets_free(s);
}

TEST(an_empty_object_is_an_empty_set)
{
    struct secrets *s = parsed("{}", &flat);
    CHECK_EQ_INT(s->count, 0);
    CHECK(secrets_find(s, slice("a")) == NULL);
    secrets_free(s);
}

TEST(what_is_no_object_is_refused_without_telling_what_it_holds)
{
    static const char *const texts[] = { "",
                                         " ",
                                         "[]",
                                         "\"a\"",
                                         "{",
                                         "{\"a\":secret}",
                                         "{\"a\":\"b\"} x",
                                         "{\"a\":\"b\"}{}",
                                         "{\"a\" \"b\"}",
                                         "\xff" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char error[SECRETS_ERROR_BYTES] = "";
        struct secrets *s = secrets_parse(texts[i], strlen(texts[i]), &flat, error);
        CHECK(s == NULL);
        CHECK(strstr(error, "not a JSON object") != NULL);
        CHECK(strstr(error, "secret") == NULL);
        secrets_free(s);
    }
}

enum { LARGE_BYTES = 4 * 1024 * 1024 };

static char large[LARGE_BYTES];
static size_t large_len;

static void
put(const char *text, int times)
{
    for (int i = 0; i < times; i++) {
        const size_t len = strlen(text);
        REQUIRE(large_len + len <= LARGE_BYTES);
        memcpy(large + large_len, text, len);
        large_len += len;
    }
}

TEST(depth_and_amount_are_bounded)
{
    large_len = 0;
    put("{\"a\":", 200);
    put("1", 1);
    put("}", 200);
    check_refused(large, large_len, "nested too deeply");
    large_len = 0;
    put("{\"a\":[0", 1);
    put(",0", SECRETS_COUNT_MAX);
    put("]}", 1);
    check_refused(large, large_len, "too much");
    /* A long name before many values: each would carry it. */
    large_len = 0;
    put("{\"", 1);
    put("n", 10000);
    put("\":[0", 1);
    put(",0", 5000);
    put("]}", 1);
    check_refused(large, large_len, "too much");
}

TEST(a_set_that_was_never_sealed_can_be_freed)
{
    struct secrets *s = secrets_new();
    CHECK(secrets_add(s, slice("a"), slice("a"), slice("1")));
    secrets_free(s);
    secrets_free(NULL);
}
