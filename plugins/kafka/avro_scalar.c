/* SPDX-License-Identifier: Apache-2.0 */
/* Makes data of JSON that has nothing in it; see avro_writer.h. */
#include "avro_writer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES_MAX = 400 };

/* --- parts -------------------------------------------------------------------------------------*/

bool
writer_spend(struct writer *w, size_t steps)
{
    w->steps = steps > (size_t)w->steps ? 0 : w->steps - (long)steps;
    return w->steps > 0 || avro_fail(&w->words, "the value has too much to be tried");
}

const struct token *
writer_token(const struct writer *w, uint32_t token)
{
    return &w->tokens->list[token];
}

unsigned char
writer_first(const struct writer *w, uint32_t token)
{
    const struct token *it = writer_token(w, token);
    return it->type == TOKEN_STRING ? '"' : (unsigned char)w->tokens->text[it->at];
}

static bool
is_number(const struct writer *w, uint32_t token, const char *text)
{
    const struct token *it = writer_token(w, token);
    return it->type == TOKEN_NUMBER && it->len == strlen(text) &&
           memcmp(w->tokens->text + it->at, text, it->len) == 0;
}

bool
writer_say(struct writer *w, uint32_t token, enum token_unescape how, struct said *ret,
           const char **why)
{
    const struct token *it = writer_token(w, token);
    const char *text = w->tokens->text + it->at;
    *ret = (struct said){ .bytes = text, .len = it->len };
    if (!writer_spend(w, 1 + it->len / WRITER_STEP_BYTES)) {
        *why = NULL;
        return false;
    }
    if (memchr(text, '\\', it->len) == NULL)
        return true;
    ret->made = malloc(it->len + 1);
    if (ret->made == NULL)
        abort();
    ret->bytes = ret->made;
    if (tokens_unescape(w->tokens, token, how, ret->made, &ret->len, why))
        return true;
    free(ret->made);
    return false;
}

static void
put_sized(struct writer *w, const char *bytes, size_t len)
{
    avro_put_long(w->out, (int64_t)len);
    avro_put(w->out, bytes, len);
}

static bool
refuse_kind(struct writer *w, uint32_t token, const char *kind)
{
    unsigned char byte = writer_first(w, token);
    return avro_fail(&w->words, "cannot decode textual %s: expected initial \"; found: U+%04X '%c'",
                     kind, byte, byte);
}

/* --- scalars -----------------------------------------------------------------------------------*/

bool
writer_boolean(struct writer *w, uint32_t token)
{
    uint32_t type = writer_token(w, token)->type;
    if (type != TOKEN_TRUE && type != TOKEN_FALSE)
        return avro_fail(&w->words, "expected false or true");
    avro_put_char(w->out, type == TOKEN_TRUE);
    return true;
}

static bool
refuse_byte(struct writer *w, unsigned char byte)
{
    char shown[8];
    return avro_fail(&w->words, "unexpected byte: %s", avro_show_byte(byte, shown));
}

static bool
refuse_range(struct writer *w, const char *parser, const char *text, size_t len)
{
    return avro_fail(&w->words, "strconv.%s: parsing \"%.*s\": value out of range", parser,
                     len > WRITER_SHOWN ? WRITER_SHOWN : (int)len, text);
}

bool
writer_integer(struct writer *w, uint32_t token, bool is_int)
{
    const struct token *it = writer_token(w, token);
    const char *text = w->tokens->text + it->at;
    bool is_negative = text[0] == '-';
    uint64_t most = (is_int ? INT32_MAX : INT64_MAX) + (uint64_t)is_negative, value = 0;
    if (it->type != TOKEN_NUMBER)
        return refuse_byte(w, writer_first(w, token));
    for (uint32_t i = is_negative; i < it->len; i++) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        if (digit > 9)
            return refuse_byte(w, (unsigned char)text[i]);
        if (value > (most - digit) / 10)
            return refuse_range(w, "ParseInt", text, it->len);
        value = 10 * value + digit;
    }
    avro_put_long(w->out, (int64_t)(is_negative ? 0 - value : value));
    return true;
}

