/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a schema. Names are full ones; a type is looked up as it is written, then within the
 * namespace around it. A schema may hold so many types and no more, and its nesting is bounded, so
 * that a registry cannot make us work or remember for ever.
 */
#include "avro_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODES_MAX = 20000, /* of one schema, fields and branches included */
    NAMED_MAX = 2000,
    FIELDS_MAX = 2000, /* of one record */
    NAME_BYTES_MAX = 1024,
    MEMORY_MAX = 16 * 1024 * 1024,
    PIECE_BYTES = 8 * 1024,
};

struct avro_piece {
    struct avro_piece *next;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
};

struct reading {
    struct avro_schema *schema;
    struct tokens tokens;
    struct avro_words words;
    struct avro_node *named[NAMED_MAX];
    size_t named_count, node_count, depth;
};

static const struct avro_node *
parse_type(struct reading *r, uint32_t token, const char *namespace_);

/* --- memory ------------------------------------------------------------------------------------*/

/* Zeroed; NULL: the schema takes too much. */
static void *
allocate(struct reading *r, size_t bytes)
{
    struct avro_schema *schema = r->schema;
    struct avro_piece *piece = schema->pieces;
    bytes = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (bytes > MEMORY_MAX - schema->bytes) {
        (void)avro_fail(&r->words, "the schema is too large");
        return NULL;
    }
    if (piece == NULL || bytes > piece->size - piece->used) {
        size_t size = bytes > PIECE_BYTES ? bytes : PIECE_BYTES;
        piece = calloc(1, sizeof *piece + size);
        if (piece == NULL)
            abort();
        piece->next = schema->pieces;
        piece->size = size;
        schema->pieces = piece;
    }
    void *memory = piece->bytes + piece->used;
    piece->used += bytes;
    schema->bytes += bytes;
    return memory;
}

static struct avro_node *
new_node(struct reading *r, enum avro_type type, const char *name, size_t parts)
{
    r->node_count += 1 + parts;
    if (r->node_count > NODES_MAX) {
        (void)avro_fail(&r->words, "the schema has too many types");
        return NULL;
    }
    struct avro_node *node = allocate(r, sizeof *node);
    if (node != NULL)
        *node = (struct avro_node){ .type = type, .name = name, .namespace_ = "" };
    return node;
}

/* What a string says, without zero bytes. NULL: it is no such string. */
static const char *
parse_text(struct reading *r, uint32_t token, const char *what)
{
    const char *why;
    size_t len = 0;
    const struct token *it = &r->tokens.list[token];
    if (it->type != TOKEN_STRING || it->len > NAME_BYTES_MAX) {
        (void)avro_fail(&r->words, "%s ought to be non-empty string", what);
        return NULL;
    }
    char *text = allocate(r, it->len + 1);
    if (text == NULL)
        return NULL;
    if (!tokens_unescape(&r->tokens, token, TOKEN_AS_TEXT, text, &len, &why) ||
        memchr(text, '\0', len) != NULL) {
        (void)avro_fail(&r->words, "%s ought to be a name", what);
        return NULL;
    }
    return text;
}

/* --- names -------------------------------------------------------------------------------------*/

static bool
is_part(const char *part, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = part[i];
        bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!is_letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return len > 0;
}

/* Whether each part between dots is one. */
static bool
is_name(struct reading *r, const char *name)
{
    for (const char *at = name;; at++) {
        size_t len = strcspn(at, ".");
        if (len == 0)
            return avro_fail(&r->words, "schema name ought to be non-empty string");
        if (!is_part(at, len))
            return avro_fail(&r->words,
                             strcspn(at, "0123456789") == 0
                                 ? "schema name ought to start with [A-Za-z_]: %.*s"
                                 : "schema name ought to contain only [A-Za-z0-9_]: %.*s",
                             (int)len, at);
        at += len;
        if (*at == '\0')
            return true;
    }
}

