/* SPDX-License-Identifier: Apache-2.0 */
/* Names beneath a root, and files reached by them. */
#include "plugins/localstorage/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static void
check_name(const char *given, const char *wanted)
{
    char name[ROOT_NAME_MAX];
    const struct remora_slice slice = { given, strlen(given) };
    CHECK(root_clean_name(slice, name));
    CHECK_EQ_STR(name, wanted);
}

TEST(names_climb_no_higher_than_the_root)
{
    check_name("a/b", "a/b");
    check_name("", "");
    check_name("/", "");
    check_name(".", "");
    check_name("..", "");
    check_name("../../etc/passwd", "etc/passwd");
    check_name("/a//b/./c/", "a/b/c");
    check_name("a/../b", "b");
    check_name("a/b/../../../c", "c");
    check_name("a/..", "");
    check_name("...", "...");
    check_name("..a/.b", "..a/.b");
}

TEST(names_that_no_file_has_are_refused)
{
    char name[ROOT_NAME_MAX], *longer = malloc(ROOT_NAME_MAX);
    REQUIRE(longer != NULL);
    memset(longer, 'x', ROOT_NAME_MAX);
    CHECK(!root_clean_name((struct remora_slice){ longer, ROOT_NAME_MAX }, name));
    CHECK(root_clean_name((struct remora_slice){ longer, ROOT_NAME_MAX - 1 }, name));
    CHECK(!root_clean_name((struct remora_slice){ "a\0b", 3 }, name));
    free(longer);
}

static struct root
open_root(char folder[32])
{
    struct root root = { .fd = -1 };
    char path[64], *error = NULL;
    (void)snprintf(folder, 32, "/tmp/root-test-XXXXXX");
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/new/place/", folder);
    REQUIRE(root_open(path, &root, &error));
    return root;
}

/* Goes through what the tests make. */
static void
close_root(struct root *root, const char *folder)
{
    char command[64];
    root_close(root);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_EQ_INT(system(command), 0); /* NOLINT(cert-env33-c): a name of ours */
}

TEST(a_root_is_made_and_files_in_it_are_made_and_removed)
{
    char folder[32];
    struct root root = open_root(folder);
    int fd = -1;
    CHECK_EQ_INT(root_create_file(&root, "a/b/c", &fd), 0);
    CHECK_EQ_INT(close(fd), 0);
    CHECK_EQ_INT(root_create_file(&root, "a/b/d", &fd), 0);
    CHECK_EQ_INT(close(fd), 0);
    CHECK_EQ_INT(root_create_file(&root, "a/b/c/d", &fd), ENOTDIR);
    CHECK_EQ_INT(root_create_file(&root, "a", &fd), EISDIR);
    CHECK_EQ_INT(root_open_file(&root, "a/b/c", O_RDONLY, &fd), 0);
    CHECK_EQ_INT(close(fd), 0);
    CHECK_EQ_INT(root_open_file(&root, "a/x", O_RDONLY, &fd), ENOENT);
    CHECK_EQ_INT(root_remove(&root, "a/b"), ENOTEMPTY);
    CHECK_EQ_INT(root_remove(&root, "a/b/c"), 0);
    CHECK_EQ_INT(root_remove(&root, "a/b/c"), ENOENT);
    CHECK_EQ_INT(root_remove(&root, "a/b/d"), 0);
    CHECK_EQ_INT(root_remove(&root, "a/b"), 0);
    CHECK_EQ_INT(root_remove(&root, ""), EBUSY);
    close_root(&root, folder);
}

TEST(links_lead_nowhere_but_beneath_the_root)
{
    char folder[32], inside[128];
    struct root root = open_root(folder);
    int fd = -1;
    (void)snprintf(inside, sizeof inside, "%s/link", root.path);
    REQUIRE(symlink("/etc/passwd", inside) == 0);
    CHECK_EQ_INT(root_open_file(&root, "link", O_RDONLY, &fd), ENOENT);
    CHECK_EQ_INT(root_create_file(&root, "etc/passwd", &fd), 0); /* what the link means here */
    CHECK_EQ_INT(close(fd), 0);
    CHECK_EQ_INT(root_open_file(&root, "link", O_RDONLY, &fd), 0);
    CHECK_EQ_INT(close(fd), 0);
    CHECK_EQ_INT(root_remove(&root, "link"), 0);
    CHECK_EQ_INT(root_open_file(&root, "etc/passwd", O_RDONLY, &fd), 0); /* the link went */
    CHECK_EQ_INT(close(fd), 0);
    (void)snprintf(inside, sizeof inside, "%s/fifo", root.path);
    REQUIRE(mkfifo(inside, 0600) == 0);
    CHECK_EQ_INT(root_create_file(&root, "fifo", &fd), ENXIO); /* and does not wait for a reader */
    close_root(&root, folder);
}

TEST(places_that_are_no_folders_for_files_are_no_roots)
{
    static const char *const places[] = { "/proc/self", "/sys", "/boot/x", "/dev/null" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct root root;
        char *error = NULL;
        CHECK(!root_open(places[i], &root, &error));
        CHECK(error != NULL);
        free(error);
    }
}
