/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions of routing rules (PUB-72 to PUB-78, PUB-U14). */
#include "cel/cel.h"

#include "base/buf.h"
#include "test.h"

static const char event[] =
    "{\"id\":\"e1\",\"type\":\"order.v2\",\"topic\":\"orders\",\"specversion\":\"1.0\","
    "\"data\":{\"amount\":12000,\"size\":2.5,\"name\":\"gr\\u00fc\\u00dfe\",\"ok\":true,\"none\":"
    "null,"
    "\"tags\":[\"a\",\"b\",\"c\"],\"deep\":{\"x\":{\"y\":7}},\"list\":[1,2,3],\"empty\":[],"
    "\"time\":\"2026-11-25T10:00:00Z\"}}";

static enum cel_result
run(const char *text)
{
    struct arena arena;
    struct diag diag;
    arena_init(&arena);
    diag_init(&diag, &arena);
    const struct cel_program *program = cel_compile(&arena, slice_str(text), &diag);
    enum cel_result result = CEL_FAILED;
    if (program == NULL)
        fprintf(stderr, "%s: %.*s\n", text, (int)diag.message.len, diag.message.data);
    CHECK(program != NULL);
    if (program != NULL)
        result = cel_matches(program, &arena, slice_str(event));
    arena_fini(&arena);
    return result;
}

static void
check_all(const char *const *texts, size_t count, enum cel_result wanted)
{
    for (size_t i = 0; i < count; i++) {
        enum cel_result got = run(texts[i]);
        if (got != wanted)
            fprintf(stderr, "%s: %d instead of %d\n", texts[i], (int)got, (int)wanted);
        CHECK_EQ_INT(got, wanted);
    }
}

TEST(what_is_true)
{
    static const char *const texts[] = {
        "true",
        "event.type == \"order.v2\"",
        "event.type == 'order.v2' && event.topic == 'orders'",
        "int(event.data.amount) > 10000",
        "event.data.amount > 10000.0",
        "event.data.amount > 10000 && event.data.amount == 12000 && 10000u < event.data.amount",
        "event.data.amount == 12000.0",
        "event.data.ok",
        "!(event.data.size > 3.0)",
        "has(event.data.name)",
        "!has(event.data.missing)",
        "has(event.data.deep.x.y) && int(event.data.deep.x.y) == 7",
        "event.data['name'] == 'gr\\u00fc\\u00dfe'",
        "size(event.data.name) == 5",
        "event.data.name.size() == 5",
        "size(event.data.tags) == 3 && size(event.data.empty) == 0",
        "event.data.tags[1] == 'b'",
        "'b' in event.data.tags",
        "!('z' in event.data.tags)",
        "'amount' in event.data",
        "event.type.startsWith('order.')",
        "event.type.endsWith('.v2')",
        "event.type.contains('der')",
        "event.type.matches('^order\\\\.v[0-9]+$')",
        "event.type.matches(r'v\\d$')",
        "matches(event.topic, 'ord.*')",
        "event.data.amount > 10.0 ? true : false",
        "event.data.list.all(x, x > 0.0)",
        "event.data.list.exists(x, x == 2.0)",
        "event.data.list.exists_one(x, x > 2.0)",
        "event.data.list.filter(x, x > 1.0).size() == 2",
        "event.data.list.map(x, x * 2.0) == [2.0, 4.0, 6.0]",
        "event.data.deep.all(k, k == 'x')",
        "event.data.none == null",
        "event.data.name != null",
        "event.data.missing == 1 || event.topic == 'orders'",
        "event.topic == 'orders' || event.data.missing == 1",
        "!(event.data.missing == 1 && event.topic == 'other')",
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 / 2 == 3 && -7 % 3 == -1",
        "1u + 2u == 3u && 0x10 == 16 && 1.5e3 == 1500.0 && .5 < 1.0",
        "'a' + 'b' == 'ab' && [1] + [2] == [1, 2]",
        "{'a': 1, 'b': [1, 2]}.b[1] == 2",
        "{'a': 1} == {'a': 1}",
        "double('2.5') == event.data.size",
        "string(12) == '12' && string(2.5) == '2.5' && string(true) == 'true'",
        "int('-5') == -5 && bool('true')",
        "timestamp(event.data.time) < timestamp('2026-11-25T12:00:00+01:00')",
        "timestamp(event.data.time) + duration('1h30m') == timestamp('2026-11-25T11:30:00Z')",
        "timestamp(event.data.time).getFullYear() == 2026 && duration('90s').getMinutes() == 1",
        "// a comment\n true",
        "\"\"\"long \"quoted\" text\"\"\".contains('quoted')",
        "b'abc' == b'\\x61bc'",
        "type(1) == 'int'",
        "\"x\" < \"y\" && false < true",
    };
    check_all(texts, ARRAY_LEN(texts), CEL_TRUE);
}