/* Full name and namespace of a type that is defined. */
static bool
name_node(struct reading *r, struct avro_node *node, uint32_t token, const char *around)
{
    uint32_t name_token = tokens_member(&r->tokens, token, "name");
    uint32_t space_token = tokens_member(&r->tokens, token, "namespace");
    if (name_token == 0)
        return avro_fail(&r->words, "schema ought to have name key");
    const char *name = parse_text(r, name_token, "schema name");
    const char *space = space_token == 0 ? "" : parse_text(r, space_token, "schema namespace");
    if (name == NULL || space == NULL)
        return false;
    if (space[0] == '\0')
        space = around;
    if (strchr(name, '.') == NULL && space[0] != '\0') {
        size_t bytes = strlen(space) + strlen(name) + 2;
        char *full = allocate(r, bytes);
        if (full == NULL)
            return false;
        (void)snprintf(full, bytes, "%s.%s", space, name);
        name = full;
    }
    const char *dot = strrchr(name, '.');
    size_t len = dot == NULL ? 0 : (size_t)(dot - name);
    char *own = allocate(r, len + 1);
    if (own == NULL)
        return false;
    memcpy(own, name, len);
    node->name = name;
    node->namespace_ = own;
    return is_name(r, name);
}

static struct avro_node *
find_named(const struct reading *r, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < r->named_count; i++)
        if (strncmp(r->named[i]->name, name, len + 1) == 0)
            return r->named[i];
    return NULL;
}

static const struct avro_node *
find_within(const struct reading *r, const char *namespace_, const char *name)
{
    size_t len = strlen(namespace_), name_bytes = strlen(name) + 1;
    for (size_t i = 0; i < r->named_count && len > 0; i++) {
        const char *full = r->named[i]->name;
        if (strncmp(full, namespace_, len) == 0 && full[len] == '.' &&
            strncmp(full + len + 1, name, name_bytes) == 0)
            return r->named[i];
    }
    return NULL;
}

static bool
define(struct reading *r, struct avro_node *node)
{
    if (find_named(r, node->name) != NULL)
        return avro_fail(&r->words, "%s is defined twice", node->name);
    if (r->named_count == NAMED_MAX)
        return avro_fail(&r->words, "the schema has too many names");
    r->named[r->named_count++] = node;
    return true;
}

/* --- plain types -------------------------------------------------------------------------------*/

/* Logical types that have a name of their own among a union's branches. */
static const struct {
    const char *base, *logical, *name;
} logical_types[] = {
    { "int", "date", "int.date" },
    { "int", "time-millis", "int.time-millis" },
    { "long", "time-micros", "long.time-micros" },
    { "long", "timestamp-millis", "long.timestamp-millis" },
    { "long", "timestamp-micros", "long.timestamp-micros" },
    { "bytes", "decimal", "bytes.decimal" },
};

/* A whole number of a schema, as far as it matters; -1: it is none. */
static int64_t
parse_size(const struct tokens *tokens, uint32_t token)
{
    const struct token *it = &tokens->list[token];
    int64_t value = 0;
    if (token == 0 || (it->type != TOKEN_NUMBER && it->type != TOKEN_STRING) || it->len == 0)
        return -1;
    for (uint32_t i = 0; i < it->len; i++) {
        char c = tokens->text[it->at + i];
        if (c < '0' || c > '9' || value > INT32_MAX)
            return -1;
        value = 10 * value + (c - '0');
    }
    return value > INT32_MAX ? -1 : value;
}

/* What does not fit together is no decimal, but what it is stored as. */
static bool
is_decimal(const struct tokens *tokens, uint32_t token)
{
    int64_t precision = parse_size(tokens, tokens_member(tokens, token, "precision"));
    uint32_t scale_token = tokens_member(tokens, token, "scale");
    int64_t scale = scale_token == 0 ? 0 : parse_size(tokens, scale_token);
    return precision >= 1 && scale >= 0 && scale <= precision;
}

/* NULL: the name is of no plain type, which is no trouble. `token` is the name or has it. */
static struct avro_node *
parse_plain(struct reading *r, const char *name, uint32_t token)
{
    static const char *const names[] = { "null",  "boolean", "int",   "long",
                                         "float", "double",  "bytes", "string" };
    uint32_t logical = tokens_member(&r->tokens, token, "logicalType");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        struct avro_node *node = new_node(r, (enum avro_type)(AVRO_NULL + i), names[i], 0);
        for (size_t j = 0; j < sizeof logical_types / sizeof logical_types[0]; j++)
            if (node != NULL && logical != 0 && strcmp(logical_types[j].base, name) == 0 &&
                tokens_is(&r->tokens, logical, logical_types[j].logical) &&
                (node->type != AVRO_BYTES || is_decimal(&r->tokens, token))) {
                node->name = logical_types[j].name;
                node->is_decimal = node->type == AVRO_BYTES;
            }
        return node;
    }
    return NULL;
}

