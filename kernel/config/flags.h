/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines as the reference's programs read them: --name=value, --name value, -name; words
 * that are no flags are passed over. A program has its flags in a table, and a struct with a member
 * for each: see cli.h, where the table and the struct are made of one .def file.
 *
 * Called by main before any thread exists. Logs nothing.
 */
#ifndef CONFIG_FLAGS_H
#define CONFIG_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "config/text_list.h"

enum flag_type {
    FLAG_BOOL,     /* bool */
    FLAG_INT,      /* int64_t */
    FLAG_UINT,     /* uint64_t */
    FLAG_DURATION, /* int64_t, nanoseconds */
    FLAG_TEXT,     /* struct slice */
    FLAG_TEXTS,    /* struct text_list: repeated, or separated by commas */
};

enum flag_status {
    FLAG_IMPLEMENTED,
    FLAG_ACCEPTED, /* no effect yet, reported when given */
    FLAG_HIDDEN,   /* implemented under another name now and not shown in the help */
};

/* The member for a flag. */
#define FLAG_FIELD_BOOL(field) bool field;
#define FLAG_FIELD_INT(field) int64_t field;
#define FLAG_FIELD_UINT(field) uint64_t field;
#define FLAG_FIELD_DURATION(field) int64_t field;
#define FLAG_FIELD_TEXT(field) struct slice field;
#define FLAG_FIELD_TEXTS(field) struct text_list field;

struct flag_row {
    const char *name;
    enum flag_type type;
    const char *default_text; /* as it would be typed */
    enum flag_status status;
    const char *what; /* for the help; of a hidden flag: what to use instead */
    size_t offset;    /* of its member */
};

/* Borrowed for the call. */
struct flag_table {
    const struct flag_row *rows; /* sorted by name, as the help shows them */
    size_t count;
};

/* Where one command line goes. */
struct flag_values {
    void *members;                /* the struct */
    bool *given;                  /* a row each: the flag stood on the command line */
    struct text_list *ignored;    /* "--flag": given and without effect */
    struct text_list *deprecated; /* "Flag --name has been deprecated, ..." */
};

enum flags_verdict { FLAGS_OK, FLAGS_HELP, FLAGS_BAD_USAGE };

/* Sets every member to its default, then to what is given; texts are NUL-terminated and live in the
 * arena. A message, in Go's words, comes with FLAGS_BAD_USAGE only. argv[0] is the program. */
enum flags_verdict
flags_parse(struct arena *arena, const struct flag_table *table, int argc, char *const *argv,
            const struct flag_values *to, struct slice *ret_message);

/* Appends the list of flags. `program` is a path or name; its last part is shown. */
void flags_help(struct buf *out, const struct flag_table *table, const char *program);

#endif
