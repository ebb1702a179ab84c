/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and evaluates trip expressions; see trip.h. Reading is by recursive descent, a function a
 * level of precedence, and checks types as it goes; what comes out is a list of operations for a
 * machine with a stack. Nothing has a side effect, so both sides of && and both ends of ?: are
 * always worked out, and an error counts only if its value is needed, as CEL has it.
 */
#include "config/trip.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/limits.h"
#include "config/number.h"

enum trip_type { TRIP_INT, TRIP_DOUBLE, TRIP_BOOL };

struct trip_value {
    enum trip_type type;
    bool is_error;
    union {
        int64_t number;
        double real;
        bool truth;
    };
};

enum trip_code {
    OP_PUSH,
    OP_COUNT, /* the one at offset `number` of the counts */
    OP_NOT,
    OP_NEGATE,
    OP_TO_INT,
    OP_TO_DOUBLE,
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_MODULO,
    OP_LESS,
    OP_AT_MOST,
    OP_MORE,
    OP_AT_LEAST,
    OP_EQUAL,
    OP_UNEQUAL,
    OP_AND,
    OP_OR,
    OP_CHOOSE,
};

struct trip_op {
    enum trip_code code;
    struct trip_value value;
};

/* --- reading -----------------------------------------------------------------------------------*/

struct reader {
    struct slice text;
    size_t at;
    unsigned depth;
    struct trip_op *ops;
    size_t op_count;
    char *error; /* TRIP_ERROR_BYTES */
};

static bool read_choice(struct reader *reader, enum trip_type *ret_type);

static bool refuse_at(struct reader *reader, size_t at, const char *format, ...) PRINTF_LIKE(3, 4);

static bool
refuse_at(struct reader *reader, size_t at, const char *format, ...)
{
    char words[TRIP_ERROR_BYTES - 32];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args); /* cut is fine */
    va_end(args);
    (void)snprintf(reader->error, TRIP_ERROR_BYTES, "column %zu: %s", at + 1, words);
    return false;
}

static void
skip_blanks(struct reader *reader)
{
    while (reader->at < reader->text.len &&
           strchr(" \t\r\n", reader->text.data[reader->at]) != NULL)
        reader->at++;
}

/* At the end of the text a NUL, which no expression holds. */
static char
peek(struct reader *reader)
{
    skip_blanks(reader);
    return reader->at < reader->text.len ? reader->text.data[reader->at] : '\0';
}

static bool
take(struct reader *reader, const char *token)
{
    skip_blanks(reader);
    struct slice rest = slice_from(reader->text, reader->at);
    if (!slice_has_prefix(rest, slice_str(token)))
        return false;
    reader->at += strlen(token);
    return true;
}

static bool
unexpected(struct reader *reader)
{
    char c = peek(reader);
    if (reader->at >= reader->text.len)
        return refuse_at(reader, reader->at, "the expression ends too soon");
    if (c < ' ' || c > '~')
        return refuse_at(reader, reader->at, "unexpected byte 0x%02x", (unsigned)(unsigned char)c);
    return refuse_at(reader, reader->at, "unexpected '%c'", c);
}

static bool
emit(struct reader *reader, enum trip_code code, struct trip_value value)
{
    if (reader->op_count == LIMIT_trip_ops_max)
        return refuse_at(reader, reader->at, "the expression is too long");
    reader->ops[reader->op_count++] = (struct trip_op){ code, value };
    return true;
}

