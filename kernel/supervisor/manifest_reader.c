/* SPDX-License-Identifier: Apache-2.0 */
/* Values of plugin.yaml; see manifest_reader.h. */
#include "supervisor/manifest_reader.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/quantity.h"

bool
manifest_complain(struct manifest_reader *r, const yaml_node_t *at, const char *format, ...)
{
    char words[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args); /* cut if too long */
    va_end(args);
    (void)DIAG_FAIL(r->diag, ERR_CONFIG, "%s:%zu: %s", r->manifest->file, at->start_mark.line + 1,
                    words);
    return false;
}

static struct slice
scalar(const yaml_node_t *node)
{
    return slice_of(node->data.scalar.value, node->data.scalar.length);
}

bool
manifest_read_text(struct manifest_reader *r, yaml_node_t *value, const char **ret_text)
{
    if (value->type != YAML_SCALAR_NODE)
        return manifest_complain(r, value, "expected a text here");
    struct slice text = scalar(value);
    if (text.len == 0)
        return manifest_complain(r, value, "expected a text here, found nothing");
    if (slice_find_byte(text, '\0') >= 0 || text.len >= PATH_MAX)
        return manifest_complain(r, value, "a text of at most %d bytes without NUL is expected",
                                 PATH_MAX - 1);
    *ret_text = arena_str(&r->manifest->arena, text);
    return true;
}

bool
manifest_read_word(struct manifest_reader *r, yaml_node_t *value, const char *const *words,
                   const char *expected, int *ret_index)
{
    if (value->type == YAML_SCALAR_NODE)
        for (int i = 0; words[i] != NULL; i++) {
            if (slice_eq_nocase(scalar(value), slice_str(words[i]))) {
                *ret_index = i;
                return true;
            }
        }
    return manifest_complain(r, value, "expected %s", expected);
}

bool
manifest_read_bool(struct manifest_reader *r, yaml_node_t *value, bool *ret_value)
{
    static const char *const words[] = { "no", "false", "off", "yes", "true", "on", NULL };
    int index = 0;
    if (!manifest_read_word(r, value, words, "yes or no", &index))
        return false;
    *ret_value = index >= 3;
    return true;
}

bool
manifest_read_amount(struct manifest_reader *r, yaml_node_t *value, uint64_t max,
                     uint64_t *ret_value)
{
    int64_t amount;
    const char *reason;
    if (value->type != YAML_SCALAR_NODE || !quantity_parse(scalar(value), &amount, &reason) ||
        amount < 1 || (uint64_t)amount > max)
        return manifest_complain(r, value, "expected a number from 1 to %llu, such as 64 or 64Mi",
                                 (unsigned long long)max);
    *ret_value = (uint64_t)amount;
    return true;
}

yaml_node_t *
manifest_node(struct manifest_reader *r, int index)
{
    return yaml_document_get_node(r->document, index);
}

bool
manifest_read_list(struct manifest_reader *r, yaml_node_t *value, struct manifest_list *ret_list)
{
    if (value->type != YAML_SEQUENCE_NODE)
        return manifest_complain(r, value, "expected a list, such as [a, b]");
    size_t count = (size_t)(value->data.sequence.items.top - value->data.sequence.items.start);
    if (count > MANIFEST_ITEMS_MAX)
        return manifest_complain(r, value, "expected at most %d items", MANIFEST_ITEMS_MAX);
    const char **items = ARENA_ARRAY(&r->manifest->arena, const char *, count);
    for (size_t i = 0; i < count; i++)
        if (!manifest_read_text(r, manifest_node(r, value->data.sequence.items.start[i]),
                                &items[i]))
            return false;
    *ret_list = (struct manifest_list){ .items = items, .count = count };
    return true;
}

bool
manifest_read_mapping(struct manifest_reader *r, yaml_node_t *node,
                      const struct manifest_field *fields, const char *what)
{
    if (node->type != YAML_MAPPING_NODE)
        return manifest_complain(r, node, "expected the fields of %s", what);
    uint32_t seen = 0;
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = manifest_node(r, pair->key);
        if (key->type != YAML_SCALAR_NODE)
            return manifest_complain(r, key, "expected the name of a field of %s", what);
        unsigned i = 0;
        while (fields[i].name != NULL && !slice_eq(scalar(key), slice_str(fields[i].name)))
            i++;
        if (fields[i].name == NULL)
            return manifest_complain(r, key, "%s has no field \"" SLICE_FMT "\"", what,
                                     SLICE_ARG(slice_first(scalar(key), 64)));
        if ((seen & 1u << i) != 0)
            return manifest_complain(r, key, "\"%s\" is there twice", fields[i].name);
        seen |= 1u << i;
        if (!fields[i].read(r, manifest_node(r, pair->value)))
            return false;
    }
    return true;
}

ptrdiff_t
manifest_read_items(struct manifest_reader *r, yaml_node_t *value, size_t max, const char *what)
{
    if (value->type != YAML_SEQUENCE_NODE) {
        (void)manifest_complain(r, value, "expected a list of %s", what);
        return -1;
    }
    ptrdiff_t count = value->data.sequence.items.top - value->data.sequence.items.start;
    if ((size_t)count > max) {
        (void)manifest_complain(r, value, "expected at most %zu %s", max, what);
        return -1;
    }
    return count;
}

const char *
manifest_path_beside(const struct manifest *manifest, const char *path, struct arena *arena)
{
    if (path[0] == '/')
        return path;
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (strcmp(path, ".") == 0)
        return manifest->folder;
    return arena_printf(arena, "%s/%s", manifest->folder, path).data;
}
