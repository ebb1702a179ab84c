/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flags as the reference's command line writes them: `--name value`, `--name=value`, `-n value`,
 * `-nvalue`, bools without a value. Pure.
 */
#ifndef REMORA_ARGS_H
#define REMORA_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

struct arg_flag {
    const char *name;
    bool takes_value; /* else a bool: `--name` or `--name=false` */
};

struct arg_letter {
    char letter;
    const char *name;
};

/* What a command takes. */
struct arg_syntax {
    const struct arg_flag *flags;
    size_t flag_count;
    const struct arg_letter *letters;
    size_t letter_count;
    bool ends_at_word; /* the first word that is no flag begins something else's command line */
};

struct arg {
    const char *name;
    const char *value; /* of a bool "true", or as given */
};

struct args {
    struct arg *given; /* in their order */
    size_t count;
    char **words; /* what is no flag, NULL at the end */
    size_t word_count;
};

/* False: the message says what is wrong. Texts are borrowed from argv. `argv` has no program name;
 * NULL ends it. `--` ends the flags; a second one right behind it is passed over. */
bool args_read(struct arena *arena, const struct arg_syntax *syntax, char **argv,
               struct args *ret_args, struct slice *ret_message) WARN_UNUSED;

/* The last value given, NULL if there is none. */
const char *args_get(const struct args *args, const char *name);
/* A bool flag; false if it was not given. What is no bool counts as true. */
bool args_has(const struct args *args, const char *name);

/* The flag of that name or letter, NULL if there is none. */
const struct arg_flag *args_flag(const struct arg_syntax *syntax, struct slice name);
const struct arg_flag *args_letter(const struct arg_syntax *syntax, char letter);

#endif