static bool
emit_plain(struct reader *reader, enum trip_code code)
{
    return emit(reader, code, (struct trip_value){ .type = TRIP_INT });
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
read_number(struct reader *reader, enum trip_type *ret_type)
{
    struct slice rest = slice_from(reader->text, reader->at);
    size_t len = 0, at = reader->at;
    while (len < rest.len && (is_word(rest.data[len]) || rest.data[len] == '.' ||
                              ((rest.data[len] == '+' || rest.data[len] == '-') && len > 0 &&
                               (rest.data[len - 1] | ' ') == 'e' && rest.data[1] != 'x')))
        len++;
    struct slice text = slice_first(rest, len);
    struct trip_value value = { .type = TRIP_INT };
    bool is_octal = len > 1 && text.data[0] == '0' && is_word(text.data[1]) && text.data[1] != 'x';
    reader->at += len;
    if (!is_octal && number_to_i64(text, &value.number) == NUMBER_OK) {
        *ret_type = TRIP_INT;
        return emit(reader, OP_PUSH, value);
    }
    value.type = *ret_type = TRIP_DOUBLE;
    if (is_octal || slice_find_byte(text, 'x') >= 0 || !number_to_double(text, &value.real))
        return refuse_at(reader, at, SLICE_FMT " is no number", SLICE_ARG(text));
    return emit(reader, OP_PUSH, value);
}

static const struct name {
    const char *text;
    size_t offset;
} names[] = {
    { "requests", offsetof(struct trip_counts, requests) },
    { "totalSuccesses", offsetof(struct trip_counts, total_successes) },
    { "totalFailures", offsetof(struct trip_counts, total_failures) },
    { "consecutiveSuccesses", offsetof(struct trip_counts, consecutive_successes) },
    { "consecutiveFailures", offsetof(struct trip_counts, consecutive_failures) },
};

/* int(…) or double(…). */
static bool
read_conversion(struct reader *reader, enum trip_type type, enum trip_type *ret_type)
{
    size_t at = reader->at;
    enum trip_type inner = type;
    if (!take(reader, "("))
        return unexpected(reader);
    if (!read_choice(reader, &inner))
        return false;
    if (!take(reader, ")"))
        return unexpected(reader);
    if (inner == TRIP_BOOL)
        return refuse_at(reader, at, "a number is expected");
    *ret_type = type;
    return emit_plain(reader, type == TRIP_INT ? OP_TO_INT : OP_TO_DOUBLE);
}

static bool
read_name(struct reader *reader, enum trip_type *ret_type)
{
    size_t from = reader->at;
    while (reader->at < reader->text.len && is_word(reader->text.data[reader->at]))
        reader->at++;
    struct slice word = slice_of(reader->text.data + from, reader->at - from);
    if (slice_eq(word, SLICE("int")))
        return read_conversion(reader, TRIP_INT, ret_type);
    if (slice_eq(word, SLICE("double")))
        return read_conversion(reader, TRIP_DOUBLE, ret_type);
    bool is_true = slice_eq(word, SLICE("true"));
    if (is_true || slice_eq(word, SLICE("false"))) {
        *ret_type = TRIP_BOOL;
        return emit(reader, OP_PUSH, (struct trip_value){ .type = TRIP_BOOL, .truth = is_true });
    }
    *ret_type = TRIP_INT;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq(word, slice_str(names[i].text)))
            return emit(
                reader, OP_COUNT,
                (struct trip_value){ .type = TRIP_INT, .number = (int64_t)names[i].offset });
    return refuse_at(reader, from, "undeclared reference to '%.*s'",
                     (int)(word.len > 64 ? 64 : word.len), word.data);
}

static bool
read_primary(struct reader *reader, enum trip_type *ret_type)
{
    char c = peek(reader);
    if (is_digit(c) || c == '.')
        return read_number(reader, ret_type);
    if (is_word(c))
        return read_name(reader, ret_type);
    if (!take(reader, "("))
        return unexpected(reader);
    if (!read_choice(reader, ret_type))
        return false;
    return take(reader, ")") || unexpected(reader);
}

static bool
read_unary(struct reader *reader, enum trip_type *ret_type)
{
    char c = peek(reader);
    size_t at = reader->at;
    if (c != '!' && c != '-')
        return read_primary(reader, ret_type);
    if (reader->depth == LIMIT_trip_depth_max)
        return refuse_at(reader, at, "the expression is nested too deeply");
    reader->at++;
    reader->depth++;
    bool ok = read_unary(reader, ret_type);
    reader->depth--;
    if (!ok)
        return false;
    if ((c == '!') != (*ret_type == TRIP_BOOL))
        return refuse_at(reader, at, "%s is expected behind '%c'", c == '!' ? "a bool" : "a number",
                         c);
    return emit_plain(reader, c == '!' ? OP_NOT : OP_NEGATE);
}

/* One operator of a level of precedence, longer ones before those they begin with. */
struct operator
{
    const char *token;
    enum trip_code code;
};

static const struct operator products[] = {
    { "*", OP_MULTIPLY }, { "/", OP_DIVIDE }, { "%", OP_MODULO }, { NULL, OP_PUSH }
};
static const struct operator sums[] = { { "+", OP_ADD }, { "-", OP_SUBTRACT }, { NULL, OP_PUSH } };
static const struct operator relations[] = {
    { "<=", OP_AT_MOST }, { ">=", OP_AT_LEAST }, { "==", OP_EQUAL }, { "!=", OP_UNEQUAL },
    { "<", OP_LESS },     { ">", OP_MORE },      { NULL, OP_PUSH },
};
static const struct operator conjunctions[] = { { "&&", OP_AND }, { NULL, OP_PUSH } };
static const struct operator disjunctions[] = { { "||", OP_OR }, { NULL, OP_PUSH } };
static const struct operator*
    const levels[] = { disjunctions, conjunctions, relations, sums, products };

static const struct operator* take_operator(struct reader *reader, const struct operator* operators)
{
    for (; operators->token != NULL; operators++)
        if (take(reader, operators->token))
            return operators;
    return NULL;
}

