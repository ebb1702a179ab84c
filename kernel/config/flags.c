/* SPDX-License-Identifier: Apache-2.0 */
/* Reading flags into a struct by a table; see flags.h. */
#include "config/flags.h"

#include <assert.h>
#include <stdio.h>

#include "config/duration.h"
#include "config/number.h"

/* One parse in progress. */
struct parse {
    struct arena *arena;
    const struct flag_table *table;
    const struct flag_values *to;
    int argc;
    char *const *argv;
    int at; /* next argument */
    struct slice message;
};

static const struct flag_row *
find_row(const struct flag_table *table, struct slice name)
{
    for (size_t i = 0; i < table->count; i++)
        if (slice_eq(name, slice_str(table->rows[i].name)))
            return &table->rows[i];
    return NULL;
}

static void *
member_of(const struct flag_values *to, const struct flag_row *row)
{
    return (char *)to->members + row->offset;
}

/* Takes one comma-separated field off the front; "a,b" in quotes is one field, "" in it a quote. */
static struct slice
take_csv_field(struct arena *arena, struct slice *rest)
{
    struct slice field;
    if (rest->len == 0 || rest->data[0] != '"') {
        (void)slice_split(rest, ',', &field); /* data is not NULL: there is a field */
        return field;
    }
    char *out = arena_alloc(arena, rest->len);
    size_t len = 0, at = 1;
    for (; at < rest->len; at++) {
        if (rest->data[at] != '"')
            out[len++] = rest->data[at];
        else if (at + 1 < rest->len && rest->data[at + 1] == '"')
            out[len++] = rest->data[at++];
        else
            break;
    }
    struct slice tail = slice_from(*rest, at + 1);
    if (tail.len > 0 && slice_split(&tail, ',', &field))
        *rest = tail; /* what stands between the closing quote and the comma is dropped */
    else
        *rest = (struct slice){ 0 };
    return slice_of(out, len);
}

static void
add_texts(struct arena *arena, struct text_list *list, struct slice value)
{
    if (value.len == 0)
        return;
    for (struct slice rest = value; rest.data != NULL;)
        text_list_add(arena, list, take_csv_field(arena, &rest));
}

/* Stores a value by type. On failure returns what Go would say of it, else NULL. */
static const char *
store(struct arena *arena, const struct flag_row *row, struct slice value, void *field)
{
    static const char *const int_words[] = {
        [NUMBER_SYNTAX] = "invalid syntax", [NUMBER_RANGE] = "value out of range"
    };
    char error[DURATION_ERROR_BYTES];
    enum number_result result;
    switch (row->type) {
    case FLAG_BOOL:
        if (!slice_to_bool(value, field))
            return arena_printf(arena,
                                "strconv.ParseBool: parsing \"" SLICE_FMT "\": invalid syntax",
                                SLICE_ARG(value))
                .data;
        return NULL;
    case FLAG_INT:
        if ((result = number_to_i64(value, field)) != NUMBER_OK)
            return arena_printf(arena, "strconv.ParseInt: parsing \"" SLICE_FMT "\": %s",
                                SLICE_ARG(value), int_words[result])
                .data;
        return NULL;
    case FLAG_UINT:
        if ((result = number_to_u64(value, field)) != NUMBER_OK)
            return arena_printf(arena, "strconv.ParseUint: parsing \"" SLICE_FMT "\": %s",
                                SLICE_ARG(value), int_words[result])
                .data;
        return NULL;
    case FLAG_DURATION:
        return duration_parse(value, field, error) ? NULL : arena_str(arena, slice_str(error));
    case FLAG_TEXT:
        *(struct slice *)field = arena_dup(arena, value);
        return NULL;
    case FLAG_TEXTS:
        add_texts(arena, field, value);
        return NULL;
    }
    return NULL;
}

static void
set_defaults(struct arena *arena, const struct flag_table *table, const struct flag_values *to)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct flag_row *row = &table->rows[i];
        const char *error = store(arena, row, slice_str(row->default_text), member_of(to, row));
        assert(error == NULL);
        (void)error; /* with NDEBUG */
    }
}

static bool
bad_usage(struct parse *parse, struct slice message)
{
    parse->message = message;
    return false;
}

static bool
set_flag(struct parse *parse, const struct flag_row *row, struct slice value)
{
    const char *error = store(parse->arena, row, value, member_of(parse->to, row));
    if (error != NULL)
        return bad_usage(parse,
                         arena_printf(parse->arena,
                                      "invalid argument \"" SLICE_FMT "\" for \"--%s\" flag: %s",
                                      SLICE_ARG(value), row->name, error));
    bool *given = &parse->to->given[row - parse->table->rows];
    /* A feature switched off is a feature left out: nothing to report. */
    bool is_off = row->type == FLAG_BOOL && !*(bool *)member_of(parse->to, row);
    if (row->status == FLAG_ACCEPTED && !is_off && !*given)
        text_list_add(parse->arena, parse->to->ignored,
                      arena_printf(parse->arena, "--%s", row->name));
    if (row->status == FLAG_HIDDEN && !*given)
        text_list_add(
            parse->arena, parse->to->deprecated,
            arena_printf(parse->arena, "Flag --%s has been deprecated, %s", row->name, row->what));
    *given = true;
    return true;
}

