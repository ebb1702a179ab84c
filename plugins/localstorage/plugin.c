/* SPDX-License-Identifier: Apache-2.0 */
/* bindings.localstorage: files beneath a directory, created, read, listed and deleted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/text.h"
#include "root.h"

enum {
    FILE_BYTES_MAX = 64 * 1024 * 1024, /* of one that is read */
    LIST_FILES_MAX = 100 * 1000,
    LIST_DEPTH_MAX = 64,
};

/* --- life --------------------------------------------------------------------------------------*/

static void
init(remora_call *call, const struct remora_config *config)
{
    struct remora_slice path;
    struct root *root = calloc(1, sizeof *root);
    char *text = NULL, *error = NULL;
    if (root == NULL)
        abort();
    if (!remora_metadata_get(config->metadata, config->metadata_count, "rootPath", &path) ||
        path.len == 0) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "failed to parse metadata: property rootPath must not be empty");
        free(root);
        return;
    }
    text = remora_slice_dup(path);
    if (text != NULL && root_open(text, root, &error)) {
        remora_reply_init(call, root, REMORA_CAP_OUTPUT_BINDING, 0);
    } else {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "failed to parse metadata: %s",
                           text == NULL ? "property rootPath holds a NUL" : error);
        free(root);
    }
    free(error);
    free(text);
}

static void
close_root(void *self)
{
    root_close(self);
    free(self);
}

/* --- failing -----------------------------------------------------------------------------------*/

/* In Go's words where they differ from the C library's first letter. */
static const char *
reason_of(int error)
{
    switch (error) {
    case ENOENT:
        return "no such file or directory";
    case EISDIR:
        return "is a directory";
    case ENOTDIR:
        return "not a directory";
    case EACCES:
        return "permission denied";
    case ENOTEMPTY:
        return "directory not empty";
    case ENOSPC:
        return "no space left on device";
    default:
        return strerror(error);
    }
}

static void
fail(remora_call *call, const char *what, const struct root *root, const char *name,
     const char *verb, int error)
{
    const char *slash = name[0] == '\0' ? "" : "/";
    remora_reply_error(call, REMORA_UNKNOWN, "error %s %s%s%s: %s %s%s%s: %s", what, root->path,
                       slash, name, verb, root->path, slash, name, reason_of(error));
}

/* --- create ------------------------------------------------------------------------------------*/

static int
write_all(int fd, struct remora_slice data)
{
    while (data.len > 0) {
        ssize_t written = write(fd, data.data, data.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        data.data += written;
        data.len -= (size_t)written;
    }
    return 0;
}

static void
create(remora_call *call, const struct root *root, const char *name, struct remora_slice data)
{
    struct text answer = { 0 };
    int fd, failed = root_create_file(root, name, &fd);
    if (failed != 0) {
        fail(call, "creating file", root, name, "open", failed);
        return;
    }
    failed = write_all(fd, text_to_bytes(call, data));
    if (close(fd) != 0 && failed == 0)
        failed = errno;
    if (failed != 0) {
        fail(call, "writing to file", root, name, "write", failed);
        return;
    }
    text_put(&answer, "{\"fileName\":", strlen("{\"fileName\":"));
    text_put_string(&answer, name);
    text_put(&answer, "}", 1);
    const struct remora_bytes bytes = { answer.bytes, answer.len, free, answer.bytes };
    remora_binding_reply(call, bytes, NULL, 0, NULL);
}

/* --- get ---------------------------------------------------------------------------------------*/

/* The whole of it, from malloc(). */
static int
read_all(int fd, char **ret_bytes, size_t *ret_len)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return errno;
    if (S_ISDIR(st.st_mode))
        return EISDIR;
    if (!S_ISREG(st.st_mode))
        return EINVAL;
    if (st.st_size > FILE_BYTES_MAX)
        return EFBIG;
    char *bytes = malloc((size_t)st.st_size + 1);
    size_t len = 0;
    ssize_t got = 1;
    while (bytes != NULL && len < (size_t)st.st_size && got != 0) {
        got = read(fd, bytes + len, (size_t)st.st_size - len);
        if (got < 0 && errno != EINTR) {
            int failed = errno;
            free(bytes);
            return failed;
        }
        len += got > 0 ? (size_t)got : 0;
    }
    *ret_bytes = bytes;
    *ret_len = len;
    return bytes == NULL ? ENOMEM : 0;
}

static void
get(remora_call *call, const struct root *root, const char *name)
{
    char *bytes = NULL;
    size_t len = 0;
    int fd, failed = root_open_file(root, name, O_RDONLY, &fd);
    if (failed == ENOENT) {
        remora_reply_error(call, REMORA_UNKNOWN, "file not found: %s/%s", root->path, name);
        return;
    }
    if (failed != 0) {
        fail(call, "opening path", root, name, "open", failed);
        return;
    }
    failed = read_all(fd, &bytes, &len);
    (void)close(fd); /* it was only read */
    if (failed != 0) {
        fail(call, "reading file", root, name, "read", failed);
        return;
    }
    remora_binding_reply(call, (struct remora_bytes){ bytes, len, free, bytes }, NULL, 0, NULL);
}