/* What comes of two types; false if the operator does not take them. */
static bool
combine(enum trip_code code, enum trip_type left, enum trip_type right, enum trip_type *ret_type)
{
    bool has_bool = left == TRIP_BOOL || right == TRIP_BOOL;
    *ret_type = TRIP_BOOL;
    if (code == OP_AND || code == OP_OR)
        return left == TRIP_BOOL && right == TRIP_BOOL;
    if (code == OP_EQUAL || code == OP_UNEQUAL)
        return !has_bool || left == right;
    if (code >= OP_LESS && code <= OP_AT_LEAST)
        return !has_bool;
    *ret_type = left == TRIP_DOUBLE || right == TRIP_DOUBLE ? TRIP_DOUBLE : TRIP_INT;
    return !has_bool && (code != OP_MODULO || *ret_type == TRIP_INT);
}

static bool
read_level(struct reader *reader, size_t level, enum trip_type *ret_type)
{
    if (level == ARRAY_LEN(levels))
        return read_unary(reader, ret_type);
    if (!read_level(reader, level + 1, ret_type))
        return false;
    for (;;) {
        skip_blanks(reader);
        size_t at = reader->at;
        const struct operator* found = take_operator(reader, levels[level]);
        enum trip_type right = TRIP_BOOL;
        if (found == NULL)
            return true;
        if (!read_level(reader, level + 1, &right))
            return false;
        if (!combine(found->code, *ret_type, right, ret_type))
            return refuse_at(reader, at, "'%s' does not take what stands around it", found->token);
        if (!emit_plain(reader, found->code))
            return false;
    }
}

static bool
read_ends(struct reader *reader, enum trip_type *ret_type)
{
    size_t at = reader->at;
    enum trip_type other = TRIP_BOOL;
    if (*ret_type != TRIP_BOOL)
        return refuse_at(reader, at, "a bool is expected before '?'");
    if (!read_choice(reader, ret_type))
        return false;
    if (!take(reader, ":"))
        return unexpected(reader);
    if (!read_choice(reader, &other))
        return false;
    if (*ret_type != other)
        return refuse_at(reader, at, "both ends of '?' must be of one type");
    return emit_plain(reader, OP_CHOOSE);
}

static bool
read_choice(struct reader *reader, enum trip_type *ret_type)
{
    if (reader->depth == LIMIT_trip_depth_max)
        return refuse_at(reader, reader->at, "the expression is nested too deeply");
    reader->depth++;
    bool ok = read_level(reader, 0, ret_type);
    if (ok && take(reader, "?"))
        ok = read_ends(reader, ret_type);
    reader->depth--;
    return ok;
}

bool
trip_parse(struct arena *arena, struct slice text, struct trip *ret_trip,
           char ret_error[TRIP_ERROR_BYTES])
{
    struct reader reader = { .text = text, .error = ret_error };
    enum trip_type type;
    reader.ops = ARENA_ARRAY(arena, struct trip_op, LIMIT_trip_ops_max);
    if (!read_choice(&reader, &type))
        return false;
    skip_blanks(&reader);
    if (reader.at < text.len)
        return unexpected(&reader);
    if (type != TRIP_BOOL)
        return refuse_at(&reader, 0, "the expression is no bool");
    *ret_trip = (struct trip){ .text = arena_dup(arena, text),
                               .ops = reader.ops,
                               .op_count = reader.op_count };
    return true;
}

void
trip_copy(struct arena *arena, const struct trip *from, struct trip *ret_trip)
{
    struct trip_op *ops = ARENA_ARRAY(arena, struct trip_op, from->op_count);
    if (from->op_count > 0)
        memcpy(ops, from->ops, from->op_count * sizeof *ops);
    *ret_trip = (struct trip){ .text = arena_dup(arena, from->text),
                               .ops = ops,
                               .op_count = from->op_count };
}

/* --- evaluating --------------------------------------------------------------------------------*/

static double
real_of(struct trip_value value)
{
    return value.type == TRIP_DOUBLE ? value.real : (double)value.number;
}

static struct trip_value
truth(bool is_true, bool is_error)
{
    return (struct trip_value){ .type = TRIP_BOOL, .is_error = is_error, .truth = is_true };
}

static struct trip_value
unary(enum trip_code code, struct trip_value value)
{
    if (code == OP_NOT)
        return truth(!value.truth, value.is_error);
    if (code == OP_TO_DOUBLE)
        return (struct trip_value){ .type = TRIP_DOUBLE,
                                    .is_error = value.is_error,
                                    .real = real_of(value) };
    if (code == OP_NEGATE && value.type == TRIP_DOUBLE)
        value.real = -value.real;
    else if (code == OP_NEGATE)
        value.is_error |= __builtin_sub_overflow((int64_t)0, value.number, &value.number);
    else if (value.type == TRIP_DOUBLE) {      /* to an int */
        bool fits = fabs(value.real) < 0x1p63; /* not so a NaN */
        value = (struct trip_value){ .type = TRIP_INT,
                                     .is_error = value.is_error || !fits,
                                     .number = fits ? (int64_t)value.real : 0 };
    }
    return value;
}

