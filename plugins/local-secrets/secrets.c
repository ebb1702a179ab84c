/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of secrets; see secrets.h. */
#include "secrets.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 32 };

struct secrets_entry {
    struct remora_slice secret;
    struct remora_pair pair;
    size_t order; /* of adding */
};

/* --- the set -----------------------------------------------------------------------------------*/

static struct remora_slice
copy(struct remora_slice text)
{
    char *bytes = malloc(text.len + 1);
    if (bytes == NULL)
        abort();
    if (text.len > 0)
        memcpy(bytes, text.data, text.len);
    bytes[text.len] = '\0';
    return (struct remora_slice){ bytes, text.len };
}

static void
wipe(struct remora_slice text)
{
    char *bytes = (char *)(uintptr_t)text.data; /* ours, from copy() */
    if (bytes != NULL)
        explicit_bzero(bytes, text.len);
    free(bytes);
}

static int
compare(struct remora_slice a, struct remora_slice b)
{
    const size_t common = a.len < b.len ? a.len : b.len;
    const int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

struct secrets *
secrets_new(void)
{
    struct secrets *secrets = calloc(1, sizeof *secrets);
    if (secrets == NULL)
        abort();
    return secrets;
}

bool
secrets_add(struct secrets *secrets, struct remora_slice name, struct remora_slice pair_name,
            struct remora_slice value)
{
    secrets->bytes += name.len + pair_name.len + value.len;
    if (secrets->entry_count == SECRETS_COUNT_MAX || secrets->bytes > SECRETS_BYTES_MAX)
        return false;
    if (secrets->entry_count == secrets->entry_room) {
        secrets->entry_room = secrets->entry_room == 0 ? 16 : secrets->entry_room * 2;
        secrets->entries = realloc(secrets->entries,
                                   secrets->entry_room * sizeof *secrets->entries);
        if (secrets->entries == NULL)
            abort();
    }
    secrets->entries[secrets->entry_count] = (struct secrets_entry){
        .secret = copy(name),
        .pair = { copy(pair_name), copy(value) },
        .order = secrets->entry_count,
    };
    secrets->entry_count++;
    return true;
}

static int
compare_entries(const void *a, const void *b)
{
    const struct secrets_entry *x = a, *y = b;
    int order = compare(x->secret, y->secret);
    if (order == 0)
        order = compare(x->pair.name, y->pair.name);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* The next entry in order: a new secret, another pair of the last one, or its last pair again. */
static void
take(struct secrets *secrets, const struct secrets_entry *entry)
{
    struct remora_secret *last = secrets->count == 0 ? NULL : &secrets->items[secrets->count - 1];
    struct remora_pair *at = &secrets->pairs[secrets->pair_count];
    if (last == NULL || compare(last->name, entry->secret) != 0) {
        *at = entry->pair;
        secrets->pair_count++;
        secrets->items[secrets->count++] = (struct remora_secret){ .name = entry->secret,
                                                                   .pairs = at,
                                                                   .pair_count = 1 };
        return;
    }
    wipe(entry->secret);
    if (compare(at[-1].name, entry->pair.name) == 0) {
        wipe(at[-1].name);
        wipe(at[-1].value);
        at[-1] = entry->pair;
    } else {
        *at = entry->pair;
        secrets->pair_count++;
        last->pair_count++;
    }
}

void
secrets_seal(struct secrets *secrets)
{
    secrets->pairs = calloc(secrets->entry_count + 1, sizeof *secrets->pairs);
    secrets->items = calloc(secrets->entry_count + 1, sizeof *secrets->items);
    if (secrets->pairs == NULL || secrets->items == NULL)
        abort();
    if (secrets->entry_count > 1)
        qsort(secrets->entries, secrets->entry_count, sizeof *secrets->entries, compare_entries);
    for (size_t i = 0; i < secrets->entry_count; i++)
        take(secrets, &secrets->entries[i]);
    free(secrets->entries);
    secrets->entries = NULL;
    secrets->entry_count = secrets->entry_room = 0;
}

void
secrets_free(struct secrets *secrets)
{
    if (secrets == NULL)
        return;
    if (secrets->items == NULL) /* it was never sealed */
        secrets_seal(secrets);
    for (size_t i = 0; i < secrets->pair_count; i++) {
        wipe(secrets->pairs[i].name);
        wipe(secrets->pairs[i].value);
    }
    for (size_t i = 0; i < secrets->count; i++)
        wipe(secrets->items[i].name);
    free(secrets->pairs);
    free(secrets->items);
    free(secrets);
}

static int
compare_names(const void *key, const void *item)
{
    return compare(*(const struct remora_slice *)key, ((const struct remora_secret *)item)->name);
}

const struct remora_secret *
secrets_find(const struct secrets *secrets, struct remora_slice name)
{
    if (secrets->count == 0)
        return NULL;
    return bsearch(&name, secrets->items, secrets->count, sizeof *secrets->items, compare_names);
}

/* --- from JSON ---------------------------------------------------------------------------------*/

struct flattening {
    struct secrets *secrets;
    const struct secrets_form *form;
    struct remora_slice secret; /* data NULL: each path is a secret of its own */
    char *path;                 /* names so far; grows with the depth */
    size_t path_room;
    const char *error;
};

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* Whole numbers as they are written, others in the shortest form that reads back the same. */
static const char *
number_text(double number, char ret_text[NUMBER_BYTES])
{
    const double exact_max = 9007199254740992.0; /* 2^53 */
    if (floor(number) == number && fabs(number) <= exact_max) {
        (void)snprintf(ret_text, NUMBER_BYTES, "%.0f", number);
        return ret_text;
    }
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(ret_text, NUMBER_BYTES, "%.*g", digits, number);
        if (strtod(ret_text, NULL) == number)
            break;
    }
    return ret_text;
}

static bool
add_leaf(struct flattening *f, const char *text, size_t path_len)
{
    const struct remora_slice path = { f->path, path_len };
    const struct remora_slice secret = f->secret.data != NULL ? f->secret : path;
    if (secrets_add(f->secrets, secret, path, slice_of(text)))
        return true;
    f->error = "it holds too much";
    return false;
}

/* The path with another name behind it; its new length. */
static size_t
extend(struct flattening *f, size_t path_len, const char *name)
{
    const char *separator = path_len == 0 ? "" : f->form->separator;
    const size_t separator_len = strlen(separator), name_len = strlen(name);
    const size_t len = path_len + separator_len + name_len;
    if (len + 1 > f->path_room) {
        f->path_room = (len + 1) * 2;
        f->path = realloc(f->path, f->path_room);
        if (f->path == NULL)
            abort();
    }
    memcpy(f->path + path_len, separator, separator_len);
    memcpy(f->path + path_len + separator_len, name, name_len);
    return len;
}

static bool
flatten(struct flattening *f, const cJSON *value, size_t path_len, unsigned depth)
{
    char text[NUMBER_BYTES];
    if (cJSON_IsString(value))
        return add_leaf(f, value->valuestring, path_len);
    if (cJSON_IsNumber(value))
        return add_leaf(f, number_text(value->valuedouble, text), path_len);
    if (cJSON_IsBool(value))
        return add_leaf(f, cJSON_IsTrue(value) ? "true" : "false", path_len);
    if (cJSON_IsNull(value))
        return add_leaf(f, "<nil>", path_len); /* what the reference runtime makes of it */
    if (depth == SECRETS_DEPTH_MAX) {
        f->error = "it is nested too deeply";
        return false;
    }
    size_t index = 0;
    for (const cJSON *child = value->child; child != NULL; child = child->next) {
        const char *name = child->string;
        if (name == NULL) { /* of an array */
            (void)snprintf(text, sizeof text, "%zu", index++);
            name = text;
        }
        if (!flatten(f, child, extend(f, path_len, name), depth + 1))
            return false;
    }
    return true;
}

/* Each member is a secret; what it holds is flattened beneath its name. */
static bool
flatten_members(struct flattening *f, const cJSON *root)
{
    for (const cJSON *child = root->child; child != NULL; child = child->next) {
        const bool is_nested = cJSON_IsObject(child) || cJSON_IsArray(child);
        f->secret = slice_of(child->string);
        if (!flatten(f, child, is_nested ? 0 : extend(f, 0, child->string), 1))
            return false;
    }
    return true;
}

/* The tree holds copies of every value. */
static void
wipe_strings(cJSON *node, unsigned depth)
{
    for (; node != NULL && depth <= SECRETS_DEPTH_MAX; node = node->next) {
        if (node->valuestring != NULL)
            explicit_bzero(node->valuestring, strlen(node->valuestring));
        wipe_strings(node->child, depth + 1);
    }
}

struct secrets *
secrets_parse(const char *text, size_t len, const struct secrets_form *form,
              char ret_error[SECRETS_ERROR_BYTES])
{
    const char *end = NULL;
    struct flattening f = { .form = form, .path_room = 256 };
    cJSON *root = cJSON_ParseWithLengthOpts(text, len, &end, false);
    const char *rest = end;
    while (root != NULL && rest < text + len && memchr(" \t\r\n", *rest, 4) != NULL)
        rest++;
    if (root == NULL || rest != text + len || !cJSON_IsObject(root)) {
        (void)snprintf(ret_error, SECRETS_ERROR_BYTES, "not a JSON object (near byte %zu)",
                       end == NULL ? (size_t)0 : (size_t)(end - text));
        wipe_strings(root, 0);
        cJSON_Delete(root);
        return NULL;
    }
    f.secrets = secrets_new();
    f.path = malloc(f.path_room);
    if (f.path == NULL)
        abort();
    const bool ok = form->is_multi_valued ? flatten_members(&f, root) : flatten(&f, root, 0, 0);
    free(f.path);
    wipe_strings(root, 0);
    cJSON_Delete(root);
    if (ok) {
        secrets_seal(f.secrets);
        return f.secrets;
    }
    (void)snprintf(ret_error, SECRETS_ERROR_BYTES, "%s", f.error);
    secrets_free(f.secrets);
    return NULL;
}
