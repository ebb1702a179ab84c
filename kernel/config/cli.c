/* SPDX-License-Identifier: Apache-2.0 */
/* Reading flags into struct options by the table of flags.def; see cli.h. */
#include "config/cli.h"

#include <assert.h>
#include <stdio.h>

#include "config/duration.h"
#include "config/number.h"

enum flag_type { BOOL, INT, UINT, DURATION, TEXT, TEXTS };
enum flag_status { IMPLEMENTED, ACCEPTED, HIDDEN };

struct flag_row {
    const char *name;
    enum flag_type type;
    const char *default_text;
    enum flag_status status;
    const char *what;
    size_t offset;
};

static const struct flag_row rows[FLAG_COUNT] = {
#define FLAG(field, name, type, default_text, status, what)                                        \
    { name, type, default_text, status, what, offsetof(struct options, field) },
#include "config/flags.def"
#undef FLAG
};

/* One parse in progress. */
struct cli {
    struct arena *arena;
    struct options *options;
    int argc;
    char *const *argv;
    int at; /* next argument */
    struct slice message;
};

static const struct flag_row *
find_row(struct slice name)
{
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (slice_eq(name, slice_str(rows[i].name)))
            return &rows[i];
    return NULL;
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
    case BOOL:
        if (!slice_to_bool(value, field))
            return arena_printf(arena,
                                "strconv.ParseBool: parsing \"" SLICE_FMT "\": invalid syntax",
                                SLICE_ARG(value))
                .data;
        return NULL;
    case INT:
        if ((result = number_to_i64(value, field)) != NUMBER_OK)
            return arena_printf(arena, "strconv.ParseInt: parsing \"" SLICE_FMT "\": %s",
                                SLICE_ARG(value), int_words[result])
                .data;
        return NULL;
    case UINT:
        if ((result = number_to_u64(value, field)) != NUMBER_OK)
            return arena_printf(arena, "strconv.ParseUint: parsing \"" SLICE_FMT "\": %s",
                                SLICE_ARG(value), int_words[result])
                .data;
        return NULL;
    case DURATION:
        return duration_parse(value, field, error) ? NULL : arena_str(arena, slice_str(error));
    case TEXT:
        *(struct slice *)field = arena_dup(arena, value);
        return NULL;
    case TEXTS:
        add_texts(arena, field, value);
        return NULL;
    }
    return NULL;
}

static void
set_defaults(struct arena *arena, struct options *options)
{
    *options = (struct options){ 0 };
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const char *error = store(arena, &rows[i], slice_str(rows[i].default_text),
                                  (char *)options + rows[i].offset);
        assert(error == NULL);
        (void)error; /* with NDEBUG */
    }
}

static bool
bad_usage(struct cli *cli, struct slice message)
{
    cli->message = message;
    return false;
}

static bool
set_flag(struct cli *cli, const struct flag_row *row, struct slice value)
{
    const char *error = store(cli->arena, row, value, (char *)cli->options + row->offset);
    if (error != NULL)
        return bad_usage(cli,
                         arena_printf(cli->arena,
                                      "invalid argument \"" SLICE_FMT "\" for \"--%s\" flag: %s",
                                      SLICE_ARG(value), row->name, error));
    bool *given = &cli->options->given[row - rows];
    /* A feature switched off is a feature left out: nothing to report. */
    bool is_off = row->type == BOOL && !*(bool *)((char *)cli->options + row->offset);
    if (row->status == ACCEPTED && !is_off && !*given)
        text_list_add(cli->arena, &cli->options->ignored,
                      arena_printf(cli->arena, "--%s", row->name));
    if (row->status == HIDDEN && !*given)
        text_list_add(
            cli->arena, &cli->options->deprecated,
            arena_printf(cli->arena, "Flag --%s has been deprecated, %s", row->name, row->what));
    *given = true;
    return true;
}

