/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes data of JSON. A union's branch is found by trying: of a number and of an object the
 * branches in the order of their names, of anything else in that of the schema, as the reference
 * does with the first value it sees. Trying has its price, so that steps are counted.
 */
#include <stdlib.h>
#include <string.h>

#include "avro_writer.h"

enum {
    STEPS_MAX = 5 * 1000 * 1000,      /* of one value: a fraction of a second */
    TRY_STEPS = 4,                    /* what a branch costs that does not take a value */
    DEFAULTS_BYTES_MAX = 1024 * 1024, /* of one schema */
};

static bool write_value(struct writer *w, const struct avro_node *node, uint32_t token);

/* --- values with something in them -------------------------------------------------------------*/

static bool
expect(struct writer *w, uint32_t token, enum token_type type)
{
    char shown[8];
    return writer_token(w, token)->type == type ||
           avro_fail(&w->words, "expected: '%c'; actual: %s", type == TOKEN_OBJECT ? '{' : '[',
                     avro_show_byte(writer_first(w, token), shown));
}

static bool
write_array(struct writer *w, const struct avro_node *node, uint32_t token)
{
    const struct token *it = writer_token(w, token);
    if (!expect(w, token, TOKEN_ARRAY))
        return avro_within(&w->words, "cannot decode textual array: ");
    if (it->count > 0)
        avro_put_long(w->out, it->count);
    for (uint32_t at = token + 1; at < it->end; at = writer_token(w, at)->end)
        if (!write_value(w, node->items, at))
            return avro_within(&w->words, "cannot decode textual array: ");
    avro_put_long(w->out, 0);
    return true;
}

/* Words of trouble with a member: its name, as far as it can be shown. */
static void
show_name(const struct writer *w, uint32_t token, char ret[WRITER_SHOWN + 1])
{
    const struct token *it = writer_token(w, token);
    size_t len = it->len > WRITER_SHOWN ? WRITER_SHOWN : it->len;
    for (size_t i = 0; i < len; i++) {
        char c = w->tokens->text[it->at + i];
        ret[i] = (unsigned char)c < ' ' || c == 0x7f ? '?' : c;
    }
    ret[len] = '\0';
}

static bool
write_pair(struct writer *w, const struct avro_node *node, uint32_t token, struct avro_keys *keys)
{
    struct said said;
    const char *why;
    char name[WRITER_SHOWN + 1];
    if (!writer_say(w, token, TOKEN_AS_TEXT, &said, &why))
        return why != NULL &&
               avro_fail(&w->words, "cannot decode textual map: expected key: %s", why);
    avro_put_long(w->out, (int64_t)said.len);
    avro_keys_add(keys, w->out->len, said.len);
    avro_put(w->out, said.bytes, said.len);
    free(said.made);
    if (write_value(w, node->items, token + 1))
        return true;
    show_name(w, token, name);
    return avro_add(&w->words, " for key: \"%s\"", name);
}

static bool
write_map(struct writer *w, const struct avro_node *node, uint32_t token)
{
    const struct token *it = writer_token(w, token);
    struct avro_keys keys = { .list = NULL };
    bool is_written = true;
    if (!expect(w, token, TOKEN_OBJECT))
        return false;
    if (it->count > 0)
        avro_put_long(w->out, it->count);
    for (uint32_t at = token + 1; is_written && at < it->end; at = writer_token(w, at + 1)->end)
        is_written = write_pair(w, node, at, &keys);
    if (is_written && !w->out->is_full && avro_keys_repeat(&keys, w->out->data))
        is_written = avro_fail(&w->words, "cannot decode textual map: duplicate key");
    free(keys.list);
    avro_put_long(w->out, 0);
    return is_written;
}

/* --- records -----------------------------------------------------------------------------------*/

/* The field that a member names, looked for from where the last one was: mostly it is the next.
 * The count of fields: there is none. */
static size_t
find_field(struct writer *w, const struct avro_node *node, const struct said *name, size_t from)
{
    for (size_t i = 0; i < node->count; i++) {
        size_t at = (from + i) % node->count;
        const char *own = node->fields[at].name;
        if (!writer_spend(w, 1))
            break;
        if (strncmp(own, name->bytes, name->len) == 0 && own[name->len] == '\0')
            return at;
    }
    return node->count;
}

/* The values of fields, as tokens, in the order of the fields. */
static bool
sort_members(struct writer *w, const struct avro_node *node, uint32_t token, uint32_t *values,
             size_t *ret_count)
{
    const struct token *it = writer_token(w, token);
    size_t next = 0;
    for (uint32_t at = token + 1; at < it->end; at = writer_token(w, at + 1)->end) {
        struct said said;
        const char *why;
        char name[WRITER_SHOWN + 1];
        if (!writer_say(w, at, TOKEN_AS_TEXT, &said, &why))
            return why != NULL &&
                   avro_fail(&w->words, "cannot decode textual map: expected key: %s", why);
        size_t field = memchr(said.bytes, '\0', said.len) != NULL
                           ? node->count
                           : find_field(w, node, &said, next);
        free(said.made);
        show_name(w, at, name);
        if (field == node->count)
            return avro_fail(&w->words, "cannot decode textual map: cannot determine codec: \"%s\"",
                             name);
        if (values[field] != 0)
            return avro_fail(&w->words, "cannot decode textual map: duplicate key: \"%s\"", name);
        values[field] = at + 1;
        next = field + 1;
        ++*ret_count;
    }
    return true;
}

