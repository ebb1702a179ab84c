/* SPDX-License-Identifier: Apache-2.0 */
/* See file_watch.h. */
#include "sentry/file_watch.h"

#include <assert.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/limits.h"

enum {
    EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ATTRIB |
             IN_DELETE_SELF | IN_MOVE_SELF,
    EVENT_BYTES = 2048,
    FOLDER_BYTES = 1024,
    READ_BYTES = 2048,
};

/* Of a file that is not there: all zero. */
static void
digest_of(const char *path, unsigned char ret_digest[WATCHED_DIGEST_BYTES])
{
    unsigned char piece[READ_BYTES];
    size_t left = LIMIT_sentry_file_bytes;
    ssize_t got = -1;
    memset(ret_digest, 0, WATCHED_DIGEST_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL)
        abort();
    if (fd >= 0 && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1)
        while (left > 0 && (got = read(fd, piece, left < READ_BYTES ? left : READ_BYTES)) > 0) {
            (void)EVP_DigestUpdate(context, piece, (size_t)got); /* of SHA-256 does not fail */
            left -= (size_t)got;
        }
    if (got >= 0 && EVP_DigestFinal_ex(context, ret_digest, NULL) != 1)
        memset(ret_digest, 0, WATCHED_DIGEST_BYTES);
    EVP_MD_CTX_free(context);
    explicit_bzero(piece, sizeof piece);
    if (fd >= 0)
        (void)close(fd); /* opened for reading only */
}

/* Adding a folder that is watched already changes nothing; one that was made anew is watched again.
 */
static void
watch_folder_of(struct file_watch *watch, const char *path)
{
    char folder[FOLDER_BYTES] = ".";
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (watch->fd < 0 || len >= sizeof folder)
        return;
    memcpy(folder, slash == NULL ? "." : path, len);
    folder[len] = '\0';
    (void)inotify_add_watch(watch->fd, folder, EVENTS); /* then changes are seen with SIGHUP only */
}

void
file_watch_open(struct file_watch *watch)
{
    *watch = (struct file_watch){ .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC) };
}

void
file_watch_close(struct file_watch *watch)
{
    if (watch->fd >= 0)
        (void)close(watch->fd); /* opened for reading only */
    watch->fd = -1;
}

void
file_watch_add(struct file_watch *watch, struct slice path, unsigned groups)
{
    assert(watch->count < WATCHED_FILES_MAX);
    struct watched_file *file = &watch->files[watch->count++];
    *file = (struct watched_file){ .path = path, .groups = groups };
    watch_folder_of(watch, path.data); /* before it is read: no change is missed */
    digest_of(path.data, file->digest);
}

void
file_watch_on_event(struct file_watch *watch, uint64_t now_ms)
{
    _Alignas(struct inotify_event) char events[EVENT_BYTES];
    while (read(watch->fd, events, sizeof events) > 0)
        ; /* which file it was is found out by looking */
    watch->last_ms = now_ms;
    if (watch->first_ms == 0)
        watch->first_ms = now_ms;
}

uint64_t
file_watch_due_ms(const struct file_watch *watch)
{
    if (watch->first_ms == 0)
        return UINT64_MAX;
    const uint64_t quiet = watch->last_ms + LIMIT_sentry_settle_ms;
    const uint64_t latest = watch->first_ms + LIMIT_sentry_settle_ms_max;
    return quiet < latest ? quiet : latest;
}

unsigned
file_watch_look(struct file_watch *watch)
{
    unsigned groups = 0;
    watch->first_ms = watch->last_ms = 0;
    for (size_t i = 0; i < watch->count; i++) {
        struct watched_file *file = &watch->files[i];
        unsigned char digest[WATCHED_DIGEST_BYTES];
        watch_folder_of(watch, file->path.data);
        digest_of(file->path.data, digest);
        if (memcmp(digest, file->digest, sizeof digest) == 0)
            continue;
        memcpy(file->digest, digest, sizeof digest);
        groups |= file->groups;
    }
    return groups;
}
