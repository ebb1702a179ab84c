/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoder and decoder of the Redis protocol. The decoder walks a reply twice: resp_scan() checks
 * everything and finds the end, resp_tree() builds and relies on it, asserting what the scan
 * established.
 */
#include "resp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- out ---------------------------------------------------------------------------------------*/

enum { BUF_BYTES_MIN = 4096, DIGITS_MAX = 20 };

char *
resp_buf_reserve(struct resp_buf *buf, size_t room)
{
    if (buf->data == NULL || buf->cap - buf->len < room) {
        size_t cap = buf->cap < BUF_BYTES_MIN ? BUF_BYTES_MIN : buf->cap;
        while (cap - buf->len < room)
            cap *= 2;
        char *data = realloc(buf->data, cap);
        if (data == NULL)
            abort(); /* the supervisor starts us anew */
        buf->data = data;
        buf->cap = cap;
    }
    return buf->data + buf->len;
}

void
resp_buf_append(struct resp_buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(resp_buf_reserve(buf, len), data, len);
    buf->len += len;
}

void
resp_buf_consume(struct resp_buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len -= len;
    if (buf->len > 0)
        memmove(buf->data, buf->data + len, buf->len);
}

void
resp_buf_fini(struct resp_buf *buf)
{
    free(buf->data);
    *buf = (struct resp_buf){ 0 };
}

/* `kind`, the number and an end of line; returns the end. */
static char *
put_head(char *at, char kind, size_t number)
{
    char digits[DIGITS_MAX];
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *at++ = kind;
    while (count > 0)
        *at++ = digits[--count];
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

void
resp_put_command(struct resp_buf *buf, const struct remora_slice *args, size_t count)
{
    size_t room = DIGITS_MAX + 3;
    for (size_t i = 0; i < count; i++)
        room += args[i].len + DIGITS_MAX + 5;
    char *start = resp_buf_reserve(buf, room);
    char *at = put_head(start, '*', count);
    for (size_t i = 0; i < count; i++) {
        at = put_head(at, '$', args[i].len);
        if (args[i].len > 0)
            memcpy(at, args[i].data, args[i].len);
        at += args[i].len;
        *at++ = '\r';
        *at++ = '\n';
    }
    buf->len += (size_t)(at - start);
}

/* --- in ----------------------------------------------------------------------------------------*/

/* A decimal number that fills the whole text. */
static bool
parse_number(const char *text, size_t len, int64_t *ret_number)
{
    bool negative = len > 0 && text[0] == '-';
    size_t i = negative || (len > 0 && text[0] == '+') ? 1 : 0;
    if (i == len)
        return false;
    int64_t number = 0;
    for (; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        int64_t digit = text[i] - '0';
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, negative ? -digit : digit, &number))
            return false;
    }
    *ret_number = number;
    return true;
}

/* One value's head: its line without type and end, and where the next byte is. */
struct head {
    char type;
    const char *text;
    size_t len;
    size_t next;
};

static enum resp_result
read_head(struct resp_scan *scan, const char *data, size_t len, struct head *ret)
{
    size_t from = scan->searched > scan->pos ? scan->searched : scan->pos;
    const char *end = from < len ? memchr(data + from, '\n', len - from) : NULL;
    if (end == NULL) {
        scan->searched = len;
        return len - scan->pos > RESP_LINE_BYTES_MAX ? RESP_BROKEN : RESP_MORE;
    }
    size_t line = (size_t)(end - data) - scan->pos;
    if (line < 2 || end[-1] != '\r' || line > RESP_LINE_BYTES_MAX)
        return RESP_BROKEN;
    *ret = (struct head){ .type = data[scan->pos],
                          .text = data + scan->pos + 1,
                          .len = line - 2,
                          .next = scan->pos + line + 1 };
    return RESP_COMPLETE;
}

/* The bytes of a string that follow its head. */
static enum resp_result
scan_string(const struct head *head, const char *data, size_t len, size_t *ret_next)
{
    int64_t bytes;
    if (!parse_number(head->text, head->len, &bytes))
        return RESP_BROKEN;
    if (bytes == -1 && head->type == '$') {
        *ret_next = head->next;
        return RESP_COMPLETE;
    }
    if (bytes < 0 || bytes > RESP_BULK_BYTES_MAX)
        return RESP_BROKEN;
    size_t end = head->next + (size_t)bytes;
    if (len < end + 2)
        return RESP_MORE;
    if (data[end] != '\r' || data[end + 1] != '\n')
        return RESP_BROKEN;
    if (head->type == '=' && (bytes < 4 || data[head->next + 3] != ':'))
        return RESP_BROKEN;
    *ret_next = end + 2;
    return RESP_COMPLETE;
}

/* Opens a level for the members of an aggregate; an empty one opens none. */
static bool
open_level(struct resp_scan *scan, const struct head *head, bool *ret_open)
{
    int64_t count;
    *ret_open = false;
    if (!parse_number(head->text, head->len, &count))
        return false;
    if (count == -1 && head->type == '*')
        return true;
    if (count < 0 || count > RESP_VALUES_MAX)
        return false;
    size_t members = (size_t)count * (head->type == '%' ? 2 : 1);
    if (members == 0)
        return true;
    if (scan->values + members > RESP_VALUES_MAX || scan->depth == RESP_DEPTH_MAX)
        return false;
    scan->values += members;
    scan->left[scan->depth++] = members;
    *ret_open = true;
    return true;
}