/* --- list --------------------------------------------------------------------------------------*/

struct listing {
    const struct root *root;
    struct text out;
    size_t count;
    bool is_cut;
};

static int
is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void
put_file(struct listing *listing, const char *name)
{
    struct text path = { 0 };
    if (listing->count++ > 0)
        text_put(&listing->out, ",", 1);
    text_put(&path, listing->root->path, strlen(listing->root->path));
    text_put(&path, "/", 1);
    text_put(&path, name, strlen(name) + 1);
    text_put_string(&listing->out, path.bytes);
    free(path.bytes);
}

static void list_directory(struct listing *listing, const char *name, unsigned depth);

/* Links are listed, not followed. */
static void
put_entry(struct listing *listing, const char *name, unsigned depth, const struct dirent *entry)
{
    char path[ROOT_NAME_MAX];
    size_t len = strlen(name), more = strlen(entry->d_name);
    if (listing->count >= LIST_FILES_MAX || len + more + 2 > sizeof path) {
        listing->is_cut = true;
        return;
    }
    memcpy(path, name, len);
    if (len > 0)
        path[len++] = '/';
    memcpy(path + len, entry->d_name, more + 1);
    if (entry->d_type != DT_DIR)
        put_file(listing, path);
    else if (depth < LIST_DEPTH_MAX)
        list_directory(listing, path, depth + 1);
    else
        listing->is_cut = true;
}

/* In order of name. What is gone meanwhile, or not to be read, is left out as by the reference. */
static void
list_directory(struct listing *listing, const char *name, unsigned depth)
{
    struct dirent **entries;
    int fd;
    if (root_open_file(listing->root, name, O_RDONLY | O_DIRECTORY, &fd) != 0)
        return;
    int count = scandirat(fd, ".", &entries, is_entry, alphasort);
    (void)close(fd); /* it was only read */
    if (count < 0)
        return;
    for (int i = 0; i < count; i++) {
        put_entry(listing, name, depth, entries[i]);
        free(entries[i]);
    }
    free(entries);
}

static void
list(remora_call *call, const struct root *root, const char *name)
{
    struct listing listing = { .root = root };
    int fd, failed = root_open_file(root, name, O_RDONLY | O_DIRECTORY, &fd);
    if (failed == ENOTDIR) {
        remora_reply_error(call, REMORA_UNKNOWN,
                           "unable to list files as the file specified is not a directory: %s/%s",
                           root->path, name);
        return;
    }
    if (failed != 0) {
        fail(call, "getting stats for path", root, name, "stat", failed);
        return;
    }
    (void)close(fd); /* only to see whether it can be read */
    text_put(&listing.out, "[", 1);
    list_directory(&listing, name, 0);
    text_put(&listing.out, "]", 1);
    if (listing.is_cut) {
        free(listing.out.bytes);
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED,
                           "there are more than %d files in the directory, or they lie deeper "
                           "than %d",
                           LIST_FILES_MAX, LIST_DEPTH_MAX);
        return;
    }
    /* The reference writes an empty list as null. */
    struct remora_bytes bytes = { listing.out.bytes, listing.out.len, free, listing.out.bytes };
    if (listing.count == 0)
        memcpy(listing.out.bytes, "null", bytes.len = strlen("null"));
    remora_binding_reply(call, bytes, NULL, 0, NULL);
}

/* --- operations --------------------------------------------------------------------------------*/

static void
invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    const struct root *root = self;
    struct remora_slice given = { "", 0 };
    char name[ROOT_NAME_MAX], uuid[37];
    bool creates = remora_slice_eq(request->operation, "create");
    (void)remora_metadata_get(request->metadata, request->metadata_count, "fileName", &given);
    if (given.len == 0 && creates) {
        remora_uuid(uuid);
        given = (struct remora_slice){ uuid, sizeof uuid - 1 };
    }
    if (!root_clean_name(given, name)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "the file's name is too long or has a "
                           "NUL in it");
    } else if (creates) {
        create(call, root, name, request->data);
    } else if (remora_slice_eq(request->operation, "get")) {
        get(call, root, name);
    } else if (remora_slice_eq(request->operation, "list")) {
        list(call, root, name);
    } else {
        int failed = root_remove(root, name);
        if (failed != 0)
            fail(call, "deleting file", root, name, "remove", failed);
        else
            remora_reply_ok(call);
    }
}

static const struct remora_binding_ops ops = { .operations = "create,get,list,delete",
                                               .invoke = invoke };

int
main(int argc, char **argv)
{
    static const struct remora_component_type types[] = {
        { .type = "bindings.localstorage",
          .versions = "v1",
          .init = init,
          .close = close_root,
          .binding = &ops },
    };
    static const struct remora_plugin plugin = {
        .name = "localstorage",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
