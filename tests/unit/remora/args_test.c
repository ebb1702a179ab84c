/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of the launcher's commands, in all the ways they may be written. */
#include "tools/remora/args.h"

#include "base/macros.h"
#include "test.h"
#include "tools/remora/args.c"

static const struct arg_flag flags[] = { { "app-id", true }, { "slim", false }, { "path", true } };
static const struct arg_letter letters[] = { { 'a', "app-id" }, { 's', "slim" } };
static const struct arg_syntax syntax = { flags, ARRAY_LEN(flags), letters, ARRAY_LEN(letters),
                                          false };
static const struct arg_syntax ends_at_word = { flags, ARRAY_LEN(flags), letters,
                                                ARRAY_LEN(letters), true };

static struct arena arena;
static struct args args;
static struct slice message;

static bool
read_args(const struct arg_syntax *how, const char *const *words)
{
    static bool is_used;
    char *argv[16] = { NULL };
    if (is_used)
        arena_fini(&arena);
    is_used = true;
    arena_init(&arena);
    for (size_t i = 0; words[i] != NULL; i++)
        argv[i] = arena_str(&arena, slice_str(words[i]));
    return args_read(&arena, how, argv, &args, &message);
}

#define READ(...) read_args(&syntax, (const char *const[]){ __VA_ARGS__, NULL })
#define READ_UP_TO_WORD(...) read_args(&ends_at_word, (const char *const[]){ __VA_ARGS__, NULL })

static void
check_refused(bool ok, const char *expected)
{
    CHECK(!ok);
    CHECK_SLICE_IS(message, expected);
}

TEST(a_value_follows_or_stands_behind_an_equals_sign)
{
    CHECK(READ("--app-id", "one"));
    CHECK_EQ_STR(args_get(&args, "app-id"), "one");
    CHECK(READ("--app-id=one=two"));
    CHECK_EQ_STR(args_get(&args, "app-id"), "one=two");
    CHECK(READ("-a", "one"));
    CHECK_EQ_STR(args_get(&args, "app-id"), "one");
    CHECK(READ("-aone"));
    CHECK_EQ_STR(args_get(&args, "app-id"), "one");
    CHECK(READ("-a=one"));
    CHECK_EQ_STR(args_get(&args, "app-id"), "one");
    CHECK(READ("--app-id="));
    CHECK_EQ_STR(args_get(&args, "app-id"), "");
    CHECK(READ("--app-id", "--slim"));
    CHECK_EQ_STR(args_get(&args, "app-id"), "--slim");
    CHECK(!args_has(&args, "slim"));
}

TEST(the_last_of_several_counts_and_all_are_kept_in_their_order)
{
    CHECK(READ("--path=a", "-a", "x", "--path", "b"));
    CHECK_EQ_STR(args_get(&args, "path"), "b");
    CHECK_EQ_INT(args.count, 3);
    CHECK_EQ_STR(args.given[0].value, "a");
    CHECK_EQ_STR(args.given[1].name, "app-id");
    CHECK_EQ_PTR(args_get(&args, "slim"), NULL);
}

TEST(a_bool_needs_no_value_and_takes_none_that_follows)
{
    CHECK(READ("--slim", "false"));
    CHECK(args_has(&args, "slim"));
    CHECK_EQ_INT(args.word_count, 1);
    CHECK(READ("-s"));
    CHECK(args_has(&args, "slim"));
    CHECK(READ("--slim=false"));
    CHECK(!args_has(&args, "slim"));
    check_refused(READ("--slim=perhaps"), "not true or false: --slim");
    check_refused(READ("-sx"), "unknown flag: -sx");
}

TEST(words_stand_anywhere_unless_the_first_begins_another_command_line)
{
    CHECK(READ("one", "--slim", "two", "-"));
    CHECK_EQ_INT(args.word_count, 3);
    CHECK_EQ_STR(args.words[2], "-");
    CHECK_EQ_PTR(args.words[3], NULL);
    CHECK(READ_UP_TO_WORD("--slim", "one", "--nonsense", "-a"));
    CHECK_EQ_INT(args.word_count, 3);
    CHECK_EQ_STR(args.words[1], "--nonsense");
    CHECK_EQ_INT(args.count, 1);
}

TEST(two_dashes_end_the_flags_and_a_second_pair_is_passed_over)
{
    CHECK(READ_UP_TO_WORD("-a", "x", "--", "--slim"));
    CHECK_EQ_INT(args.word_count, 1);
    CHECK_EQ_STR(args.words[0], "--slim");
    CHECK(READ_UP_TO_WORD("--", "--", "run", "--"));
    CHECK_EQ_INT(args.word_count, 2);
    CHECK_EQ_STR(args.words[0], "run");
    CHECK_EQ_STR(args.words[1], "--");
    CHECK(READ_UP_TO_WORD("--"));
    CHECK_EQ_INT(args.word_count, 0);
}

TEST(what_is_not_known_or_not_complete_is_refused_by_name)
{
    check_refused(READ("--nonsense=1"), "unknown flag: --nonsense=1");
    check_refused(READ("-z"), "unknown flag: -z");
    check_refused(READ("--app"), "unknown flag: --app");
    check_refused(READ("--=x"), "unknown flag: --=x");
    check_refused(READ("-a"), "flag needs an argument: --app-id");
    check_refused(READ("--slim", "--path"), "flag needs an argument: --path");
}
