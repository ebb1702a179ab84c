/* SPDX-License-Identifier: Apache-2.0 */
/* Functions and operators of expressions; see internal.h. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cel/internal.h"
#include "cel/regex.h"

enum { NUMBER_CHARS_MAX = 64, TIME_CHARS_MIN = 20 };

#define SECOND_NS 1000000000LL
/* 2^63; doubles below it fit an int64_t. */
#define INT64_END 9223372036854775808.0

typedef struct cel_value function(struct cel_run *run, struct cel_value *args);

static struct cel_value
unfit(struct cel_run *run)
{
    return cel_fail(run, "a function does not take such values");
}

/* --- sizes and texts ---------------------------------------------------------------------------*/

static size_t
characters(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return count;
}

static struct cel_value
call_size(struct cel_run *run, struct cel_value *args)
{
    struct cel_value v = args[0];
    if (v.type == CEL_STRING)
        return cel_int((int64_t)characters(v.text));
    if (v.type == CEL_BYTES)
        return cel_int((int64_t)v.text.len);
    if (v.type != CEL_LIST && v.type != CEL_MAP)
        return unfit(run);
    if (!cel_items(run, &v))
        return (struct cel_value){ .type = CEL_ERROR };
    return cel_int((int64_t)(v.type == CEL_MAP ? v.count / 2 : v.count));
}

static bool
are_texts(const struct cel_value *args)
{
    return args[0].type == CEL_STRING && args[1].type == CEL_STRING;
}

static struct cel_value
call_starts_with(struct cel_run *run, struct cel_value *args)
{
    return are_texts(args) ? cel_bool(slice_has_prefix(args[0].text, args[1].text)) : unfit(run);
}

static struct cel_value
call_ends_with(struct cel_run *run, struct cel_value *args)
{
    return are_texts(args) ? cel_bool(slice_has_suffix(args[0].text, args[1].text)) : unfit(run);
}

static struct cel_value
call_contains(struct cel_run *run, struct cel_value *args)
{
    return are_texts(args) ? cel_bool(slice_find(args[0].text, args[1].text) >= 0) : unfit(run);
}

static struct cel_value
find(struct cel_run *run, const struct cel_regex *regex, struct slice text)
{
    bool is_done;
    bool is_found = cel_regex_finds(regex, run->arena, text, &is_done);
    return is_done ? cel_bool(is_found) : cel_fail(run, "the evaluation takes too long");
}

/* With a pattern that is only known now. */
static struct cel_value
call_matches(struct cel_run *run, struct cel_value *args)
{
    const char *error;
    if (!are_texts(args))
        return unfit(run);
    const struct cel_regex *regex = cel_regex_compile(run->arena, args[1].text, &error);
    return regex == NULL ? cel_fail(run, error) : find(run, regex, args[0].text);
}

/* --- conversions -------------------------------------------------------------------------------*/

static bool
read_double(struct slice text, double *ret_real)
{
    char copy[NUMBER_CHARS_MAX + 1];
    char *end;
    if (text.len == 0 || text.len > NUMBER_CHARS_MAX ||
        (text.data[0] != '-' && text.data[0] != '+' && text.data[0] != '.' &&
         (text.data[0] < '0' || text.data[0] > '9')))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *ret_real = strtod(copy, &end);
    return end == copy + text.len;
}