static bool
write_default(struct writer *w, const struct avro_field *field)
{
    if (w->is_default)
        return write_value(w, field->node, field->default_token);
    avro_put(w->out, field->fallback, field->fallback_len);
    return writer_spend(w, 1 + field->fallback_len / WRITER_STEP_BYTES);
}

static bool
write_fields(struct writer *w, const struct avro_node *node, uint32_t token, uint32_t *values)
{
    size_t count = 0;
    if (!sort_members(w, node, token, values, &count))
        return false;
    for (size_t i = 0; i < node->count; i++)
        count += values[i] == 0 && node->fields[i].default_token != 0;
    if (count < node->count)
        return avro_fail(&w->words, "only found %zu of %zu fields", count, node->count);
    for (size_t i = 0; i < node->count; i++)
        if (!(values[i] == 0 ? write_default(w, &node->fields[i])
                             : write_value(w, node->fields[i].node, values[i])))
            return avro_add(&w->words, " for key: \"%s\"", node->fields[i].name);
    return true;
}

static bool
write_record(struct writer *w, const struct avro_node *node, uint32_t token)
{
    uint32_t *values = calloc(node->count + 1, sizeof *values);
    if (values == NULL)
        abort();
    bool is_written = expect(w, token, TOKEN_OBJECT) &&
                      writer_spend(w, 1 + node->count / WRITER_STEP_BYTES) &&
                      write_fields(w, node, token, values);
    free(values);
    return is_written ||
           avro_within(&w->words, "cannot decode textual record \"%s\": ", node->name);
}

/* --- unions ------------------------------------------------------------------------------------*/

static bool
take_branch(struct writer *w, const struct avro_node *node, size_t branch, uint32_t token)
{
    avro_put_long(w->out, (int64_t)branch);
    return write_value(w, node->branches[branch], token);
}

/* Of one that does not take the value nothing is left, and no words are made. */
static bool
try_branch(struct writer *w, const struct avro_node *node, size_t branch, uint32_t token)
{
    size_t len = w->out->len;
    char *text = w->words.text;
    w->words.text = NULL;
    bool is_taken = take_branch(w, node, branch, token);
    w->words.text = text;
    if (is_taken)
        return true;
    w->out->len = len;
    (void)writer_spend(w, TRY_STEPS);
    return false;
}

static bool
find_null(const struct avro_node *node, size_t *ret_branch)
{
    for (*ret_branch = 0; *ret_branch < node->count; ++*ret_branch)
        if (node->branches[*ret_branch]->type == AVRO_NULL)
            return true;
    return false;
}

/* The branch is the first that takes the value. */
static bool
write_untagged(struct writer *w, const struct avro_node *node, uint32_t token)
{
    uint32_t type = writer_token(w, token)->type;
    bool is_by_name = type == TOKEN_NUMBER || type == TOKEN_OBJECT;
    size_t null;
    if (type == TOKEN_NULL && find_null(node, &null))
        return take_branch(w, node, null, token);
    for (size_t i = 0; i < node->count && w->steps > 0 && !w->out->is_full; i++) {
        size_t branch = is_by_name ? node->sorted[i] : i;
        if (node->branches[branch]->type != AVRO_NULL && try_branch(w, node, branch, token))
            return true;
    }
    return avro_fail(&w->words, w->steps > 0 && !w->out->is_full
                                    ? "could not decode any json data in input"
                                    : "the value has too much to be tried");
}

static bool
write_tagged(struct writer *w, const struct avro_node *node, uint32_t token)
{
    const struct token *it = writer_token(w, token);
    char name[WRITER_SHOWN + 1];
    size_t branch;
    if (it->type == TOKEN_NULL && find_null(node, &branch))
        return take_branch(w, node, branch, token);
    if (!expect(w, token, TOKEN_OBJECT))
        return avro_within(&w->words, "cannot decode textual union: ");
    if (it->count != 1)
        return avro_fail(&w->words,
                         "cannot encode binary union: non-nil Union values ought to be specified "
                         "with Go map[string]interface{}, with single key equal to type name, and "
                         "value equal to datum value");
    for (branch = 0; branch < node->count; branch++)
        if (tokens_is(w->tokens, token + 1, node->branches[branch]->name))
            break;
    show_name(w, token + 1, name);
    if (branch == node->count)
        return avro_fail(&w->words,
                         "cannot decode textual union: cannot decode textual map: cannot determine "
                         "codec: \"%s\"",
                         name);
    if (take_branch(w, node, branch, token + 2))
        return true;
    (void)avro_within(&w->words, "cannot decode textual union: ");
    return avro_add(&w->words, " for key: \"%s\"", name);
}

