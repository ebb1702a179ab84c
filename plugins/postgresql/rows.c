/* SPDX-License-Identifier: Apache-2.0 */
/* Items by themselves; see rows.h. */
#include "rows.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

void
rows_init(struct rows *rows)
{
    *rows = (struct rows){ .count = 0 };
    rows->tail = &rows->first;
}

void
rows_fini(struct rows *rows)
{
    for (struct row *row = rows->first, *next; row != NULL; row = next) {
        next = row->next;
        free(row);
    }
    rows_init(rows);
}

void
rows_add(struct rows *rows, struct row *row)
{
    row->next = NULL;
    *rows->tail = row;
    rows->tail = &row->next;
    rows->count++;
    rows->bytes += row->item.key.len + row->item.value.len + row->item.version.len;
}

static struct remora_slice
put(char **at, struct remora_slice from)
{
    struct remora_slice copy = { *at, from.len };
    if (from.len > 0)
        memcpy(*at, from.data, from.len);
    *at += from.len;
    return copy;
}

struct row *
row_copy(const struct remora_configuration_item *item)
{
    size_t bytes = item->key.len + item->value.len + item->version.len;
    for (size_t i = 0; i < item->metadata_count; i++)
        bytes += item->metadata[i].name.len + item->metadata[i].value.len;
    struct row *row = malloc(sizeof *row + item->metadata_count * sizeof(struct remora_pair) +
                             bytes);
    if (row == NULL)
        abort();
    struct remora_pair *pairs = (struct remora_pair *)(void *)(row + 1);
    char *at = (char *)(pairs + item->metadata_count);
    *row = (struct row){ .item = { .key = put(&at, item->key),
                                   .value = put(&at, item->value),
                                   .version = put(&at, item->version),
                                   .metadata = pairs,
                                   .metadata_count = item->metadata_count } };
    for (size_t i = 0; i < item->metadata_count; i++)
        pairs[i] = (struct remora_pair){ put(&at, item->metadata[i].name),
                                         put(&at, item->metadata[i].value) };
    return row;
}

static struct remora_slice
text(const char *from)
{
    return (struct remora_slice){ from, strlen(from) };
}

/* Values that are no texts are told as JSON. */
static struct row *
make(const struct remora_configuration_item *from, const cJSON *metadata)
{
    struct remora_configuration_item item = *from;
    struct remora_pair pairs[ROW_METADATA_MAX];
    char *printed[ROW_METADATA_MAX];
    size_t count = 0;
    const cJSON *member;
    cJSON_ArrayForEach(member, metadata)
    {
        if (count == ROW_METADATA_MAX || member->string == NULL || cJSON_IsNull(member))
            continue;
        printed[count] = cJSON_IsString(member) ? strdup(member->valuestring)
                                                : cJSON_PrintUnformatted(member);
        if (printed[count] == NULL)
            abort();
        pairs[count] = (struct remora_pair){ text(member->string), text(printed[count]) };
        count++;
    }
    item.metadata = pairs;
    item.metadata_count = count;
    struct row *row = row_copy(&item);
    for (size_t i = 0; i < count; i++)
        free(printed[i]);
    return row;
}

struct row *
row_new(const char *key, const char *value, const char *version, const char *metadata)
{
    struct remora_configuration_item item = { .key = text(key),
                                              .value = text(value),
                                              .version = text(version) };
    cJSON *json = metadata == NULL ? NULL : cJSON_Parse(metadata);
    struct row *row = make(&item, cJSON_IsObject(json) ? json : NULL);
    cJSON_Delete(json);
    return row;
}

/* {"table": …, "action": …, "data": {"key": …, "value": …, "version": …, "metadata": …}} */
struct row *
row_of_notification(const char *payload)
{
    cJSON *json = cJSON_Parse(payload);
    const cJSON *data = cJSON_GetObjectItem(json, "data");
    const char *key = cJSON_GetStringValue(cJSON_GetObjectItem(data, "key"));
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItem(data, "value"));
    const char *version = cJSON_GetStringValue(cJSON_GetObjectItem(data, "version"));
    struct row *row = NULL;
    if (key != NULL && key[0] != '\0') {
        struct remora_configuration_item item = { .key = text(key),
                                                  .value = text(value == NULL ? "" : value),
                                                  .version = text(version == NULL ? "" : version) };
        const cJSON *metadata = cJSON_GetObjectItem(data, "metadata");
        row = make(&item, cJSON_IsObject(metadata) ? metadata : NULL);
    }
    cJSON_Delete(json);
    return row;
}
