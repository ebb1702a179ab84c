/* SPDX-License-Identifier: Apache-2.0 */
/* Who may command the kernel. */
#include "admin/credential.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include "test.h"

TEST(a_socket_tells_who_connected)
{
    int pair[2];
    struct credential credential;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    REQUIRE(credential_of(pair[0], &credential));
    CHECK_EQ_INT(credential.pid, getpid());
    CHECK(credential_has_right_user(&credential));
    close(pair[0]);
    close(pair[1]);
    CHECK(!credential_of(pair[0], &credential));
}

TEST(other_users_have_no_say_but_root_has)
{
    CHECK(credential_has_right_user(&(struct credential){ .uid = geteuid() }));
    CHECK(credential_has_right_user(&(struct credential){ .uid = 0 }));
    CHECK(!credential_has_right_user(&(struct credential){ .uid = geteuid() + 1 }));
}

TEST(neither_we_nor_our_parent_are_descendants)
{
    CHECK(!credential_is_descendant(&(struct credential){ .pid = getpid() }));
    CHECK(!credential_is_descendant(&(struct credential){ .pid = getppid() }));
    CHECK(!credential_is_descendant(&(struct credential){ .pid = 0 })); /* in a namespace outside */
}

/* Lives until its input ends. */
static pid_t
child_until(int input)
{
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        (void)!read(input, &byte, 1);
        _exit(0);
    }
    return pid;
}

TEST(children_and_their_children_are_descendants)
{
    int life[2], news[2];
    REQUIRE(pipe(life) == 0 && pipe(news) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(life[1]);
        pid_t grandchild = child_until(life[0]);
        (void)!write(news[1], &grandchild, sizeof grandchild);
        waitpid(grandchild, NULL, 0);
        _exit(0);
    }
    pid_t grandchild = 0;
    close(life[0]);
    REQUIRE(read(news[0], &grandchild, sizeof grandchild) == sizeof grandchild);
    CHECK(credential_is_descendant(&(struct credential){ .pid = child }));
    CHECK(credential_is_descendant(&(struct credential){ .pid = grandchild }));
    close(life[1]);
    waitpid(child, NULL, 0);
    /* Whoever is gone can no longer be judged. */
    CHECK(credential_is_descendant(&(struct credential){ .pid = child }));
}