static bool
read_int(struct slice text, int64_t *ret_number)
{
    bool is_negative = slice_has_prefix(text, SLICE("-"));
    uint64_t number;
    if (!slice_to_u64(slice_from(text, is_negative), &number) ||
        number > (uint64_t)INT64_MAX + is_negative)
        return false;
    *ret_number = is_negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

static struct cel_value
call_int(struct cel_run *run, struct cel_value *args)
{
    const struct cel_value *v = &args[0];
    int64_t number;
    if (v->type == CEL_INT)
        return *v;
    if (v->type == CEL_UINT && v->unsigned_number <= INT64_MAX)
        return cel_int((int64_t)v->unsigned_number);
    if (v->type == CEL_DOUBLE && v->real > -INT64_END && v->real < INT64_END)
        return cel_int((int64_t)v->real);
    if (v->type == CEL_STRING && read_int(v->text, &number))
        return cel_int(number);
    if (v->type == CEL_TIMESTAMP)
        return cel_int(v->number / SECOND_NS - (v->number % SECOND_NS < 0));
    return cel_fail(run, "the value is no int");
}

static struct cel_value
call_uint(struct cel_run *run, struct cel_value *args)
{
    struct cel_value v = args[0].type == CEL_UINT ? args[0] : call_int(run, args);
    if (v.type == CEL_INT && v.number >= 0)
        return (struct cel_value){ .type = CEL_UINT, .unsigned_number = (uint64_t)v.number };
    return v.type == CEL_INT ? cel_fail(run, "the value is no uint") : v;
}

static struct cel_value
call_double(struct cel_run *run, struct cel_value *args)
{
    const struct cel_value *v = &args[0];
    double real;
    if (v->type == CEL_DOUBLE)
        return *v;
    if (v->type == CEL_INT)
        real = (double)v->number;
    else if (v->type == CEL_UINT)
        real = (double)v->unsigned_number;
    else if (v->type != CEL_STRING || !read_double(v->text, &real))
        return cel_fail(run, "the value is no double");
    return (struct cel_value){ .type = CEL_DOUBLE, .real = real };
}

static struct cel_value
call_string(struct cel_run *run, struct cel_value *args)
{
    const struct cel_value *v = &args[0];
    char *text = cel_alloc(run, NUMBER_CHARS_MAX);
    int len = 0;
    if (text == NULL)
        return (struct cel_value){ .type = CEL_ERROR };
    if (v->type == CEL_STRING)
        return *v;
    if (v->type == CEL_BYTES && slice_is_utf8(v->text))
        return cel_text(v->text);
    if (v->type == CEL_BOOL)
        return cel_text(v->truth ? SLICE("true") : SLICE("false"));
    if (v->type == CEL_INT)
        len = snprintf(text, NUMBER_CHARS_MAX, "%lld", (long long)v->number);
    else if (v->type == CEL_UINT)
        len = snprintf(text, NUMBER_CHARS_MAX, "%llu", (unsigned long long)v->unsigned_number);
    else if (v->type == CEL_DOUBLE)
        len = snprintf(text, NUMBER_CHARS_MAX, "%.17g", v->real);
    else
        return cel_fail(run, "the value is no string");
    for (int precision = 1; v->type == CEL_DOUBLE && precision < 17; precision++) {
        char shorter[NUMBER_CHARS_MAX]; /* the shortest that reads back the same */
        int n = snprintf(shorter, sizeof shorter, "%.*g", precision, v->real);
        if (strtod(shorter, NULL) != v->real)
            continue;
        memcpy(text, shorter, (size_t)n);
        len = n;
        break;
    }
    return cel_text(slice_of(text, (size_t)len));
}

static struct cel_value
call_bytes(struct cel_run *run, struct cel_value *args)
{
    if (args[0].type != CEL_STRING && args[0].type != CEL_BYTES)
        return unfit(run);
    return (struct cel_value){ .type = CEL_BYTES, .text = args[0].text };
}

static struct cel_value
call_bool(struct cel_run *run, struct cel_value *args)
{
    static const char *const yes[] = { "1", "t", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "false", "FALSE", "False" };
    if (args[0].type == CEL_BOOL)
        return args[0];
    for (size_t i = 0; i < ARRAY_LEN(yes) && args[0].type == CEL_STRING; i++) {
        if (slice_eq(args[0].text, slice_str(yes[i])))
            return cel_bool(true);
        if (slice_eq(args[0].text, slice_str(no[i])))
            return cel_bool(false);
    }
    return cel_fail(run, "the value is no bool");
}

static struct cel_value
call_dyn(struct cel_run *run, struct cel_value *args)
{
    (void)run;
    return args[0];
}

static struct cel_value
call_type(struct cel_run *run, struct cel_value *args)
{
    static const char *const names[] = {
        [CEL_NULL] = "null_type",
        [CEL_BOOL] = "bool",
        [CEL_INT] = "int",
        [CEL_UINT] = "uint",
        [CEL_DOUBLE] = "double",
        [CEL_STRING] = "string",
        [CEL_BYTES] = "bytes",
        [CEL_TIMESTAMP] = "google.protobuf.Timestamp",
        [CEL_LIST] = "list",
        [CEL_MAP] = "map",
        [CEL_DURATION] = "google.protobuf.Duration",
    };
    (void)run;
    return cel_text(slice_str(names[args[0].type]));
}

/* --- time --------------------------------------------------------------------------------------*/

static bool
digits_at(struct slice text, size_t at, size_t count, int *ret_number)
{
    uint64_t number;
    struct slice part = slice_first(slice_from(text, at), count);
    if (part.len != count || !slice_to_u64(part, &number))
        return false;
    *ret_number = (int)number;
    return true;
}

/* Behind the seconds: a fraction and a zone. */
static bool
read_rest(struct slice rest, int64_t *ret_fraction_ns, int64_t *ret_offset_s)
{
    int hours, minutes;
    *ret_fraction_ns = *ret_offset_s = 0;
    if (slice_has_prefix(rest, SLICE("."))) {
        int64_t unit = SECOND_NS / 10;
        rest = slice_from(rest, 1);
        for (; rest.len > 0 && rest.data[0] >= '0' && rest.data[0] <= '9'; unit /= 10) {
            *ret_fraction_ns += unit * (rest.data[0] - '0');
            rest = slice_from(rest, 1);
        }
    }
    if (slice_eq_nocase(rest, SLICE("Z")))
        return true;
    if (rest.len != 6 || (rest.data[0] != '+' && rest.data[0] != '-') || rest.data[3] != ':' ||
        !digits_at(rest, 1, 2, &hours) || !digits_at(rest, 4, 2, &minutes))
        return false;
    *ret_offset_s = (hours * 60 + minutes) * 60 * (rest.data[0] == '-' ? -1 : 1);
    return true;
}

static struct cel_value
call_timestamp(struct cel_run *run, struct cel_value *args)
{
    struct slice text = args[0].text;
    struct tm tm = { 0 };
    int64_t fraction_ns, offset_s;
    if (args[0].type == CEL_TIMESTAMP)
        return args[0];
    if (args[0].type != CEL_STRING || text.len < TIME_CHARS_MIN || text.data[4] != '-' ||
        text.data[7] != '-' || (text.data[10] | 0x20) != 't' || text.data[13] != ':' ||
        text.data[16] != ':' || !digits_at(text, 0, 4, &tm.tm_year) ||
        !digits_at(text, 5, 2, &tm.tm_mon) || !digits_at(text, 8, 2, &tm.tm_mday) ||
        !digits_at(text, 11, 2, &tm.tm_hour) || !digits_at(text, 14, 2, &tm.tm_min) ||
        !digits_at(text, 17, 2, &tm.tm_sec) ||
        !read_rest(slice_from(text, 19), &fraction_ns, &offset_s))
        return cel_fail(run, "the value is no timestamp");
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t seconds = (int64_t)timegm(&tm) - offset_s;
    if (seconds > INT64_MAX / SECOND_NS - 1 || seconds < INT64_MIN / SECOND_NS + 1)
        return cel_fail(run, "the timestamp is out of range");
    return (struct cel_value){ .type = CEL_TIMESTAMP, .number = seconds * SECOND_NS + fraction_ns };
}

/* "1h30m", "-2.5s" and the like, as Go reads them. */
static struct cel_value
call_duration(struct cel_run *run, struct cel_value *args)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = { { "ns", 1 },  { "us", 1e3 }, { "ms", 1e6 },
                  { "s", 1e9 }, { "m", 6e10 }, { "h", 3.6e12 } };
    struct slice rest = args[0].text;
    double total = 0, number;
    if (args[0].type == CEL_DURATION)
        return args[0];
    bool is_negative = args[0].type == CEL_STRING && slice_has_prefix(rest, SLICE("-"));
    rest = slice_from(rest, is_negative);
    bool is_good = args[0].type == CEL_STRING && rest.len > 0;
    while (is_good && rest.len > 0) {
        size_t digits = 0, unit = 0;
        while (digits < rest.len &&
               (rest.data[digits] == '.' || (rest.data[digits] >= '0' && rest.data[digits] <= '9')))
            digits++;
        is_good = read_double(slice_first(rest, digits), &number);
        rest = slice_from(rest, digits);
        size_t letters = 0;
        while (letters < rest.len && rest.data[letters] >= 'a' && rest.data[letters] <= 'z')
            letters++;
        while (unit < ARRAY_LEN(units) &&
               !slice_eq(slice_first(rest, letters), slice_str(units[unit].name)))
            unit++;
        is_good = is_good && unit < ARRAY_LEN(units);
        if (is_good)
            total += number * units[unit].ns;
        rest = slice_from(rest, letters);
    }
    if (!is_good || !(total < INT64_END))
        return cel_fail(run, "the value is no duration");
    return (struct cel_value){ .type = CEL_DURATION,
                               .number = is_negative ? -(int64_t)total : (int64_t)total };
}