static struct trip_value
whole(enum trip_code code, int64_t left, int64_t right)
{
    struct trip_value value = { .type = TRIP_INT };
    if (code == OP_ADD)
        value.is_error = __builtin_add_overflow(left, right, &value.number);
    else if (code == OP_SUBTRACT)
        value.is_error = __builtin_sub_overflow(left, right, &value.number);
    else if (code == OP_MULTIPLY)
        value.is_error = __builtin_mul_overflow(left, right, &value.number);
    else if (right == 0 || (left == INT64_MIN && right == -1))
        value.is_error = true;
    else
        value.number = code == OP_DIVIDE ? left / right : left % right;
    return value;
}

static struct trip_value
fraction(enum trip_code code, double left, double right)
{
    struct trip_value value = { .type = TRIP_DOUBLE };
    if (code == OP_ADD)
        value.real = left + right;
    else if (code == OP_SUBTRACT)
        value.real = left - right;
    else if (code == OP_MULTIPLY)
        value.real = left * right;
    else if (right != 0)
        value.real = left / right;
    else
        value.is_error = true; /* CEL has infinity here, which would trip on no requests at all */
    return value;
}

/* -1, 0, 1; 2 for what cannot be compared. */
static int
compare(struct trip_value left, struct trip_value right)
{
    if (left.type == TRIP_BOOL)
        return left.truth - right.truth;
    if (left.type == TRIP_INT && right.type == TRIP_INT)
        return (left.number > right.number) - (left.number < right.number);
    double a = real_of(left), b = real_of(right);
    return isnan(a) || isnan(b) ? 2 : (a > b) - (a < b);
}

static bool
holds(enum trip_code code, int order)
{
    if (order == 2)
        return code == OP_UNEQUAL;
    switch ((int)code) {
    case OP_LESS:
        return order < 0;
    case OP_AT_MOST:
        return order <= 0;
    case OP_MORE:
        return order > 0;
    case OP_AT_LEAST:
        return order >= 0;
    case OP_EQUAL:
        return order == 0;
    default:
        return order != 0;
    }
}

/* An error on one side does not matter where the other side decides. */
static struct trip_value
logic(enum trip_code code, struct trip_value left, struct trip_value right)
{
    bool decisive = code == OP_OR;
    if ((!left.is_error && left.truth == decisive) || (!right.is_error && right.truth == decisive))
        return truth(decisive, false);
    return truth(!decisive, left.is_error || right.is_error);
}

static struct trip_value
binary(enum trip_code code, struct trip_value left, struct trip_value right)
{
    struct trip_value value;
    if (code == OP_AND || code == OP_OR)
        return logic(code, left, right);
    if (code >= OP_LESS && code <= OP_UNEQUAL)
        value = truth(holds(code, compare(left, right)), false);
    else if (left.type == TRIP_INT && right.type == TRIP_INT)
        value = whole(code, left.number, right.number);
    else
        value = fraction(code, real_of(left), real_of(right));
    value.is_error |= left.is_error || right.is_error;
    return value;
}

static struct trip_value
choose(struct trip_value which, struct trip_value left, struct trip_value right)
{
    struct trip_value value = which.truth ? left : right;
    value.is_error |= which.is_error;
    return value;
}

bool
trip_is_met(const struct trip *trip, const struct trip_counts *counts)
{
    enum { DEFAULT_FAILURES = 5 };
    struct trip_value stack[LIMIT_trip_ops_max];
    stack[0] = (struct trip_value){ .type = TRIP_BOOL };
    size_t top = 0; /* of values; what reads an expression sees to it that there are enough */
    if (trip->op_count == 0)
        return counts->consecutive_failures > DEFAULT_FAILURES;
    for (size_t i = 0; i < trip->op_count; i++) {
        const struct trip_op *op = &trip->ops[i];
        if (op->code == OP_PUSH) {
            stack[top++] = op->value;
        } else if (op->code == OP_COUNT) {
            struct trip_value *value = &stack[top++];
            *value = (struct trip_value){ .type = TRIP_INT };
            memcpy(&value->number, (const char *)counts + op->value.number, sizeof value->number);
        } else if (op->code <= OP_TO_DOUBLE) {
            stack[top - 1] = unary(op->code, stack[top - 1]);
        } else if (op->code != OP_CHOOSE) {
            top--;
            stack[top - 1] = binary(op->code, stack[top - 1], stack[top]);
        } else {
            top -= 2;
            stack[top - 1] = choose(stack[top - 1], stack[top], stack[top + 1]);
        }
    }
    return stack[0].truth && !stack[0].is_error;
}
