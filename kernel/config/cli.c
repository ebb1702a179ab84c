/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the sidecar, by the table of flags.def; see cli.h. */
#include "config/cli.h"

static const struct flag_row rows[FLAG_COUNT] = {
#define FLAG(field, name, type, default_text, status, what)                                        \
    { name, FLAG_##type, default_text, FLAG_##status, what, offsetof(struct options, field) },
#include "config/flags.def"
#undef FLAG
};

static const struct flag_table table = { .rows = rows, .count = FLAG_COUNT };

enum cli_verdict
cli_parse(struct arena *arena, int argc, char *const *argv, struct env env,
          struct options *ret_options, struct slice *ret_message)
{
    *ret_options = (struct options){ 0 };
    const struct flag_values to = { .members = ret_options,
                                    .given = ret_options->given,
                                    .ignored = &ret_options->ignored,
                                    .deprecated = &ret_options->deprecated };
    enum flags_verdict parsed = flags_parse(arena, &table, argc, argv, &to, ret_message);
    if (parsed != FLAGS_OK)
        return parsed == FLAGS_HELP ? CLI_HELP : CLI_BAD_USAGE;
    enum cli_verdict verdict = cli_check_sizes(arena, ret_options, ret_message);
    if (verdict != CLI_RUN)
        return verdict;
    if (ret_options->version)
        return CLI_VERSION;
    if (ret_options->build_info)
        return CLI_BUILD_INFO;
    verdict = cli_check(arena, ret_options, env, ret_message);
    return verdict == CLI_RUN && ret_options->wait ? CLI_WAIT : verdict;
}

void
cli_help(struct buf *out, const char *program)
{
    flags_help(out, &table, program);
}