/* `text` is the argument without its dashes. */
static bool
take_flag(struct parse *parse, struct slice text)
{
    ptrdiff_t equals = slice_find_byte(text, '=');
    struct slice name = equals < 0 ? text : slice_first(text, (size_t)equals);
    if (name.len == 0 || name.data[0] == '-')
        return bad_usage(
            parse, arena_printf(parse->arena, "bad flag syntax: --" SLICE_FMT, SLICE_ARG(text)));
    const struct flag_row *row = find_row(parse->table, name);
    if (row == NULL)
        return bad_usage(parse,
                         arena_printf(parse->arena, "unknown flag: --" SLICE_FMT, SLICE_ARG(name)));
    if (equals >= 0)
        return set_flag(parse, row, slice_from(text, (size_t)equals + 1));
    if (row->type == FLAG_BOOL)
        return set_flag(parse, row, SLICE("true"));
    if (parse->at >= parse->argc)
        return bad_usage(parse, arena_printf(parse->arena, "flag needs an argument: --" SLICE_FMT,
                                             SLICE_ARG(name)));
    return set_flag(parse, row, slice_str(parse->argv[parse->at++]));
}

static bool
is_help(struct slice arg)
{
    return slice_eq(arg, SLICE("-h")) || slice_eq(arg, SLICE("-help")) ||
           slice_eq(arg, SLICE("--help"));
}

/* Words that are no flags are passed over, as the reference does. */
static enum flags_verdict
take_all(struct parse *parse)
{
    while (parse->at < parse->argc) {
        struct slice arg = slice_str(parse->argv[parse->at++]);
        if (slice_eq(arg, SLICE("--")))
            return FLAGS_OK;
        if (is_help(arg))
            return FLAGS_HELP;
        if (arg.len < 2 || arg.data[0] != '-')
            continue;
        bool is_double = arg.data[1] == '-';
        if (!is_double && arg.len == 2) {
            (void)bad_usage(parse,
                            arena_printf(parse->arena, "unknown shorthand flag: '%c' in %s",
                                         arg.data[1], arg.data)); /* the message is the point */
            return FLAGS_BAD_USAGE;
        }
        if (!take_flag(parse, slice_from(arg, is_double ? 2 : 1)))
            return FLAGS_BAD_USAGE;
    }
    return FLAGS_OK;
}

enum flags_verdict
flags_parse(struct arena *arena, const struct flag_table *table, int argc, char *const *argv,
            const struct flag_values *to, struct slice *ret_message)
{
    struct parse parse = {
        .arena = arena,
        .table = table,
        .to = to,
        .argc = argc,
        .argv = argv,
        .at = 1,
        .message = SLICE_EMPTY,
    };
    set_defaults(arena, table, to);
    enum flags_verdict verdict = take_all(&parse);
    *ret_message = parse.message;
    return verdict;
}

/* --- help --------------------------------------------------------------------------------------*/

static const char *
type_word(enum flag_type type)
{
    static const char *const words[] = {
        [FLAG_BOOL] = "",        [FLAG_INT] = " int",
        [FLAG_UINT] = " uint",   [FLAG_DURATION] = " duration",
        [FLAG_TEXT] = " string", [FLAG_TEXTS] = " strings",
    };
    return words[type];
}

/* A default that is the type's zero is not worth showing. */
static bool
shows_default(const struct flag_row *row)
{
    struct slice text = slice_str(row->default_text);
    return text.len > 0 && !slice_eq(text, SLICE("false")) && !slice_eq(text, SLICE("0")) &&
           !slice_eq(text, SLICE("0s"));
}

static void
help_row(struct buf *out, const struct flag_row *row, int column)
{
    char head[80];
    int len = snprintf(head, sizeof head, "      --%s%s", row->name, type_word(row->type));
    const char *quote = row->type == FLAG_TEXT ? "\"" : "";
    bool ok = buf_printf(out, "%s%*s%s", head, column - len, "", row->what);
    if (ok && shows_default(row))
        ok = buf_printf(out, " (default %s%s%s)", quote, row->default_text, quote);
    ok = ok && buf_append_byte(out, '\n');
    (void)ok; /* the buffer is the caller's: a small one holds less help */
}

void
flags_help(struct buf *out, const struct flag_table *table, const char *program)
{
    const struct flag_row *rows = table->rows;
    const char *slash = strrchr(program, '/');
    if (!buf_printf(out, "Usage of %s:\n", slash == NULL ? program : slash + 1))
        return;
    int column = 0;
    for (size_t i = 0; i < table->count; i++) {
        int len = snprintf(NULL, 0, "      --%s%s   ", rows[i].name, type_word(rows[i].type));
        column = rows[i].status != FLAG_HIDDEN && len > column ? len : column;
    }
    for (size_t i = 0; i < table->count; i++)
        if (rows[i].status != FLAG_HIDDEN)
            help_row(out, &rows[i], column);
}