/* --- types with something in them --------------------------------------------------------------*/

static const struct avro_node *
parse_items(struct reading *r, uint32_t token, const char *namespace_, bool is_map)
{
    uint32_t inner = tokens_member(&r->tokens, token, is_map ? "values" : "items");
    struct avro_node *node = new_node(r, is_map ? AVRO_MAP : AVRO_ARRAY, is_map ? "map" : "array",
                                      0);
    if (node == NULL)
        return NULL;
    if (inner == 0) {
        (void)avro_fail(&r->words,
                        is_map ? "Map ought to have values key" : "Array ought to have items key");
        return NULL;
    }
    node->items = parse_type(r, inner, namespace_);
    if (node->items != NULL)
        return node;
    (void)avro_within(&r->words, is_map ? "Map values ought to be valid Avro type: "
                                        : "Array items ought to be valid Avro type: ");
    return NULL;
}

static const struct avro_node *
parse_fixed(struct reading *r, uint32_t token, const char *namespace_)
{
    struct avro_node *node = new_node(r, AVRO_FIXED, NULL, 0);
    if (node == NULL)
        return NULL;
    if (!name_node(r, node, token, namespace_) || !define(r, node)) {
        (void)avro_within(&r->words, "Fixed ought to have valid name: ");
        return NULL;
    }
    uint32_t size_token = tokens_member(&r->tokens, token, "size");
    int64_t size = parse_size(&r->tokens, size_token);
    if (size > 0) {
        node->count = (size_t)size;
        return node;
    }
    (void)avro_fail(&r->words,
                    size_token == 0 ? "Fixed \"%s\" ought to have size key"
                                    : "Fixed \"%s\" size ought to be number greater than zero",
                    node->name);
    return NULL;
}

static const struct avro_node *
parse_enum(struct reading *r, uint32_t token, const char *namespace_)
{
    uint32_t list = tokens_member(&r->tokens, token, "symbols");
    const struct token *it = &r->tokens.list[list];
    bool has_symbols = list != 0 && it->type == TOKEN_ARRAY && it->count > 0;
    struct avro_node *node = new_node(r, AVRO_ENUM, NULL, has_symbols ? it->count : 0);
    if (node == NULL)
        return NULL;
    if (!name_node(r, node, token, namespace_) || !define(r, node)) {
        (void)avro_within(&r->words, "Enum ought to have valid name: ");
        return NULL;
    }
    if (!has_symbols) {
        (void)avro_fail(&r->words,
                        list == 0 ? "Enum \"%s\" ought to have symbols key"
                                  : "Enum \"%s\" symbols ought to be non-empty array of strings",
                        node->name);
        return NULL;
    }
    node->symbols = allocate(r, it->count * sizeof *node->symbols);
    for (uint32_t at = list + 1; node->symbols != NULL && at < it->end;
         at = r->tokens.list[at].end) {
        const char *symbol = parse_text(r, at, "symbol");
        if (symbol == NULL || !is_part(symbol, strlen(symbol))) {
            (void)avro_fail(&r->words, "Enum \"%s\" symbol %zu ought to be a name", node->name,
                            node->count + 1);
            return NULL;
        }
        node->symbols[node->count++] = symbol;
    }
    return node->symbols == NULL ? NULL : node;
}

/* Where a branch's name belongs among those before it. */
static void
sort_in(struct avro_node *node, uint32_t branch)
{
    size_t at = branch;
    while (at > 0 &&
           strcmp(node->branches[node->sorted[at - 1]]->name, node->branches[branch]->name) > 0) {
        node->sorted[at] = node->sorted[at - 1];
        at--;
    }
    node->sorted[at] = branch;
}

