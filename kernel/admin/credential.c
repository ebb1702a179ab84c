/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer credentials; see credential.h. Descent is told by walking up the parents: a plugin cannot
 * leave our tree, because its sandbox either ends with it or adopts what forks away (exec/).
 */
#include "admin/credential.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/slice.h"

enum { DEPTH_MAX = 64, STAT_BYTES = 512 };

bool
credential_of(int fd, struct credential *ret_credential)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || len != sizeof peer)
        return false;
    *ret_credential = (struct credential){ .pid = peer.pid, .uid = peer.uid };
    return true;
}

bool
credential_has_right_user(const struct credential *credential)
{
    return credential->uid == geteuid() || credential->uid == 0;
}

/* "PID (name) STATE PPID …": the name may hold anything, so what counts is its last bracket. */
static bool
parent_of(pid_t pid, pid_t *ret_parent)
{
    char path[40], text[STAT_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid); /* fits */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof text);
    (void)close(fd); /* only read from */
    size_t name_end = len < 0 ? 0 : (size_t)len;
    while (name_end > 0 && text[name_end - 1] != ')')
        name_end--;
    struct slice rest = slice_of(text + name_end, len < 0 ? 0 : (size_t)len - name_end);
    struct slice word;
    uint64_t number = 0;
    bool ok = slice_split(&rest, ' ', &word) && slice_split(&rest, ' ', &word) &&
              slice_split(&rest, ' ', &word) && slice_to_u64(word, &number) && number <= INT32_MAX;
    *ret_parent = (pid_t)number;
    return ok;
}

bool
credential_is_descendant(const struct credential *credential)
{
    pid_t self = getpid();
    pid_t pid = credential->pid;
    for (int depth = 0; pid > 1 && pid != self; depth++) {
        pid_t parent;
        if (depth == DEPTH_MAX || !parent_of(pid, &parent) || parent == self)
            return true;
        pid = parent;
    }
    return false;
}
