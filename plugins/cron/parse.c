/* SPDX-License-Identifier: Apache-2.0 */
/* Reads schedules; see schedule.h. The words of errors are the reference's. */
#include "parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "schedule.h"

enum { FIELDS_MAX = 6 };

struct field {
    const char *name; /* for nobody but the reader */
    unsigned min, max;
    const char *names; /* three letters each, from `min` on; or NULL */
};

static const struct field fields[FIELDS_MAX] = {
    { "second", 0, 59, NULL },
    { "minute", 0, 59, NULL },
    { "hour", 0, 23, NULL },
    { "day", 1, 31, NULL },
    { "month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
    { "weekday", 0, 6, "sunmontuewedthufrisat" },
};

static bool complain(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool
complain(char *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error, SCHEDULE_ERROR_BYTES, format, args);
    va_end(args);
    return false;
}

/* For "%.*s"; errors show the beginning of what is long. */
#define SHOWN(slice) (int)((slice).len < 80 ? (slice).len : 80), (slice).data

/* --- slices ------------------------------------------------------------------------------------*/

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What is before the first `mark`; *rest is what is behind it, without data if there is none. */
static struct remora_slice
take_until(struct remora_slice *rest, char mark)
{
    const char *at = rest->len > 0 ? memchr(rest->data, mark, rest->len) : NULL;
    const struct remora_slice head = { rest->data,
                                       at == NULL ? rest->len : (size_t)(at - rest->data) };
    *rest = at == NULL ? (struct remora_slice){ NULL, 0 }
                       : (struct remora_slice){ at + 1, rest->len - head.len - 1 };
    return head;
}

static struct remora_slice
take_word(struct remora_slice *rest)
{
    size_t from = 0;
    while (from < rest->len && is_space(rest->data[from]))
        from++;
    size_t end = from;
    while (end < rest->len && !is_space(rest->data[end]))
        end++;
    const struct remora_slice word = { rest->data + from, end - from };
    *rest = (struct remora_slice){ rest->data + end, rest->len - end };
    return word;
}

static bool
has_prefix(struct remora_slice text, const char *prefix)
{
    const size_t len = strlen(prefix);
    return text.len >= len && text.data != NULL && memcmp(text.data, prefix, len) == 0;
}

/* --- a field -----------------------------------------------------------------------------------*/

static bool
take_number(struct remora_slice text, unsigned *ret, char *error)
{
    const bool has_sign = text.len > 0 && (text.data[0] == '+' || text.data[0] == '-');
    uint64_t number = 0;
    bool ok = text.len > has_sign;
    for (size_t i = has_sign; ok && i < text.len; i++) {
        ok = text.data[i] >= '0' && text.data[i] <= '9' && number < 100 * 1000 * 1000;
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    if (!ok)
        return complain(error,
                        "failed to parse int from %.*s: strconv.Atoi: parsing \"%.*s\": "
                        "invalid syntax",
                        SHOWN(text), SHOWN(text));
    if (number > 0 && text.data[0] == '-')
        return complain(error, "negative number (-%llu) not allowed: %.*s",
                        (unsigned long long)number, SHOWN(text));
    *ret = (unsigned)number;
    return true;
}

static bool
take_number_or_name(struct remora_slice text, const struct field *field, unsigned *ret, char *error)
{
    for (unsigned n = field->min; field->names != NULL && text.len == 3 && n <= field->max; n++) {
        const char *name = field->names + 3 * (size_t)(n - field->min);
        if (strncasecmp(text.data, name, 3) == 0) {
            *ret = n;
            return true;
        }
    }
    return take_number(text, ret, error);
}

struct range {
    unsigned start, end, step;
    bool is_star, is_single;
};

static bool
take_ends(struct remora_slice text, const struct field *field, struct range *range, char *error)
{
    struct remora_slice rest = text;
    const struct remora_slice low = take_until(&rest, '-');
    range->is_single = rest.data == NULL;
    range->is_star = remora_slice_eq(low, "*") || remora_slice_eq(low, "?");
    range->start = field->min;
    range->end = field->max;
    if (range->is_star)
        return true;
    if (!take_number_or_name(low, field, &range->start, error))
        return false;
    range->end = range->start;
    if (range->is_single)
        return true;
    const struct remora_slice high = take_until(&rest, '-');
    if (rest.data != NULL)
        return complain(error, "too many hyphens: %.*s", SHOWN(text));
    return take_number_or_name(high, field, &range->end, error);
}

/* "5", "1-5", "*", "mon-fri", each with "/2" behind it; "5/2" is from 5 on. */
static bool
take_range(struct remora_slice text, const struct field *field, uint64_t *set, char *error)
{
    struct remora_slice rest = text;
    struct range range = { .step = 1 };
    if (!take_ends(take_until(&rest, '/'), field, &range, error))
        return false;
    if (rest.data != NULL) {
        const struct remora_slice step = take_until(&rest, '/');
        if (rest.data != NULL)
            return complain(error, "too many slashes: %.*s", SHOWN(text));
        if (!take_number(step, &range.step, error))
            return false;
        if (range.is_single)
            range.end = field->max;
    }
    if (range.start < field->min)
        return complain(error, "beginning of range (%u) below minimum (%u): %.*s", range.start,
                        field->min, SHOWN(text));
    if (range.end > field->max)
        return complain(error, "end of range (%u) above maximum (%u): %.*s", range.end, field->max,
                        SHOWN(text));
    if (range.start > range.end)
        return complain(error, "beginning of range (%u) beyond end of range (%u): %.*s",
                        range.start, range.end, SHOWN(text));
    if (range.step == 0)
        return complain(error, "step of range should be a positive number: %.*s", SHOWN(text));
    for (unsigned n = range.start; n <= range.end; n += range.step)
        *set |= UINT64_C(1) << n;
    *set |= range.is_star && range.step == 1 ? SET_STAR : 0;
    return true;
}

/* Empty items are none, as the reference has it: "1,,2". */
static bool
take_field(struct remora_slice text, const struct field *field, uint64_t *ret_set, char *error)
{
    *ret_set = 0;
    while (text.data != NULL) {
        const struct remora_slice item = take_until(&text, ',');
        if (item.len > 0 && !take_range(item, field, ret_set, error))
            return false;
    }
    return true;
}

static bool
take_fields(struct remora_slice text, struct schedule *ret, char *error)
{
    struct remora_slice words[FIELDS_MAX], rest = text;
    uint64_t sets[FIELDS_MAX] = { UINT64_C(1) }; /* second 0, if there is no such field */
    size_t count = 0;
    for (struct remora_slice word = take_word(&rest); word.len > 0; word = take_word(&rest)) {
        if (count < FIELDS_MAX)
            words[count] = word;
        count++;
    }
    if (count != FIELDS_MAX && count != FIELDS_MAX - 1)
        return complain(error, "expected 5 to 6 fields, found %zu: [%.*s]", count, SHOWN(text));
    const size_t skipped = FIELDS_MAX - count;
    for (size_t i = 0; i < count; i++)
        if (!take_field(words[i], &fields[skipped + i], &sets[skipped + i], error))
            return false;
    ret->second = sets[0];
    ret->minute = sets[1];
    ret->hour = sets[2];
    ret->day = sets[3];
    ret->month = sets[4];
    ret->weekday = sets[5];
    return true;
}

/* --- descriptors -------------------------------------------------------------------------------*/

/* As Go reads durations: a number needs its unit. Less than a millisecond is one. */
static bool
take_every(struct remora_slice descriptor, struct schedule *ret, char *error)
{
    const size_t head = strlen("@every ");
    const struct remora_slice text = { descriptor.data + head, descriptor.len - head };
    const char last = text.len == 0 ? '0' : text.data[text.len - 1];
    const bool is_bare = text.len == 0 || (last >= '0' && last <= '9');
    int64_t ms;
    if ((is_bare && !remora_slice_eq(text, "0")) || !remora_parse_duration_ms(text, &ms))
        return complain(error, "failed to parse duration %.*s: time: invalid duration \"%.*s\"",
                        SHOWN(descriptor), SHOWN(text));
    ret->every_ms = ms < 1 ? 1 : ms;
    return true;
}

static bool
take_descriptor(struct remora_slice text, struct schedule *ret, char *error)
{
    static const struct {
        const char *name, *meaning;
    } descriptors[] = {
        { "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
        { "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },    { "@midnight", "0 0 * * *" },
        { "@hourly", "0 * * * *" },
    };
    if (has_prefix(text, "@every "))
        return take_every(text, ret, error);
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        const char *meaning = descriptors[i].meaning;
        if (remora_slice_eq(text, descriptors[i].name))
            return take_fields((struct remora_slice){ meaning, strlen(meaning) }, ret, error);
    }
    return complain(error, "unrecognized descriptor: %.*s", SHOWN(text));
}

/* --- the whole ---------------------------------------------------------------------------------*/

static bool
take_zone(struct remora_slice *text, struct schedule *ret, char *error)
{
    struct remora_slice rest = *text;
    size_t end = 0;
    while (end < rest.len && !is_space(rest.data[end]))
        end++;
    if (end == rest.len)
        return complain(error, "timezone prefix %.*s is not followed by a schedule", SHOWN(rest));
    const size_t head = (size_t)((const char *)memchr(rest.data, '=', end) + 1 - rest.data);
    const struct remora_slice zone = { rest.data + head, end - head };
    if (zone.len >= sizeof ret->zone || memchr(zone.data, '\0', zone.len) != NULL)
        return complain(error, "provided bad location %.*s: unknown time zone", SHOWN(zone));
    ret->has_zone = true;
    memcpy(ret->zone, zone.data, zone.len);
    ret->zone[zone.len] = '\0';
    while (end < rest.len && is_space(rest.data[end]))
        end++;
    while (rest.len > end && is_space(rest.data[rest.len - 1]))
        rest.len--;
    *text = (struct remora_slice){ rest.data + end, rest.len - end };
    return true;
}

bool
schedule_parse(struct remora_slice text, struct schedule *ret_schedule,
               char ret_error[SCHEDULE_ERROR_BYTES])
{
    struct schedule schedule = { .every_ms = 0 };
    if (text.len == 0)
        return complain(ret_error, "empty spec string");
    if (text.len > SCHEDULE_BYTES_MAX)
        return complain(ret_error, "longer than %d bytes", SCHEDULE_BYTES_MAX);
    if ((has_prefix(text, "TZ=") || has_prefix(text, "CRON_TZ=")) &&
        !take_zone(&text, &schedule, ret_error))
        return false;
    if (has_prefix(text, "@") ? !take_descriptor(text, &schedule, ret_error)
                              : !take_fields(text, &schedule, ret_error))
        return false;
    *ret_schedule = schedule;
    return true;
}
