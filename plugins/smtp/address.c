/* SPDX-License-Identifier: Apache-2.0 */
/* Mailboxes; see address.h. */
#include "address.h"

#include <string.h>

static struct remora_slice
trim(struct remora_slice text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

bool
address_next(struct remora_slice *list, struct remora_slice *ret_text)
{
    while (list->len > 0) {
        const char *end = memchr(list->data, ';', list->len);
        const size_t len = end == NULL ? list->len : (size_t)(end - list->data);
        *ret_text = trim((struct remora_slice){ list->data, len });
        list->data += len + (end != NULL);
        list->len -= len + (end != NULL);
        if (ret_text->len > 0)
            return true;
    }
    return false;
}

static bool
is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* Local parts in quotes and domains as literals of routes ("a@b:c@d") are not taken. */
static bool
take_spec(struct remora_slice text, char *ret_spec)
{
    size_t at = 0;
    if (text.len < 3 || text.len > ADDRESS_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (is_control(text.data[i]) || strchr(" ()<>,;:\\\"", text.data[i]) != NULL)
            return false;
        if (text.data[i] == '@' && at > 0)
            return false;
        if (text.data[i] == '@')
            at = i;
    }
    /* One that begins with a dash may be an option to what the mail is handed on to. */
    if (at == 0 || at + 1 == text.len || text.data[0] == '-')
        return false;
    memcpy(ret_spec, text.data, text.len);
    ret_spec[text.len] = '\0';
    return true;
}

static bool
take_name(struct remora_slice text, char *ret_name)
{
    const bool is_quoted = text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"';
    size_t len = 0;
    if (is_quoted)
        text = (struct remora_slice){ text.data + 1, text.len - 2 };
    if (text.len > NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (is_quoted && c == '\\' && i + 1 < text.len)
            c = text.data[++i];
        else if (c == '"' || (!is_quoted && strchr("<>@,;:\\", c) != NULL))
            return false;
        if (is_control(c))
            return false;
        ret_name[len++] = c;
    }
    ret_name[len] = '\0';
    return true;
}

bool
address_parse(struct remora_slice text, struct address *ret_address)
{
    text = trim(text);
    ret_address->name[0] = '\0';
    if (text.len == 0 || memchr(text.data, '\0', text.len) != NULL)
        return false;
    if (text.data[text.len - 1] != '>')
        return take_spec(text, ret_address->spec);
    const char *open = memrchr(text.data, '<', text.len);
    if (open == NULL)
        return false;
    const size_t head = (size_t)(open - text.data);
    const struct remora_slice spec = { open + 1, text.len - head - 2 };
    return take_spec(spec, ret_address->spec) &&
           take_name(trim((struct remora_slice){ text.data, head }), ret_address->name);
}