/* A field of the time in UTC. */
static struct cel_value
time_field(struct cel_run *run, const struct cel_value *v, struct slice name)
{
    time_t seconds = (time_t)(v->number / SECOND_NS - (v->number % SECOND_NS < 0));
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL)
        return cel_fail(run, "the timestamp is out of range");
    const struct {
        const char *name;
        int value;
    } fields[] = { { "getFullYear", tm.tm_year + 1900 },
                   { "getMonth", tm.tm_mon },
                   { "getDate", tm.tm_mday },
                   { "getDayOfMonth", tm.tm_mday - 1 },
                   { "getDayOfWeek", tm.tm_wday },
                   { "getDayOfYear", tm.tm_yday },
                   { "getHours", tm.tm_hour },
                   { "getMinutes", tm.tm_min },
                   { "getSeconds", tm.tm_sec } };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (slice_eq(name, slice_str(fields[i].name)))
            return cel_int(fields[i].value);
    return cel_int((v->number % SECOND_NS + SECOND_NS) % SECOND_NS / 1000000); /* getMilliseconds */
}

static struct cel_value
duration_field(struct cel_run *run, const struct cel_value *v, struct slice name)
{
    if (slice_eq(name, SLICE("getHours")))
        return cel_int(v->number / SECOND_NS / 3600);
    if (slice_eq(name, SLICE("getMinutes")))
        return cel_int(v->number / SECOND_NS / 60);
    if (slice_eq(name, SLICE("getSeconds")))
        return cel_int(v->number / SECOND_NS);
    if (slice_eq(name, SLICE("getMilliseconds")))
        return cel_int(v->number / 1000000);
    return unfit(run);
}