TEST(what_is_false)
{
    static const char *const texts[] = {
        "false",
        "event.type == 'x'",
        "'z' in event.data.tags",
        "event.data.missing == 1 && false",
        "event.data.empty.exists(x, true)",
        "event.type.matches('^$')",
        "event.data.none != null",
    };
    check_all(texts, ARRAY_LEN(texts), CEL_FALSE);
}

TEST(what_cannot_be_decided)
{
    static const char too_long[] =
        "event.data.list.map(x, event.data.list.map(y, event.data.list.map(z, event.data.list"
        ".map(a, event.data.list.map(b, event.data.list.map(c, event.data.list.map(d, event.data"
        ".list.map(e, event.data.list.map(f, event.data.list.map(g, event.data.list.map(h, "
        "event.data.list.map(i, 1)))))))))))).size() == 3";
    static const char *const texts[] = {
        "event.data.missing == 1",
        "event.missing.x == 1",
        "event.data.amount == 'x'",
        "event.data.name.x == 1",
        "event.data.tags[3] == 'x'",
        "event.data.tags[-1] == 'x'",
        "1 / 0 == 1",
        "9223372036854775807 + 1 > 0",
        "event",
        "event.type",
        "nothing",
        "int('x') == 1",
        "timestamp('yesterday') == timestamp('today')",
        too_long,
    };
    check_all(texts, ARRAY_LEN(texts), CEL_FAILED);
}

TEST(what_is_no_expression_names_its_column)
{
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        { "", "column 1: " },
        { "event.", "column 7: " },
        { "event.type ==", "column 14: " },
        { "event.type = 'x'", "column 12: " },
        { "(true", "column 6: " },
        { "true)", "column 5: " },
        { "'open", "column 1: the string has no end" },
        { "nofun(1)", "column 1: there is no such function" },
        { "event.x.nofun()", "column 9: there is no such function" },
        { "has(event)", "column 1: has()" },
        { "[1,2].all(1, true)", "column 7: a macro" },
        { "event.type.matches('(')", "column 12: a closing bracket is missing" },
        { "99999999999999999999", "column 1: the number is too large" },
        { "1x", "column 1: a letter" },
        { "'\\q'", "column 1: there is no such escape" },
        { "@", "column 1: a character" },
        { "{'a' 1}", "column 6: a colon is missing" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena arena;
        struct diag diag;
        arena_init(&arena);
        diag_init(&diag, &arena);
        CHECK(cel_compile(&arena, slice_str(cases[i].text), &diag) == NULL);
        if (!slice_has_prefix(diag.message, slice_str(cases[i].words)))
            fprintf(stderr, "%s: %.*s\n", cases[i].text, (int)diag.message.len, diag.message.data);
        CHECK(slice_has_prefix(diag.message, slice_str(cases[i].words)));
        arena_fini(&arena);
    }
}

TEST(what_is_nested_too_deeply_is_refused)
{
    struct arena arena;
    struct diag diag;
    struct buf text;
    static const char *const pieces[][3] = {
        { "(", "1", ")" }, { "!", "true", "" }, { "1+", "1", "" },
        { "[", "1", "]" }, { "-", "1", "" },    { "true?true:", "true", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        arena_init(&arena);
        diag_init(&diag, &arena);
        buf_init(&text, 1 << 20);
        for (int n = 0; n < 2000; n++)
            CHECK(buf_append(&text, slice_str(pieces[i][0])));
        CHECK(buf_append(&text, slice_str(pieces[i][1])));
        for (int n = 0; n < 2000; n++)
            CHECK(buf_append(&text, slice_str(pieces[i][2])));
        CHECK(cel_compile(&arena, buf_slice(&text), &diag) == NULL);
        buf_fini(&text);
        arena_fini(&arena);
    }
}
