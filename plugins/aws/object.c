/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets and what requests say of their objects; see object.h. */
#include "object.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/sigv4.h"

enum { TAGS_MAX = 50 };

/* As part of a host's name that a certificate for *.s3.amazonaws.com is for. */
static bool
is_label(const char *name)
{
    const size_t len = strlen(name);
    return len >= 3 && len <= 63 && name[0] != '-' && name[len - 1] != '-' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

/* An address, with or without a port, is no domain. */
static bool
is_address(const char *host)
{
    return host[0] == '[' || host[strspn(host, "0123456789.:")] == '\0';
}

bool
bucket_read(const struct remora_config *config, struct bucket *ret_bucket,
            char ret_error[SETTINGS_ERROR_BYTES])
{
    struct reader reader = { .config = config,
                             .why = ret_error,
                             .why_bytes = SETTINGS_ERROR_BYTES };
    struct bucket b = {
        .name = settings_text(&reader, "bucket"),
        .decodes = settings_flag(&reader, "decodeBase64"),
        .encodes = settings_flag(&reader, "encodeBase64"),
        .file_path = settings_text(&reader, "filePath"),
        .presign_ttl = settings_text(&reader, "presignTTL"),
        .storage_class = settings_text(&reader, "storageClass"),
    };
    settings_read(&reader, "s3", &b.settings);
    if (b.name == NULL)
        reader_complain(&reader, "bucket is missing");
    else if (strpbrk(b.name, "/?#% ") != NULL)
        reader_complain(&reader, "bucket is not the name of one");
    b.is_in_path = b.name == NULL || b.settings.host == NULL ||
                   settings_flag(&reader, "forcePathStyle") || !is_label(b.name) ||
                   is_address(b.settings.host);
    *ret_bucket = b;
    return !reader.failed;
}

void
bucket_fini(struct bucket *bucket)
{
    settings_fini(&bucket->settings);
    free(bucket->name);
    free(bucket->file_path);
    free(bucket->presign_ttl);
    free(bucket->storage_class);
    *bucket = (struct bucket){ .name = NULL };
}

char *
bucket_host(const struct bucket *bucket)
{
    const char *host = bucket->settings.host;
    return bucket->is_in_path ? memory_text(host) : memory_printf("%s.%s", bucket->name, host);
}

char *
bucket_path(const struct bucket *bucket, struct remora_slice key)
{
    char *encoded = sigv4_encode(key.data, key.len, true);
    char *path = memory_printf("%s%s%s/%s", bucket->settings.base, bucket->is_in_path ? "/" : "",
                               bucket->is_in_path ? bucket->name : "", encoded);
    free(encoded);
    return path;
}

/* --- tags --------------------------------------------------------------------------------------*/

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

/* "name=value" put behind what is there. */
static bool
add_tag(char **tags, struct remora_slice tag)
{
    const char *equals = tag.len == 0 ? NULL : memchr(tag.data, '=', tag.len);
    if (equals == NULL)
        return false;
    const size_t head = (size_t)(equals - tag.data);
    const struct remora_slice name = trim((struct remora_slice){ tag.data, head });
    const struct remora_slice value = trim((struct remora_slice){ equals + 1, tag.len - head - 1 });
    if (name.len == 0 || value.len == 0)
        return false;
    char *before = *tags;
    char *name_text = sigv4_encode(name.data, name.len, false);
    char *value_text = sigv4_encode(value.data, value.len, false);
    *tags = memory_printf("%s%s%s=%s", before, *before == '\0' ? "" : "&", name_text, value_text);
    free(before);
    free(name_text);
    free(value_text);
    return true;
}

char *
object_tags(struct remora_slice text, char ret_error[SETTINGS_ERROR_BYTES])
{
    char *tags = memory_text("");
    for (unsigned count = 0; text.len > 0; count++) {
        const char *comma = memchr(text.data, ',', text.len);
        const size_t len = comma == NULL ? text.len : (size_t)(comma - text.data);
        if (count == TAGS_MAX || !add_tag(&tags, trim((struct remora_slice){ text.data, len }))) {
            (void)snprintf(ret_error, SETTINGS_ERROR_BYTES,
                           "invalid tag format: '%.*s' (expected key=value)",
                           (int)(len < 100 ? len : 100), text.data);
            free(tags);
            return NULL;
        }
        text.data += len + (comma != NULL);
        text.len -= len + (comma != NULL);
    }
    return tags;
}
