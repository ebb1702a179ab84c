/* SPDX-License-Identifier: Apache-2.0 */
/* Aliases of paths: which routes are ones, what they match, and what becomes of a request. */
#include "base/arena.h"
#include "plugins/middleware/routes.h"
#include "test.h"

static struct arena arena;

static void *
take(remora_call *call, size_t bytes)
{
    (void)call;
    return arena_alloc(&arena, bytes);
}

static struct remora_slice
text_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* "path?query", "-" if no route matches, or why there is no such table. */
static const char *
apply(const char *table, const char *path, const char *query)
{
    char why[ROUTES_WORDS_BYTES] = "";
    struct remora_slice to, with;
    struct routes *routes = routes_new();
    const char *result = "-";
    arena_init(&arena);
    static char out[1024];
    if (!routes_read(routes, text_of(table), why)) {
        snprintf(out, sizeof out, "%s", why);
        result = out;
    } else if (routes_apply(routes, take, NULL, text_of(path), text_of(query), &to, &with)) {
        snprintf(out, sizeof out, "%.*s?%.*s", (int)to.len, to.data, (int)with.len, with.data);
        result = out;
    }
    routes_free(routes);
    arena_fini(&arena);
    return result;
}

TEST(routes_match_whole_paths)
{
    CHECK_EQ_STR(apply("{\"/a/{x}/b\": \"/to\"}", "/a/1/b", ""), "/to?x=1");
    CHECK_EQ_STR(apply("{\"/a/{x}/b\": \"/to\"}", "/a/1/b", "x=0"), "/to?x=0&x=1");
    CHECK_EQ_STR(apply("{\"/a/{x}/b\": \"/to\"}", "/a/1/b/", ""), "-");
    CHECK_EQ_STR(apply("{\"/a/{x}/b\": \"/to\"}", "/a//b", ""), "-");
    CHECK_EQ_STR(apply("{\"/a.b\": \"/to\"}", "/axb", ""), "-");
    CHECK_EQ_STR(apply("{\"/a.b\": \"/to?k=v\"}", "/a.b", "q"), "/to?q&k=v");
    CHECK_EQ_STR(apply("/a: /one\n/b: /two\n", "/b", ""), "/two?");
    CHECK_EQ_STR(apply("{\"/{n:[0-9]{2}}\": \"/to\", \"/{s}\": \"/other\"}", "/12", ""),
                 "/to?n=12");
    CHECK_EQ_STR(apply("{\"/{n:[0-9]{2}}\": \"/to\", \"/{s}\": \"/other\"}", "/123", ""),
                 "/other?s=123");
    CHECK_EQ_STR(apply("{\"/{a}/{b}\": \"/to\"}", "/%41%2f/%zz", ""), "-"); /* a slash separates */
    CHECK_EQ_STR(apply("{\"/{a}/{b}\": \"/to\"}", "/%41/%zz", ""), "/to?a=A&b=%25zz");
    CHECK_EQ_STR(apply("", "/a", ""), "-");
}

TEST(tables_that_make_no_sense_are_refused)
{
    static const char *const tables[] = {
        "[1]",
        "7",
        "{\"a\": \"/b\"}",
        "{\"/a\": \"b\"}",
        "{\"/a\": \"\"}",
        "{\"/a\": [1]}",
        "{\"/a{\": \"/b\"}",
        "{\"/a{}\": \"/b\"}",
        "{\"/a{:x}\": \"/b\"}",
        "{\"/{x:(\": \"/b\"}",
        "{\"/{x:(a)}\": \"/b\"}",
        "{\"/a\": \"/b c\"}",
        "{\"/a\": \"/b\\r\\nX: 1\"}",
        "{\"/a\": ",
        "{\"/a\": \"/b#c\"}",
        "{\"/{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}{l}{m}{n}{o}{p}{q}\": \"/b\"}",
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const char *got = apply(tables[i], "/a", "");
        CHECK(strcmp(got, "-") != 0 && got[0] != '/' && got[0] != '\0');
    }
}
