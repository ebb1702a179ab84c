/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of open file descriptions: two components of one process are two owners, and closing one
 * file does not give up the locks of another, as it does with the older kind. The database itself
 * is not used for them, since SQLite has locks of that kind in it.
 */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

static struct flock
byte_of(int64_t number)
{
    return (struct flock){
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)number, .l_len = 1
    };
}

static int
open_file(const char *path)
{
    char *name = sqlite3_mprintf("%s-owners", path);
    if (name == NULL) {
        errno = ENOMEM;
        return -1;
    }
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    sqlite3_free(name);
    return fd;
}

bool
owner_init(struct owner *owner, const char *path)
{
    uint64_t random;
    sqlite3_randomness(sizeof(random), &random);
    *owner = (struct owner){ .number = (int64_t)(random >> 2) | 1, .fd = -1 };
    if (path == NULL)
        return true;
    owner->fd = open_file(path);
    if (owner->fd < 0)
        return false;
    struct flock lock = byte_of(owner->number);
    if (fcntl(owner->fd, F_OFD_SETLK, &lock) == 0)
        return true;
    int error = errno;
    close(owner->fd);
    owner->fd = -1;
    errno = error;
    return false;
}

void
owner_fini(struct owner *owner)
{
    if (owner->fd >= 0)
        close(owner->fd);
    owner->fd = -1;
}

bool
owner_is_gone(const struct owner *owner, int64_t number)
{
    if (owner->fd < 0 || number <= 0)
        return false;
    struct flock lock = byte_of(number);
    return fcntl(owner->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}