/* --- the table ---------------------------------------------------------------------------------*/

static const struct row {
    const char *name;
    size_t count; /* of arguments, the target included */
    bool as_method, as_function;
    function *call; /* NULL: a field of a time */
} rows[] = {
    { "size", 1, true, true, call_size },
    { "startsWith", 2, true, false, call_starts_with },
    { "endsWith", 2, true, false, call_ends_with },
    { "contains", 2, true, false, call_contains },
    { "matches", 2, true, true, call_matches },
    { "int", 1, false, true, call_int },
    { "uint", 1, false, true, call_uint },
    { "double", 1, false, true, call_double },
    { "string", 1, false, true, call_string },
    { "bytes", 1, false, true, call_bytes },
    { "bool", 1, false, true, call_bool },
    { "dyn", 1, false, true, call_dyn },
    { "type", 1, false, true, call_type },
    { "timestamp", 1, false, true, call_timestamp },
    { "duration", 1, false, true, call_duration },
    { "getFullYear", 1, true, false, NULL },
    { "getMonth", 1, true, false, NULL },
    { "getDate", 1, true, false, NULL },
    { "getDayOfMonth", 1, true, false, NULL },
    { "getDayOfWeek", 1, true, false, NULL },
    { "getDayOfYear", 1, true, false, NULL },
    { "getHours", 1, true, false, NULL },
    { "getMinutes", 1, true, false, NULL },
    { "getSeconds", 1, true, false, NULL },
    { "getMilliseconds", 1, true, false, NULL },
};