/* Of a default the first branch decides, if it can; the text null stands for null as well. */
static bool
write_first(struct writer *w, const struct avro_node *node, uint32_t token)
{
    if (node->branches[0]->type == AVRO_NULL && tokens_is(w->tokens, token, "null")) {
        avro_put_long(w->out, 0);
        return true;
    }
    for (size_t i = 0; i < node->count && w->steps > 0 && !w->out->is_full; i++)
        if (try_branch(w, node, i, token))
            return true;
    return avro_fail(&w->words, "no branch of the union takes it");
}

static bool
write_union(struct writer *w, const struct avro_node *node, uint32_t token)
{
    if (w->is_default)
        return write_first(w, node, token);
    return w->is_tagged ? write_tagged(w, node, token) : write_untagged(w, node, token);
}

/* --- any value ---------------------------------------------------------------------------------*/

static bool
write_typed(struct writer *w, const struct avro_node *node, uint32_t token)
{
    switch (node->type) {
    case AVRO_NULL:
        return writer_token(w, token)->type == TOKEN_NULL ||
               avro_fail(&w->words, "cannot decode textual null: expected: null");
    case AVRO_BOOLEAN:
        return writer_boolean(w, token);
    case AVRO_INT:
    case AVRO_LONG:
        return writer_integer(w, token, node->type == AVRO_INT);
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return writer_floating(w, token, node->type == AVRO_FLOAT);
    case AVRO_BYTES:
    case AVRO_STRING:
        return writer_string(w, node, token);
    case AVRO_ARRAY:
        return write_array(w, node, token);
    case AVRO_MAP:
        return write_map(w, node, token);
    case AVRO_FIXED:
        return writer_fixed(w, node, token);
    case AVRO_ENUM:
        return writer_enum(w, node, token);
    case AVRO_UNION:
        return write_union(w, node, token);
    case AVRO_RECORD:
        return write_record(w, node, token);
    }
    return false;
}

static bool
write_value(struct writer *w, const struct avro_node *node, uint32_t token)
{
    if (!writer_spend(w, 1))
        return false;
    if (w->out->is_full)
        return avro_fail(&w->words, "the value is too large");
    if (w->depth == AVRO_DEPTH_MAX)
        return avro_fail(&w->words, "the value is nested too deeply");
    w->depth++;
    bool is_written = write_typed(w, node, token);
    w->depth--;
    return is_written;
}

bool
avro_from_json(const struct avro_schema *schema, const char *json, size_t len, enum avro_json kind,
               struct avro_bytes *out, char why[AVRO_WHY_BYTES])
{
    struct tokens tokens;
    const char *words;
    struct writer w = { .tokens = &tokens,
                        .out = out,
                        .is_tagged = kind == AVRO_JSON_TAGGED,
                        .steps = STEPS_MAX,
                        .words = { .text = why } };
    if (!tokens_read(&tokens, json, len, &words))
        return avro_fail(&w.words, "cannot decode textual value: %s", words);
    bool is_written = write_value(&w, schema->root, 0) &&
                      (!out->is_full || avro_fail(&w.words, "the value is too large"));
    tokens_fini(&tokens);
    return is_written;
}

/* --- defaults ----------------------------------------------------------------------------------*/

static bool
encode_default(struct writer *w, struct avro_field *field)
{
    struct avro_bytes out = { .max = DEFAULTS_BYTES_MAX };
    struct writer own = *w;
    own.out = &out;
    bool is_written = write_value(&own, field->node, field->default_token) &&
                      (!out.is_full || avro_fail(&w->words, "the value is too large"));
    w->steps = own.steps;
    avro_put_char(&out, '\0'); /* there is something, also of nothing */
    if (!is_written || out.is_full) {
        avro_bytes_fini(&out);
        return false;
    }
    field->fallback = out.data;
    field->fallback_len = out.len - 1;
    return true;
}

bool
avro_encode_defaults(struct avro_schema *schema, const struct tokens *tokens,
                     struct avro_words *words)
{
    struct writer w = { .tokens = tokens, .is_default = true, .steps = STEPS_MAX, .words = *words };
    size_t bytes = 0;
    for (size_t i = 0; i < schema->record_count; i++)
        for (size_t j = 0; j < schema->records[i]->count; j++) {
            struct avro_node *node = schema->records[i];
            struct avro_field *field = &node->fields[j];
            if (field->default_token == 0)
                continue;
            if (!encode_default(&w, field))
                return avro_within(words,
                                   "Record \"%s\" field \"%s\": default value ought to encode "
                                   "using field schema: ",
                                   node->name, field->name);
            bytes += field->fallback_len;
            if (bytes > DEFAULTS_BYTES_MAX)
                return avro_fail(words, "the schema's defaults are too large");
        }
    schema->bytes += bytes;
    return true;
}
