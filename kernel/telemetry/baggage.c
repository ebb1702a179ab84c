/* SPDX-License-Identifier: Apache-2.0 */
/* Checking of baggage; see baggage.h. */
#include "telemetry/baggage.h"

/* Names what is wrong and what it is wrong with. */
struct complaint {
    const char *what;   /* NULL: nothing */
    struct slice shown; /* data NULL: nothing to show */
};

static const struct complaint no_complaint = { .what = NULL };

static struct complaint
complain(const char *what, struct slice shown)
{
    return (struct complaint){ .what = what, .shown = shown };
}

static bool
is_token(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f ||
            strchr("\"(),/:;<=>?@[\\]{}", text.data[i]) != NULL)
            return false;
    return text.len > 0;
}

/* Printable ASCII without quotes, comma, semicolon and backslash; escapes are complete. */
static bool
is_value(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c <= ' ' || c >= 0x7f || strchr("\",;\\", c) != NULL)
            return false;
        if (c == '%' && (i + 2 >= text.len || hex_value(text.data[i + 1]) < 0 ||
                         hex_value(text.data[i + 2]) < 0))
            return false;
    }
    return true;
}

/* "key" or "key=value". */
static struct complaint
check_property(struct slice property)
{
    ptrdiff_t equals = slice_find_byte(property, '=');
    struct slice key = property;
    bool fits = true;
    if (slice_trim(property).len == 0)
        return no_complaint; /* as between two semicolons */
    if (equals >= 0) {
        key = slice_first(property, (size_t)equals);
        fits = is_value(slice_trim(slice_from(property, (size_t)equals + 1)));
    }
    if (fits && is_token(slice_trim(key)))
        return no_complaint;
    return complain("invalid baggage list-member property", property);
}

static struct complaint
check_pair(struct slice member, struct slice pair)
{
    ptrdiff_t equals = slice_find_byte(pair, '=');
    if (equals < 0)
        return complain("invalid baggage list-member", member);
    struct slice key = slice_trim(slice_first(pair, (size_t)equals));
    struct slice value = slice_from(pair, (size_t)equals + 1);
    if (!is_token(key))
        return complain("invalid key", key);
    return is_value(slice_trim(value)) ? no_complaint : complain("invalid value", value);
}

static struct complaint
check_member(struct slice member)
{
    struct slice rest = member, pair, property;
    if (member.len > BAGGAGE_MEMBER_BYTES_MAX)
        return complain("list-member too large", (struct slice){ .data = NULL });
    (void)slice_split(&rest, ';', &pair); /* there is always a first part */
    while (slice_split(&rest, ';', &property)) {
        struct complaint complaint = check_property(property);
        if (complaint.what != NULL)
            return complaint;
    }
    return check_pair(member, pair);
}

/* What a Go program would print of it, as far as it may reach a client's terminal. */
static bool
put_quoted(struct buf *out, struct slice text)
{
    bool fits = buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len && fits; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            fits = buf_append_byte(out, '\\') && buf_append_byte(out, (char)c);
        else if (c < ' ' || c >= 0x7f)
            fits = buf_printf(out, "\\x%02x", c);
        else
            fits = buf_append_byte(out, (char)c);
    }
    return fits && buf_append_byte(out, '"');
}

/* Very many: the first ones will do. */
static void
put_complaint(struct buf *out, struct complaint complaint)
{
    if (out->len > 0 && !buf_append_byte(out, '\n'))
        return;
    if (buf_append(out, slice_str(complaint.what)) && complaint.shown.data != NULL &&
        buf_append(out, SLICE(": ")))
        (void)put_quoted(out, complaint.shown);
}

/* Of the list as a whole. */
static struct complaint
check_size(struct slice text)
{
    const struct slice nothing = { .data = NULL };
    struct slice rest = text, member;
    size_t count = 0;
    if (text.len > BAGGAGE_BYTES_MAX)
        return complain("baggage-string too large", nothing);
    while (slice_split(&rest, ',', &member))
        count++;
    return count > BAGGAGE_MEMBERS_MAX
               ? complain("too many list-members in baggage-string", nothing)
               : no_complaint;
}

bool
baggage_check(struct slice text, struct buf *complaints)
{
    struct slice rest = text, member;
    struct complaint complaint = check_size(text);
    bool is_valid = complaint.what == NULL;
    if (!is_valid) {
        put_complaint(complaints, complaint);
        return false;
    }
    while (slice_split(&rest, ',', &member)) {
        complaint = check_member(slice_trim(member));
        if (complaint.what == NULL)
            continue;
        put_complaint(complaints, complaint);
        is_valid = false;
    }
    return is_valid;
}
