/* SPDX-License-Identifier: Apache-2.0 */
/* Reading /proc; see processes.h. */
#include "processes.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

enum { FILE_BYTES_MAX = 4 * 1024 * 1024, CHILD_ROUNDS = 100, CHILD_PAUSE_MS = 10 };

/* A file of /proc/<pid>/ whole. */
static bool
read_file(pid_t pid, const char *name, struct buf *ret_content)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name); /* fits */
    buf_init(ret_content, FILE_BYTES_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0) {
        char *room = buf_reserve(ret_content, 4096);
        got = room == NULL ? -1 : read(fd, room, 4096);
        if (got > 0)
            buf_commit(ret_content, (size_t)got);
    }
    if (fd >= 0)
        (void)close(fd); /* only read from */
    return got == 0;
}

static pid_t
first_number(struct slice text)
{
    uint64_t number;
    text = slice_trim(text);
    ptrdiff_t blank = slice_find_byte(text, ' ');
    if (blank >= 0)
        text = slice_first(text, (size_t)blank);
    return slice_to_u64(text, &number) && number <= INT32_MAX ? (pid_t)number : 0;
}

pid_t
process_child_of(pid_t parent)
{
    char name[48];
    pid_t child = 0;
    (void)snprintf(name, sizeof name, "task/%d/children", (int)parent); /* fits */
    for (int round = 0; round < CHILD_ROUNDS && child == 0; round++) {
        struct buf content;
        bool ok = read_file(parent, name, &content);
        if (ok)
            child = first_number(buf_slice(&content));
        buf_fini(&content);
        if (!ok)
            break;
        if (child == 0)
            (void)poll(NULL, 0, CHILD_PAUSE_MS); /* it was started a moment ago */
    }
    return child;
}

pid_t
process_parent_of(pid_t pid)
{
    struct buf content;
    pid_t parent = 0;
    if (read_file(pid, "stat", &content)) {
        /* "12 (any name) S 11 …" */
        struct slice text = buf_slice(&content);
        size_t end = text.len;
        while (end > 0 && text.data[end - 1] != ')')
            end--;
        parent = first_number(slice_from(text, end + 3));
    }
    buf_fini(&content);
    return parent;
}

bool
process_runs(pid_t pid, const char *name)
{
    char path[64], target[3072];
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid); /* fits */
    ssize_t len = readlink(path, target, sizeof target - 1);
    if (len <= 0)
        return false;
    target[len] = '\0';
    const char *slash = strrchr(target, '/');
    struct slice file = slice_str(slash == NULL ? target : slash + 1);
    if (slice_has_suffix(file, SLICE(" (deleted)"))) /* replaced since it was started */
        file = slice_first(file, file.len - 10);
    return slice_eq(file, slice_str(name));
}

char **
process_arguments(struct arena *arena, pid_t pid, size_t *ret_count)
{
    struct buf content;
    char **arguments = NULL;
    if (read_file(pid, "cmdline", &content) && content.len > 0) {
        struct slice all = buf_slice(&content);
        size_t count = 0, at = 0;
        for (size_t i = 0; i < all.len; i++)
            count += all.data[i] == '\0';
        arguments = ARENA_ARRAY(arena, char *, count + 1);
        struct slice part;
        for (struct slice rest = all; at < count && slice_split(&rest, '\0', &part);)
            arguments[at++] = arena_str(arena, part);
        *ret_count = count;
    }
    buf_fini(&content);
    return arguments;
}