/* `text` is the argument without its dashes. */
static bool
take_flag(struct cli *cli, struct slice text)
{
    ptrdiff_t equals = slice_find_byte(text, '=');
    struct slice name = equals < 0 ? text : slice_first(text, (size_t)equals);
    if (name.len == 0 || name.data[0] == '-')
        return bad_usage(
            cli, arena_printf(cli->arena, "bad flag syntax: --" SLICE_FMT, SLICE_ARG(text)));
    const struct flag_row *row = find_row(name);
    if (row == NULL)
        return bad_usage(cli,
                         arena_printf(cli->arena, "unknown flag: --" SLICE_FMT, SLICE_ARG(name)));
    if (equals >= 0)
        return set_flag(cli, row, slice_from(text, (size_t)equals + 1));
    if (row->type == BOOL)
        return set_flag(cli, row, SLICE("true"));
    if (cli->at >= cli->argc)
        return bad_usage(
            cli, arena_printf(cli->arena, "flag needs an argument: --" SLICE_FMT, SLICE_ARG(name)));
    return set_flag(cli, row, slice_str(cli->argv[cli->at++]));
}

static bool
is_help(struct slice arg)
{
    return slice_eq(arg, SLICE("-h")) || slice_eq(arg, SLICE("-help")) ||
           slice_eq(arg, SLICE("--help"));
}

/* Words that are no flags are passed over, as the reference does. */
static enum cli_verdict
take_all(struct cli *cli)
{
    while (cli->at < cli->argc) {
        struct slice arg = slice_str(cli->argv[cli->at++]);
        if (slice_eq(arg, SLICE("--")))
            return CLI_RUN;
        if (is_help(arg))
            return CLI_HELP;
        if (arg.len < 2 || arg.data[0] != '-')
            continue;
        bool is_double = arg.data[1] == '-';
        if (!is_double && arg.len == 2) {
            (void)bad_usage(cli,
                            arena_printf(cli->arena, "unknown shorthand flag: '%c' in %s",
                                         arg.data[1], arg.data)); /* the message is the point */
            return CLI_BAD_USAGE;
        }
        if (!take_flag(cli, slice_from(arg, is_double ? 2 : 1)))
            return CLI_BAD_USAGE;
    }
    return CLI_RUN;
}

enum cli_verdict
cli_parse(struct arena *arena, int argc, char *const *argv, struct env env,
          struct options *ret_options, struct slice *ret_message)
{
    struct cli cli = {
        .arena = arena,
        .options = ret_options,
        .argc = argc,
        .argv = argv,
        .at = 1,
        .message = SLICE_EMPTY,
    };
    set_defaults(arena, ret_options);
    enum cli_verdict verdict = take_all(&cli);
    *ret_message = cli.message;
    if (verdict == CLI_RUN)
        verdict = cli_check_sizes(arena, ret_options, ret_message);
    if (verdict != CLI_RUN)
        return verdict;
    if (ret_options->version)
        return CLI_VERSION;
    if (ret_options->build_info)
        return CLI_BUILD_INFO;
    verdict = cli_check(arena, ret_options, env, ret_message);
    return verdict == CLI_RUN && ret_options->wait ? CLI_WAIT : verdict;
}

/* ------------------------------------------------------------------------------------- help */

static const char *
type_word(enum flag_type type)
{
    static const char *const words[] = {
        [BOOL] = "",        [INT] = " int",       [UINT] = " uint", [DURATION] = " duration",
        [TEXT] = " string", [TEXTS] = " strings",
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
    const char *quote = row->type == TEXT ? "\"" : "";
    bool ok = buf_printf(out, "%s%*s%s", head, column - len, "", row->what);
    if (ok && shows_default(row))
        ok = buf_printf(out, " (default %s%s%s)", quote, row->default_text, quote);
    ok = ok && buf_append_byte(out, '\n');
    (void)ok; /* the buffer is the caller's: a small one holds less help */
}

void
cli_help(struct buf *out, const char *program)
{
    const char *slash = strrchr(program, '/');
    if (!buf_printf(out, "Usage of %s:\n", slash == NULL ? program : slash + 1))
        return;
    int column = 0;
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        int len = snprintf(NULL, 0, "      --%s%s   ", rows[i].name, type_word(rows[i].type));
        column = rows[i].status != HIDDEN && len > column ? len : column;
    }
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (rows[i].status != HIDDEN)
            help_row(out, &rows[i], column);
}