static const struct row *
find_row(struct slice name, bool is_method, size_t count)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (slice_eq(name, slice_str(rows[i].name)) && rows[i].count == count &&
            (is_method ? rows[i].as_method : rows[i].as_function))
            return &rows[i];
    return NULL;
}

bool
cel_knows_function(struct slice name, bool is_method, size_t count)
{
    return find_row(name, is_method, count) != NULL;
}

struct cel_value
cel_call(struct cel_run *run, const struct cel_node *node, struct cel_value *args, size_t count)
{
    const struct row *row = find_row(node->name, node->is_method, count);
    if (node->regex != NULL)
        return args[0].type == CEL_STRING ? find(run, node->regex, args[0].text) : unfit(run);
    if (row->call != NULL)
        return row->call(run, args);
    if (args[0].type == CEL_TIMESTAMP)
        return time_field(run, &args[0], node->name);
    return args[0].type == CEL_DURATION ? duration_field(run, &args[0], node->name) : unfit(run);
}

/* --- operators ---------------------------------------------------------------------------------*/

static struct cel_value
is_in(struct cel_run *run, const struct cel_value *a, struct cel_value *b)
{
    if (b->type == CEL_MAP && a->type == CEL_STRING) {
        struct cel_value member = cel_member(run, b, a->text);
        return run->error != NULL ? member : cel_bool(member.type != CEL_ERROR);
    }
    if (b->type != CEL_LIST)
        return unfit(run);
    if (!cel_items(run, b))
        return (struct cel_value){ .type = CEL_ERROR };
    const char *before = run->error, *error = NULL;
    for (size_t i = 0; i < b->count; i++) {
        struct cel_value same = cel_equal(run, a, &b->items[i]);
        if (same.type == CEL_BOOL && same.truth)
            return same;
        if (same.type == CEL_ERROR) { /* of another type: another one may be equal */
            error = run->error;
            run->error = before;
        }
        if (run->steps > CEL_STEPS_MAX)
            return cel_fail(run, "the evaluation takes too long");
    }
    return error == NULL ? cel_bool(false) : cel_fail(run, error);
}

static struct cel_value
join(struct cel_run *run, const struct cel_value *a, const struct cel_value *b)
{
    size_t len = a->text.len + b->text.len;
    char *text = cel_alloc(run, len + 1);
    if (text == NULL)
        return (struct cel_value){ .type = CEL_ERROR };
    memcpy(text, a->text.data, a->text.len);
    memcpy(text + a->text.len, b->text.data, b->text.len);
    return (struct cel_value){ .type = a->type, .text = slice_of(text, len) };
}

static struct cel_value
join_lists(struct cel_run *run, struct cel_value *a, struct cel_value *b)
{
    if (!cel_items(run, a) || !cel_items(run, b))
        return (struct cel_value){ .type = CEL_ERROR };
    size_t count = a->count + b->count;
    struct cel_value *items = cel_alloc(run, (count + 1) * sizeof *items);
    if (items == NULL)
        return (struct cel_value){ .type = CEL_ERROR };
    for (size_t i = 0; i < count; i++)
        items[i] = i < a->count ? a->items[i] : b->items[i - a->count];
    return (struct cel_value){ .type = CEL_LIST, .items = items, .count = count };
}