static bool
parse_branch(struct reading *r, struct avro_node *node, uint32_t token, const char *namespace_)
{
    const struct avro_node *branch = parse_type(r, token, namespace_);
    if (branch == NULL)
        return avro_within(&r->words,
                           "Union item %zu ought to be valid Avro type: ", node->count + 1);
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->branches[i]->name, branch->name) == 0)
            return avro_fail(&r->words, "Union item %zu ought to be unique type: %s",
                             node->count + 1, branch->name);
    node->branches[node->count] = branch;
    sort_in(node, (uint32_t)node->count);
    node->count++;
    return true;
}

static const struct avro_node *
parse_union(struct reading *r, uint32_t token, const char *namespace_)
{
    const struct token *it = &r->tokens.list[token];
    if (it->count == 0 || it->count > FIELDS_MAX) {
        (void)avro_fail(&r->words, it->count == 0 ? "Union ought to have one or more members"
                                                  : "Union has too many members");
        return NULL;
    }
    struct avro_node *node = new_node(r, AVRO_UNION, "union", it->count);
    if (node == NULL)
        return NULL;
    node->branches = allocate(r, it->count * sizeof *node->branches);
    node->sorted = allocate(r, it->count * sizeof *node->sorted);
    if (node->branches == NULL || node->sorted == NULL)
        return NULL;
    for (uint32_t at = token + 1; at < it->end; at = r->tokens.list[at].end)
        if (!parse_branch(r, node, at, namespace_))
            return NULL;
    return node;
}

static bool
parse_field(struct reading *r, struct avro_node *node, uint32_t token)
{
    struct avro_field *field = &node->fields[node->count];
    size_t number = node->count + 1;
    uint32_t name = tokens_member(&r->tokens, token, "name");
    uint32_t type = tokens_member(&r->tokens, token, "type");
    if (type == 0)
        return avro_fail(&r->words,
                         "Record \"%s\" field %zu ought to be valid Avro named type: missing type",
                         node->name, number);
    field->node = parse_type(r, type, node->namespace_);
    if (field->node == NULL)
        return avro_within(&r->words, "Record \"%s\" field %zu ought to be valid Avro named type: ",
                           node->name, number);
    field->name = name == 0 ? NULL : parse_text(r, name, "name");
    if (field->name == NULL || !is_part(field->name, strlen(field->name)))
        return avro_fail(&r->words, "Record \"%s\" field %zu ought to have valid name", node->name,
                         number);
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->fields[i].name, field->name) == 0)
            return avro_fail(&r->words, "Record \"%s\" field %zu ought to have unique name: \"%s\"",
                             node->name, number, field->name);
    field->default_token = tokens_member(&r->tokens, token, "default");
    node->count++;
    return true;
}

static void
keep_record(struct avro_schema *schema, struct avro_node *node)
{
    struct avro_node **records = realloc(schema->records,
                                         (schema->record_count + 1) * sizeof *records);
    if (records == NULL)
        abort();
    schema->records = records;
    records[schema->record_count++] = node;
}

static const struct avro_node *
parse_record(struct reading *r, uint32_t token, const char *namespace_)
{
    uint32_t list = tokens_member(&r->tokens, token, "fields");
    const struct token *it = &r->tokens.list[list];
    bool has_fields = list != 0 && it->type == TOKEN_ARRAY && it->count <= FIELDS_MAX;
    struct avro_node *node = new_node(r, AVRO_RECORD, NULL, has_fields ? it->count : 0);
    if (node == NULL)
        return NULL;
    if (!name_node(r, node, token, namespace_) || !define(r, node)) {
        (void)avro_within(&r->words, "Record ought to have valid name: ");
        return NULL;
    }
    if (!has_fields) {
        (void)avro_fail(&r->words,
                        list == 0 ? "Record \"%s\" ought to have fields key"
                                  : "Record \"%s\" fields ought to be an array, not too long",
                        node->name);
        return NULL;
    }
    node->fields = allocate(r, it->count * sizeof *node->fields);
    if (node->fields == NULL)
        return NULL;
    keep_record(r->schema, node);
    for (uint32_t at = list + 1; at < it->end; at = r->tokens.list[at].end)
        if (!parse_field(r, node, at))
            return NULL;
    return node;
}

/* --- any type ----------------------------------------------------------------------------------*/

