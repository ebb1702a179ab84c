/* SPDX-License-Identifier: Apache-2.0 */
/* Reading flags; see args.h. */
#include "args.h"

#include <string.h>

/* One command line in progress. */
struct reading {
    struct arena *arena;
    const struct arg_syntax *syntax;
    char **next; /* argument */
    struct args *args;
    struct slice message;
};

const struct arg_flag *
args_flag(const struct arg_syntax *syntax, struct slice name)
{
    for (size_t i = 0; i < syntax->flag_count; i++)
        if (slice_eq(name, slice_str(syntax->flags[i].name)))
            return &syntax->flags[i];
    return NULL;
}

const struct arg_flag *
args_letter(const struct arg_syntax *syntax, char letter)
{
    for (size_t i = 0; i < syntax->letter_count; i++)
        if (syntax->letters[i].letter == letter)
            return args_flag(syntax, slice_str(syntax->letters[i].name));
    return NULL;
}

static bool
wrong(struct reading *reading, const char *what, const char *arg)
{
    reading->message = arena_printf(reading->arena, "%s%s", what, arg);
    return false;
}

static bool
add(struct reading *reading, const struct arg_flag *flag, const char *value)
{
    bool is_set;
    struct args *args = reading->args;
    if (!flag->takes_value && !slice_to_bool(slice_str(value), &is_set))
        return wrong(reading, "not true or false: --", flag->name);
    args->given[args->count++] = (struct arg){ flag->name, value };
    return true;
}

/* `inline_value` came with the flag; NULL: it may be the next argument. */
static bool
take(struct reading *reading, const struct arg_flag *flag, const char *inline_value)
{
    if (inline_value != NULL)
        return add(reading, flag, inline_value);
    if (!flag->takes_value)
        return add(reading, flag, "true");
    if (*reading->next == NULL)
        return wrong(reading, "flag needs an argument: --", flag->name);
    return add(reading, flag, *reading->next++);
}

static bool
take_long(struct reading *reading, const char *arg)
{
    struct slice text = slice_str(arg + 2);
    ptrdiff_t equals = slice_find_byte(text, '=');
    const struct arg_flag *flag = args_flag(reading->syntax,
                                            equals < 0 ? text : slice_first(text, (size_t)equals));
    if (flag == NULL)
        return wrong(reading, "unknown flag: ", arg);
    return take(reading, flag, equals < 0 ? NULL : text.data + equals + 1);
}

static bool
take_short(struct reading *reading, const char *arg)
{
    const struct arg_flag *flag = args_letter(reading->syntax, arg[1]);
    const char *rest = arg + 2;
    if (flag == NULL || (!flag->takes_value && rest[0] != '\0'))
        return wrong(reading, "unknown flag: ", arg);
    if (rest[0] == '=')
        rest++;
    return take(reading, flag, arg[2] == '\0' ? NULL : rest);
}

bool
args_read(struct arena *arena, const struct arg_syntax *syntax, char **argv, struct args *ret_args,
          struct slice *ret_message)
{
    struct reading reading = { .arena = arena, .syntax = syntax, .next = argv, .args = ret_args };
    size_t argc = 0;
    while (argv[argc] != NULL)
        argc++;
    *ret_args = (struct args){ .given = ARENA_ARRAY(arena, struct arg, argc + 1),
                               .words = ARENA_ARRAY(arena, char *, argc + 1) };
    bool ok = true;
    while (ok && *reading.next != NULL) {
        char *arg = *reading.next;
        bool is_flag = arg[0] == '-' && arg[1] != '\0';
        if (!is_flag && syntax->ends_at_word)
            break;
        reading.next++;
        if (!is_flag) {
            ret_args->words[ret_args->word_count++] = arg;
        } else if (strcmp(arg, "--") == 0) {
            if (*reading.next != NULL && strcmp(*reading.next, "--") == 0)
                reading.next++;
            break;
        } else {
            ok = arg[1] == '-' ? take_long(&reading, arg) : take_short(&reading, arg);
        }
    }
    for (; *reading.next != NULL; reading.next++)
        ret_args->words[ret_args->word_count++] = *reading.next;
    *ret_message = reading.message;
    return ok;
}

const char *
args_get(const struct args *args, const char *name)
{
    for (size_t i = args->count; i > 0; i--)
        if (strcmp(args->given[i - 1].name, name) == 0)
            return args->given[i - 1].value;
    return NULL;
}

bool
args_has(const struct args *args, const char *name)
{
    const char *value = args_get(args, name);
    bool is_set = value != NULL;
    if (is_set && !slice_to_bool(slice_str(value), &is_set))
        return true;
    return is_set;
}
