/* SPDX-License-Identifier: Apache-2.0 */
/* Who is on the other end of a Unix socket, and may it command this process? Any thread. */
#ifndef ADMIN_CREDENTIAL_H
#define ADMIN_CREDENTIAL_H

#include <stdbool.h>
#include <sys/types.h>

/* As the peer was when it connected. */
struct credential {
    pid_t pid; /* 0: in a PID namespace we cannot see */
    uid_t uid;
};

bool credential_of(int fd, struct credential *ret_credential);

/* Our own user, or root. */
bool credential_has_right_user(const struct credential *credential);

/* Whether it is a process of ours: a plugin, or what a plugin started. Those run under our user id
 * and can reach our sockets, but must not command us. Costs some reads of /proc. A process that is
 * gone counts as one, since nobody knows what it was. */
bool credential_is_descendant(const struct credential *credential);

#endif