/* Infinity has a number that stands for it, and null is what no number is. */
static bool
parse_floating(struct writer *w, uint32_t token, bool is_float, double *ret)
{
    const struct token *it = writer_token(w, token);
    char text[NUMBER_BYTES_MAX + 1];
    *ret = (double)NAN;
    if (it->type == TOKEN_NULL)
        return true;
    if (it->type != TOKEN_NUMBER)
        return refuse_byte(w, writer_first(w, token));
    if (it->len > NUMBER_BYTES_MAX)
        return avro_fail(&w->words, "a number has too many digits");
    memcpy(text, w->tokens->text + it->at, it->len);
    text[it->len] = '\0';
    *ret = is_float ? (double)strtof(text, NULL) : strtod(text, NULL);
    return isfinite(*ret) || is_number(w, token, "1e999") || is_number(w, token, "-1e999") ||
           refuse_range(w, "ParseFloat", text, it->len);
}

bool
writer_floating(struct writer *w, uint32_t token, bool is_float)
{
    double value;
    if (!parse_floating(w, token, is_float, &value))
        return false;
    float single = (float)value;
    uint32_t low;
    uint64_t bits;
    memcpy(&low, &single, sizeof low);
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value))
        bits = 0x7ff8000000000001; /* Go's */
    if (is_float)
        bits = low;
    for (int i = 0; i < (is_float ? 4 : 8); i++)
        avro_put_char(w->out, (char)(bits >> 8 * i));
    return true;
}

bool
writer_string(struct writer *w, const struct avro_node *node, uint32_t token)
{
    struct said said;
    const char *why, *kind = node->type == AVRO_STRING ? "string" : "bytes";
    if (writer_token(w, token)->type != TOKEN_STRING)
        return refuse_kind(w, token, kind);
    if (!writer_say(w, token, node->type == AVRO_STRING ? TOKEN_AS_TEXT : TOKEN_AS_BYTES, &said,
                    &why))
        return why != NULL && avro_fail(&w->words, "cannot decode textual %s: %s", kind, why);
    if (node->is_decimal)
        said.bytes = (const char *)avro_shorten((const unsigned char *)said.bytes, &said.len);
    put_sized(w, said.bytes, said.len);
    free(said.made);
    return true;
}

bool
writer_fixed(struct writer *w, const struct avro_node *node, uint32_t token)
{
    struct said said;
    const char *why;
    if (writer_token(w, token)->type != TOKEN_STRING)
        return refuse_kind(w, token, "bytes");
    if (!writer_say(w, token, TOKEN_AS_BYTES, &said, &why))
        return why != NULL && avro_fail(&w->words, "cannot decode textual bytes: %s", why);
    bool is_whole = said.len == node->count;
    if (is_whole)
        avro_put(w->out, said.bytes, said.len);
    free(said.made);
    return is_whole || avro_fail(&w->words,
                                 "cannot decode textual fixed \"%s\": datum size ought to equal "
                                 "schema size: %zu != %zu",
                                 node->name, said.len, node->count);
}

static bool
refuse_symbol(struct writer *w, const struct avro_node *node)
{
    (void)avro_fail(&w->words,
                    "cannot decode textual enum \"%s\": value ought to be member of symbols: [",
                    node->name);
    for (size_t i = 0; i < node->count; i++)
        (void)avro_add(&w->words, "%s%s", i > 0 ? " " : "", node->symbols[i]);
    return avro_add(&w->words, "]");
}

bool
writer_enum(struct writer *w, const struct avro_node *node, uint32_t token)
{
    struct said said;
    const char *why;
    if (writer_token(w, token)->type != TOKEN_STRING) {
        (void)refuse_kind(w, token, "string");
        return avro_within(&w->words, "cannot decode textual enum: expected key: ");
    }
    if (!writer_spend(w, node->count))
        return false;
    if (!writer_say(w, token, TOKEN_AS_TEXT, &said, &why))
        return refuse_symbol(w, node);
    size_t at = 0;
    while (at < node->count && (strlen(node->symbols[at]) != said.len ||
                                memcmp(node->symbols[at], said.bytes, said.len) != 0))
        at++;
    free(said.made);
    if (at == node->count)
        return refuse_symbol(w, node);
    avro_put_long(w->out, (int64_t)at);
    return true;
}