/* By a name, which the token is, or which it has beside what else is to be said. */
static const struct avro_node *
parse_by_name(struct reading *r, const char *name, uint32_t token, const char *namespace_)
{
    bool is_object = r->tokens.list[token].type == TOKEN_OBJECT;
    r->words.text[0] = '\0';
    const struct avro_node *node = parse_plain(r, name, token);
    if (node == NULL && r->words.text[0] == '\0')
        node = find_named(r, name);
    if (node != NULL || r->words.text[0] != '\0')
        return node;
    if ((node = find_within(r, namespace_, name)) != NULL)
        return node;
    if (is_object && strcmp(name, "record") == 0)
        return parse_record(r, token, namespace_);
    if (is_object && strcmp(name, "enum") == 0)
        return parse_enum(r, token, namespace_);
    if (is_object && strcmp(name, "fixed") == 0)
        return parse_fixed(r, token, namespace_);
    if (is_object && (strcmp(name, "array") == 0 || strcmp(name, "map") == 0))
        return parse_items(r, token, namespace_, name[0] == 'm');
    (void)avro_fail(&r->words, "unknown type name: \"%s\"", name);
    return NULL;
}

static const struct avro_node *
parse_one(struct reading *r, uint32_t token, const char *namespace_)
{
    const struct token *it = &r->tokens.list[token];
    if (it->type == TOKEN_ARRAY)
        return parse_union(r, token, namespace_);
    uint32_t type = it->type == TOKEN_OBJECT ? tokens_member(&r->tokens, token, "type") : token;
    uint32_t kind = r->tokens.list[type].type;
    if (type == 0 && it->type == TOKEN_OBJECT) {
        (void)avro_fail(&r->words, "missing type");
        return NULL;
    }
    if (kind == TOKEN_STRING) {
        const char *name = parse_text(r, type, "type");
        return name == NULL ? NULL : parse_by_name(r, name, token, namespace_);
    }
    if (type != token && (kind == TOKEN_OBJECT || kind == TOKEN_ARRAY))
        return parse_type(r, type, namespace_);
    (void)avro_fail(&r->words, "unknown schema type");
    return NULL;
}

static const struct avro_node *
parse_type(struct reading *r, uint32_t token, const char *namespace_)
{
    if (r->depth == AVRO_DEPTH_MAX) {
        (void)avro_fail(&r->words, "the schema is nested too deeply");
        return NULL;
    }
    r->depth++;
    const struct avro_node *node = parse_one(r, token, namespace_);
    r->depth--;
    return node;
}

/* --- the life ----------------------------------------------------------------------------------*/

static bool
parse_schema(struct reading *r, const char *text, size_t len)
{
    const char *why;
    if (len > AVRO_SCHEMA_BYTES_MAX)
        return avro_fail(&r->words, "the schema is too large");
    if (!tokens_read(&r->tokens, text, len, &why))
        return avro_fail(&r->words, "cannot unmarshal schema JSON: %s", why);
    r->schema->root = parse_type(r, 0, "");
    bool is_read = r->schema->root != NULL &&
                   avro_encode_defaults(r->schema, &r->tokens, &r->words);
    tokens_fini(&r->tokens);
    return is_read;
}

struct avro_schema *
avro_schema_new(const char *text, size_t len, char why[AVRO_WHY_BYTES])
{
    struct avro_schema *schema = calloc(1, sizeof *schema);
    struct reading *r = calloc(1, sizeof *r);
    if (schema == NULL || r == NULL)
        abort();
    schema->refs = 1;
    r->schema = schema;
    r->words.text = why;
    why[0] = '\0';
    bool is_read = parse_schema(r, text, len);
    free(r);
    if (is_read)
        return schema;
    avro_schema_unref(schema);
    return NULL;
}

struct avro_schema *
avro_schema_ref(struct avro_schema *schema)
{
    schema->refs++;
    return schema;
}

void
avro_schema_unref(struct avro_schema *schema)
{
    if (schema == NULL || --schema->refs > 0)
        return;
    for (size_t i = 0; i < schema->record_count; i++)
        for (size_t j = 0; j < schema->records[i]->count; j++)
            free(schema->records[i]->fields[j].fallback);
    free(schema->records);
    while (schema->pieces != NULL) {
        struct avro_piece *piece = schema->pieces;
        schema->pieces = piece->next;
        free(piece);
    }
    free(schema);
}

size_t
avro_schema_bytes(const struct avro_schema *schema)
{
    return sizeof *schema + schema->bytes;
}