static bool
scalar_is_sound(const struct head *head)
{
    int64_t number;
    switch (head->type) {
    case '+':
    case '-':
    case ',':
    case '(':
        return true;
    case ':':
        return parse_number(head->text, head->len, &number);
    case '_':
        return head->len == 0;
    case '#':
        return head->len == 1 && (head->text[0] == 't' || head->text[0] == 'f');
    default:
        return false;
    }
}

/* One value, without the members of an aggregate. */
static enum resp_result
scan_value(struct resp_scan *scan, const char *data, size_t len, bool *ret_open)
{
    struct head head;
    enum resp_result result = read_head(scan, data, len, &head);
    if (result != RESP_COMPLETE)
        return result;
    size_t next = head.next;
    *ret_open = false;
    switch (head.type) {
    case '$':
    case '!':
    case '=':
        if ((result = scan_string(&head, data, len, &next)) != RESP_COMPLETE)
            return result;
        break;
    case '>': /* only ever at the top */
        if (scan->depth > 0)
            return RESP_BROKEN;
        /* fall through */
    case '*':
    case '~':
    case '%':
        if (!open_level(scan, &head, ret_open))
            return RESP_BROKEN;
        break;
    default:
        if (!scalar_is_sound(&head))
            return RESP_BROKEN;
        break;
    }
    scan->pos = scan->searched = next;
    return RESP_COMPLETE;
}

enum resp_result
resp_scan(struct resp_scan *scan, const char *data, size_t len)
{
    if (scan->values == 0)
        scan->values = 1;
    for (;;) {
        bool opened;
        enum resp_result result = scan_value(scan, data, len, &opened);
        if (result != RESP_COMPLETE)
            return result;
        if (opened)
            continue;
        while (scan->depth > 0 && --scan->left[scan->depth - 1] == 0)
            scan->depth--;
        if (scan->depth == 0)
            return RESP_COMPLETE;
    }
}

/* --- the tree ----------------------------------------------------------------------------------*/

struct tree {
    const char *at;
    struct resp_value *unused; /* next free one of values[] */
};

static size_t
take_line(struct tree *tree, const char **ret_text)
{
    *ret_text = tree->at + 1;
    const char *end = memchr(*ret_text, '\n', RESP_LINE_BYTES_MAX);
    assert(end != NULL);
    tree->at = end + 1;
    return (size_t)(end - 1 - *ret_text);
}

static void
take_string(struct tree *tree, char type, int64_t bytes, struct resp_value *ret)
{
    if (bytes < 0) {
        ret->type = RESP_NIL;
        return;
    }
    ret->type = type == '!' ? RESP_ERROR : RESP_STRING;
    ret->text = (struct remora_slice){ tree->at, (size_t)bytes };
    if (type == '=') { /* "txt:" */
        ret->text.data += 4;
        ret->text.len -= 4;
    }
    tree->at += bytes + 2;
}

static void
take_aggregate(struct tree *tree, char type, int64_t count, struct resp_value *ret)
{
    if (count < 0) {
        ret->type = RESP_NIL;
        return;
    }
    ret->type = type == '%' ? RESP_MAP : type == '>' ? RESP_PUSH : RESP_ARRAY;
    ret->count = (size_t)count * (type == '%' ? 2 : 1);
    ret->items = tree->unused;
    tree->unused += ret->count;
}

static void
take_value(struct tree *tree, struct resp_value *ret)
{
    char type = tree->at[0];
    const char *text;
    size_t len = take_line(tree, &text);
    int64_t number = 0;
    *ret = (struct resp_value){ .type = RESP_NIL };
    switch (type) {
    case '+':
    case '-':
        ret->type = type == '+' ? RESP_STATUS : RESP_ERROR;
        ret->text = (struct remora_slice){ text, len };
        break;
    case ',':
    case '(':
        ret->type = RESP_NUMBER;
        ret->text = (struct remora_slice){ text, len };
        break;
    case ':':
        ret->type = RESP_INTEGER;
        (void)parse_number(text, len, &ret->integer); /* the scan saw that it is one */
        break;
    case '#':
        ret->type = RESP_BOOLEAN;
        ret->integer = text[0] == 't';
        break;
    case '_':
        break;
    case '$':
    case '!':
    case '=':
        (void)parse_number(text, len, &number);
        take_string(tree, type, number, ret);
        break;
    default:
        (void)parse_number(text, len, &number);
        take_aggregate(tree, type, number, ret);
        break;
    }
}

const struct resp_value *
resp_tree(const char *data, struct resp_value *values)
{
    struct {
        struct resp_value *next;
        size_t left;
    } levels[RESP_DEPTH_MAX] = { 0 };
    unsigned depth = 0;
    struct tree tree = { .at = data, .unused = values + 1 };
    struct resp_value *value = values;
    for (;;) {
        struct resp_value *members = tree.unused;
        take_value(&tree, value);
        if (tree.unused > members) {
            assert(depth < RESP_DEPTH_MAX);
            levels[depth].next = members;
            levels[depth++].left = value->count;
        }
        while (depth > 0 && levels[depth - 1].left == 0)
            depth--;
        if (depth == 0)
            return values;
        levels[depth - 1].left--;
        value = levels[depth - 1].next++;
    }
}

bool
resp_is_error(const struct resp_value *value, const char *code)
{
    size_t len = strlen(code);
    return value->type == RESP_ERROR && value->text.len >= len &&
           memcmp(value->text.data, code, len) == 0 &&
           (value->text.len == len || value->text.data[len] == ' ');
}
