/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of the reference's templates only places of single fields are understood; anything else is an
 * error when the resolver is configured, not when somebody is called.
 */
#include "pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

static const struct field {
    const char *name;
    enum part_kind kind;
} fields[] = { { ".ID", PART_ID }, { ".Namespace", PART_NAMESPACE }, { ".Port", PART_PORT } };

#define DATA ".Data."

static struct remora_slice
slice(const char *data, size_t len)
{
    return (struct remora_slice){ data, len };
}

static bool
is_word(struct remora_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\0' || strchr(WORD_CHARACTERS, text.data[i]) == NULL)
            return false;
    return text.len > 0;
}

static bool
add(struct pattern *pattern, enum part_kind kind, struct remora_slice text, char *error)
{
    if (kind == PART_TEXT && text.len == 0)
        return true;
    if (pattern->part_count == PATTERN_PARTS_MAX) {
        snprintf(error, ERROR_BYTES, "more than %d parts", PATTERN_PARTS_MAX);
        return false;
    }
    pattern->parts[pattern->part_count++] = (struct part){ kind, text };
    return true;
}

/* What stands between the braces. */
static bool
add_field(struct pattern *pattern, const char *from, size_t len, char *error)
{
    while (len > 0 && *from == ' ')
        from++, len--;
    while (len > 0 && from[len - 1] == ' ')
        len--;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (remora_slice_eq(slice(from, len), fields[i].name))
            return add(pattern, fields[i].kind, slice(from, len), error);
    size_t data = strlen(DATA);
    if (len > data && memcmp(from, DATA, data) == 0 && is_word(slice(from + data, len - data)))
        return add(pattern, PART_DATA, slice(from + data, len - data), error);
    snprintf(error, ERROR_BYTES,
             "{{%.*s}}: only {{.ID}}, {{.Namespace}}, {{.Port}} and {{.Data.NAME}} are known",
             (int)(len < 64 ? len : 64), from);
    return false;
}

static bool
parse_template(struct pattern *pattern, char *error)
{
    const char *at = pattern->text;
    for (const char *open; (open = strstr(at, "{{")) != NULL;) {
        const char *close = strstr(open + 2, "}}");
        if (close == NULL) {
            snprintf(error, ERROR_BYTES, "a {{ is not closed");
            return false;
        }
        if (!add(pattern, PART_TEXT, slice(at, (size_t)(open - at)), error) ||
            !add_field(pattern, open + 2, (size_t)(close - open - 2), error))
            return false;
        at = close + 2;
    }
    return add(pattern, PART_TEXT, slice(at, strlen(at)), error);
}

static bool
parse_appid(struct pattern *pattern, char *error)
{
    static const char place[] = "{appid}";
    const char *at = pattern->text;
    for (const char *open; (open = strstr(at, place)) != NULL; at = open + strlen(place))
        if (!add(pattern, PART_TEXT, slice(at, (size_t)(open - at)), error) ||
            !add(pattern, PART_ID, slice(open, strlen(place)), error))
            return false;
    return add(pattern, PART_TEXT, slice(at, strlen(at)), error);
}

bool
pattern_init(struct pattern *pattern, struct remora_slice text, enum pattern_syntax syntax,
             char *error)
{
    *pattern = (struct pattern){ .text = NULL };
    if (text.len <= PATTERN_BYTES_MAX)
        pattern->text = remora_slice_dup(text);
    if (pattern->text == NULL) {
        snprintf(error, ERROR_BYTES, "longer than %d bytes, or with a NUL", PATTERN_BYTES_MAX);
        return false;
    }
    bool ok = syntax == SYNTAX_TEMPLATE ? parse_template(pattern, error)
                                        : parse_appid(pattern, error);
    if (!ok)
        pattern_fini(pattern);
    return ok;
}

void
pattern_fini(struct pattern *pattern)
{
    free(pattern->text);
    pattern->text = NULL;
}

bool
pattern_has(const struct pattern *pattern, enum part_kind kind)
{
    for (size_t i = 0; i < pattern->part_count; i++)
        if (pattern->parts[i].kind == kind)
            return true;
    return false;
}

/* --- filling -----------------------------------------------------------------------------------*/

struct filling {
    const struct remora_name_query *query;
    struct remora_slice namespace_;
    char *out;
    size_t len;
    char *error;
};

static bool
append(struct filling *filling, struct remora_slice text)
{
    if (text.len >= ADDRESS_BYTES_MAX - filling->len) {
        snprintf(filling->error, ERROR_BYTES, "the address is too long");
        return false;
    }
    memcpy(filling->out + filling->len, text.data, text.len);
    filling->len += text.len;
    return true;
}

static bool
append_word(struct filling *filling, const char *what, struct remora_slice word)
{
    if (is_word(word))
        return append(filling, word);
    snprintf(filling->error, ERROR_BYTES,
             "%s is no name of letters, digits, '-' and '_': no address can be made of it", what);
    return false;
}

static bool
append_port(struct filling *filling)
{
    char digits[8];
    int len = snprintf(digits, sizeof digits, "%u", filling->query->port);
    return append(filling, slice(digits, (size_t)len));
}

static bool
append_data(struct filling *filling, struct remora_slice name)
{
    const struct remora_name_query *query = filling->query;
    for (size_t i = 0; i < query->metadata_count; i++) {
        const struct remora_pair *pair = &query->metadata[i];
        if (pair->name.len == name.len && memcmp(pair->name.data, name.data, name.len) == 0)
            return append_word(filling, "a value of Data", pair->value);
    }
    snprintf(filling->error, ERROR_BYTES, "nothing is known of .Data.%.*s",
             (int)(name.len < 64 ? name.len : 64), name.data);
    return false;
}

static bool
fill_part(struct filling *filling, const struct part *part)
{
    switch (part->kind) {
    case PART_TEXT:
        return append(filling, part->text);
    case PART_ID:
        return append_word(filling, "the application's id", filling->query->id);
    case PART_NAMESPACE:
        return append_word(filling, "the namespace", filling->namespace_);
    case PART_PORT:
        return append_port(filling);
    case PART_DATA:
        return append_data(filling, part->text);
    }
    return false;
}

/* Behind the brackets of an IPv6 address, if there are some. */
static bool
has_port(const char *address, size_t len)
{
    size_t colon = len;
    while (colon > 0 && address[colon - 1] >= '0' && address[colon - 1] <= '9')
        colon--;
    bool has_digits = colon < len && colon > 0 && address[colon - 1] == ':';
    return has_digits && (memchr(address, ':', colon - 1) == NULL || address[colon - 2] == ']');
}

bool
pattern_fill(const struct pattern *pattern, const struct remora_name_query *query,
             struct remora_slice namespace_, char *ret_address, size_t *ret_len, char *error)
{
    struct filling filling = {
        .query = query,
        .namespace_ = query->namespace_.len > 0 ? query->namespace_ : namespace_,
        .out = ret_address,
        .error = error,
    };
    for (size_t i = 0; i < pattern->part_count; i++)
        if (!fill_part(&filling, &pattern->parts[i]))
            return false;
    if (!has_port(ret_address, filling.len) &&
        (!append(&filling, slice(":", 1)) || !append_port(&filling)))
        return false;
    *ret_len = filling.len;
    return true;
}
