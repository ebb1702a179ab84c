/* SPDX-License-Identifier: Apache-2.0 */
/* Topics, level by level. */
#include "topic.h"

#include <string.h>

#include "packet.h"

#define SHARE "$share/"

/* What the protocol calls a string: UTF-8 without surrogates, overlong forms and NUL. */
static size_t
code_point_bytes(const unsigned char *at, size_t left)
{
    unsigned char lead = at[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead == 0 || lead > 0xf4 || len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool is_bad = (lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f) ||
                  (lead == 0xf0 && at[1] < 0x90) || (lead == 0xf4 && at[1] > 0x8f);
    return is_bad ? 0 : len;
}

static const char *
text_fault(struct remora_slice text)
{
    if (text.len == 0)
        return "topic name is empty";
    if (text.len > PACKET_TEXT_BYTES_MAX)
        return "topic name is longer than 65535 bytes";
    for (size_t i = 0, len; i < text.len; i += len)
        if ((len = code_point_bytes((const unsigned char *)text.data + i, text.len - i)) == 0)
            return "topic name is not UTF-8, or holds a NUL";
    return NULL;
}

bool
topic_has_wildcard(struct remora_slice filter)
{
    return memchr(filter.data, '#', filter.len) != NULL ||
           memchr(filter.data, '+', filter.len) != NULL;
}

const char *
topic_name_fault(struct remora_slice name)
{
    const char *fault = text_fault(name);
    if (fault == NULL && topic_has_wildcard(name))
        fault = "a message cannot be published to a topic with a wildcard";
    return fault;
}

struct remora_slice
topic_shared(struct remora_slice filter)
{
    size_t prefix = strlen(SHARE);
    if (filter.len < prefix || memcmp(filter.data, SHARE, prefix) != 0)
        return filter;
    const char *group = filter.data + prefix;
    const char *slash = memchr(group, '/', filter.len - prefix);
    if (slash == NULL)
        return (struct remora_slice){ group, 0 };
    size_t skipped = (size_t)(slash + 1 - filter.data);
    return (struct remora_slice){ filter.data + skipped, filter.len - skipped };
}

/* Up to the next slash; takes it, and the slash, from `rest`. `*is_last`: there was none. */
static struct remora_slice
next_level(struct remora_slice *rest, bool *is_last)
{
    const char *slash = rest->len > 0 ? memchr(rest->data, '/', rest->len) : NULL;
    struct remora_slice level = { rest->data,
                                  slash == NULL ? rest->len : (size_t)(slash - rest->data) };
    size_t taken = level.len + (slash != NULL);
    *is_last = slash == NULL;
    rest->data += taken;
    rest->len -= taken;
    return level;
}

const char *
topic_filter_fault(struct remora_slice filter)
{
    const char *fault = text_fault(filter);
    if (fault != NULL)
        return fault;
    struct remora_slice rest = topic_shared(filter);
    size_t before = filter.len - rest.len;
    if (rest.data != filter.data &&
        (rest.len == 0 || before < strlen(SHARE) + 2 ||
         topic_has_wildcard((struct remora_slice){ filter.data, before })))
        return "a shared subscription is $share/GROUP/TOPIC";
    for (bool is_last = false; !is_last;) {
        struct remora_slice level = next_level(&rest, &is_last);
        if (topic_has_wildcard(level) && (level.len > 1 || (level.data[0] == '#' && !is_last)))
            return "a wildcard is a level of its own, and # the last one";
    }
    return NULL;
}

static bool
is_level(struct remora_slice level, char what)
{
    return level.len == 1 && level.data[0] == what;
}

bool
topic_matches(struct remora_slice filter, struct remora_slice name)
{
    bool is_filter_over = false, is_name_over = false, is_first = true;
    bool is_hidden = name.len > 0 && name.data[0] == '$';
    while (!is_filter_over && !is_name_over) {
        struct remora_slice wanted = next_level(&filter, &is_filter_over);
        struct remora_slice level = next_level(&name, &is_name_over);
        bool is_wild = is_level(wanted, '#') || is_level(wanted, '+');
        if (is_wild && is_first && is_hidden)
            return false;
        if (is_level(wanted, '#'))
            return true;
        if (!is_wild &&
            (wanted.len != level.len || memcmp(wanted.data, level.data, level.len) != 0))
            return false;
        is_first = false;
    }
    /* `a/#` is also for `a`. */
    return is_name_over && (is_filter_over || remora_slice_eq(filter, "#"));
}