static struct cel_value
calculate_int(struct cel_run *run, char sign, int64_t a, int64_t b)
{
    int64_t result;
    bool overflows = false;
    if ((sign == '/' || sign == '%') && (b == 0 || (a == INT64_MIN && b == -1)))
        return cel_fail(run, "a division is not possible");
    if (sign == '+')
        overflows = __builtin_add_overflow(a, b, &result);
    else if (sign == '-')
        overflows = __builtin_sub_overflow(a, b, &result);
    else if (sign == '*')
        overflows = __builtin_mul_overflow(a, b, &result);
    else
        result = sign == '/' ? a / b : a % b;
    return overflows ? cel_fail(run, "a result is out of range") : cel_int(result);
}

static struct cel_value
calculate_uint(struct cel_run *run, char sign, uint64_t a, uint64_t b)
{
    uint64_t result;
    bool overflows = false;
    if ((sign == '/' || sign == '%') && b == 0)
        return cel_fail(run, "a division is not possible");
    if (sign == '+')
        overflows = __builtin_add_overflow(a, b, &result);
    else if (sign == '-')
        overflows = __builtin_sub_overflow(a, b, &result);
    else if (sign == '*')
        overflows = __builtin_mul_overflow(a, b, &result);
    else
        result = sign == '/' ? a / b : a % b;
    return overflows ? cel_fail(run, "a result is out of range")
                     : (struct cel_value){ .type = CEL_UINT, .unsigned_number = result };
}

static struct cel_value
calculate_double(struct cel_run *run, char sign, double a, double b)
{
    double result = sign == '+' ? a + b : sign == '-' ? a - b : sign == '*' ? a * b : a / b;
    return sign == '%' ? unfit(run) : (struct cel_value){ .type = CEL_DOUBLE, .real = result };
}

/* Times: what adds up to what. */
static struct cel_value
calculate_time(struct cel_run *run, char sign, const struct cel_value *a, const struct cel_value *b)
{
    bool is_moment = a->type == CEL_TIMESTAMP, is_other_moment = b->type == CEL_TIMESTAMP;
    if ((sign != '+' && sign != '-') || (is_moment && is_other_moment && sign == '+') ||
        (!is_moment && is_other_moment && sign == '-'))
        return unfit(run);
    struct cel_value result = calculate_int(run, sign, a->number, b->number);
    if (result.type == CEL_INT)
        result.type = is_moment != is_other_moment ? CEL_TIMESTAMP : CEL_DURATION;
    return result;
}

static bool
is_time(const struct cel_value *v)
{
    return v->type == CEL_TIMESTAMP || v->type == CEL_DURATION;
}

static struct cel_value
calculate(struct cel_run *run, char sign, struct cel_value *a, struct cel_value *b)
{
    if (is_time(a) && is_time(b))
        return calculate_time(run, sign, a, b);
    if (a->type != b->type)
        return cel_fail(run, "values of different types are calculated with");
    if (a->type == CEL_INT)
        return calculate_int(run, sign, a->number, b->number);
    if (a->type == CEL_UINT)
        return calculate_uint(run, sign, a->unsigned_number, b->unsigned_number);
    if (a->type == CEL_DOUBLE)
        return calculate_double(run, sign, a->real, b->real);
    if (sign == '+' && (a->type == CEL_STRING || a->type == CEL_BYTES))
        return join(run, a, b);
    return sign == '+' && a->type == CEL_LIST ? join_lists(run, a, b) : unfit(run);
}

struct cel_value
cel_binary(struct cel_run *run, struct slice sign, struct cel_value *a, struct cel_value *b)
{
    bool has_equal = sign.len == 2 && sign.data[1] == '=';
    int order;
    if (slice_eq(sign, SLICE("in")))
        return is_in(run, a, b);
    if (has_equal && (sign.data[0] == '=' || sign.data[0] == '!')) {
        struct cel_value same = cel_equal(run, a, b);
        if (same.type == CEL_BOOL && sign.data[0] == '!')
            same.truth = !same.truth;
        return same;
    }
    if (sign.data[0] != '<' && sign.data[0] != '>')
        return calculate(run, sign.data[0], a, b);
    if (!cel_compare(run, a, b, &order))
        return (struct cel_value){ .type = CEL_ERROR };
    return cel_bool((has_equal && order == 0) || (sign.data[0] == '<' ? order < 0 : order > 0));
}
