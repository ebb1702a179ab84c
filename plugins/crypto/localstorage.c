/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a folder; see localstorage.h. */
#include "localstorage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file.h"
#include "parse.h"

struct localstorage {
    struct provider provider;
    char *path; /* owned; without a slash at its end */
    int folder;
};

enum { NAME_BYTES_MAX = 1024 };

static const char *
error_words(int error)
{
    return error == ENOENT ? "no such file or directory" : strerror(error);
}

/* Whatever the name, links included, it leads nowhere outside the folder. */
static int
open_beneath(int folder, const char *name)
{
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, folder, name, &how, sizeof how);
}

static bool
has_suffix(const char *name, const char *suffix)
{
    const size_t len = strlen(name), suffix_len = strlen(suffix);
    return len >= suffix_len && strcasecmp(name + len - suffix_len, suffix) == 0;
}

static struct key *
parse(const char *name, const char *bytes, size_t len, struct why *why)
{
    struct why inner = { "" };
    const enum key_form form = has_suffix(name, ".json")  ? KEY_FORM_JWK
                               : has_suffix(name, ".pem") ? KEY_FORM_PEM
                                                          : KEY_FORM_ANY;
    struct key *key = key_parse(bytes, len, form, &inner);
    if (key == NULL)
        (void)why_set(why, "failed to parse key from secret: %s", inner.text);
    return key;
}

static struct key *
load(const struct localstorage *storage, const char *name, struct why *why)
{
    char *bytes = NULL;
    size_t len;
    struct key *key = NULL;
    const int fd = open_beneath(storage->folder, name);
    if (fd < 0) {
        (void)why_set(why, "failed to load key '%s': open %s/%s: %s", name, storage->path, name,
                      error_words(errno));
        return NULL;
    }
    const int error = file_read(fd, KEY_BYTES_MAX, &bytes, &len);
    if (error != 0)
        (void)why_set(why, "failed to load key '%s': read %s/%s: %s", name, storage->path, name,
                      error_words(error));
    else
        key = parse(name, bytes, len, why);
    file_wipe(bytes, len);
    (void)close(fd); /* nothing was written */
    return key;
}

static void
localstorage_find(struct provider *provider, remora_call *call, struct remora_slice name,
                  provider_found *found, void *arg)
{
    const struct localstorage *storage = (const struct localstorage *)provider;
    struct why why = { "" };
    struct key *key = NULL;
    (void)call;
    while (name.len > 0 && name.data[0] == '/')
        name = (struct remora_slice){ name.data + 1, name.len - 1 };
    char *text = name.len <= NAME_BYTES_MAX ? remora_slice_dup(name) : NULL;
    if (text == NULL || *text == '\0')
        (void)why_set(&why, "key not found");
    else if (strstr(text, "..") != NULL)
        (void)why_set(&why, "invalid key path: cannot contain '..'");
    else
        key = load(storage, text, &why);
    free(text);
    found(key, &why, arg);
}

/* --- life --------------------------------------------------------------------------------------*/

static bool
open_folder(struct localstorage *storage, struct why *why)
{
    struct stat seen;
    storage->folder = open(storage->path, O_PATH | O_CLOEXEC);
    if (storage->folder < 0 || fstat(storage->folder, &seen) != 0)
        return why_set(why, "could not stat path '%s': stat %s: %s", storage->path, storage->path,
                       error_words(errno));
    return S_ISDIR(seen.st_mode) || why_set(why, "path '%s' is not a directory", storage->path);
}

void
localstorage_init(remora_call *call, const struct remora_config *config)
{
    struct remora_slice path = { "", 0 };
    struct why why = { "metadata property 'path' is required" };
    struct localstorage *storage = memory_new(sizeof *storage);
    storage->provider.find = localstorage_find;
    storage->folder = -1;
    bool ok = remora_metadata_get(config->metadata, config->metadata_count, "path", &path) &&
              path.len > 0;
    while (path.len > 1 && path.data[path.len - 1] == '/')
        path.len--;
    storage->path = remora_slice_dup(path);
    ok = ok && storage->path != NULL && open_folder(storage, &why);
    if (ok) {
        remora_reply_init(call, storage, 0, 0);
        return;
    }
    remora_reply_error(call, REMORA_INVALID_ARGUMENT, "failed to load metadata: %s", why.text);
    localstorage_close(storage);
}

void
localstorage_close(void *self)
{
    struct localstorage *storage = self;
    if (storage->folder >= 0)
        (void)close(storage->folder); /* nothing was written */
    free(storage->path);
    free(storage);
}
