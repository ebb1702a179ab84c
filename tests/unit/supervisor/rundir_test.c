/* SPDX-License-Identifier: Apache-2.0 */
/* Run directories: fresh, private, removed with their process, and nobody else's. */
#include "supervisor/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "test.h"

static struct arena arena;
static struct diag diag;

static err_t
open_in(const char *base, struct rundir *ret_rundir)
{
    arena_reset(&arena);
    diag_init(&diag, &arena);
    return rundir_open(&(struct rundir_config){ .wanted = base }, ret_rundir, &diag);
}

static int
count_in(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    REQUIRE(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

static void
touch(const char *folder, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    REQUIRE(fd >= 0);
    close(fd);
}

TEST(it_is_private_and_goes_with_what_is_in_it)
{
    char base[256], path[SOCKET_PATH_BYTES_MAX];
    struct rundir r;
    struct stat info;
    snprintf(base, sizeof base, "%s/new/er", test_dir());
    REQUIRE_OK(open_in(base, &r));
    REQUIRE(stat(r.path, &info) == 0);
    CHECK_EQ_INT(info.st_mode & 07777, 0700);
    CHECK(rundir_path(&r, "p0.1", path));
    CHECK(slice_has_prefix(slice_str(path), slice_str(base)));
    touch(r.path, "p0.1");
    CHECK_EQ_INT(count_in(base), 1);
    rundir_close(&r);
    rundir_close(&r);
    CHECK_EQ_INT(count_in(base), 0);
}

TEST(two_processes_do_not_meet)
{
    char base[256];
    struct rundir a, b;
    snprintf(base, sizeof base, "%s", test_dir());
    REQUIRE_OK(open_in(base, &a));
    REQUIRE_OK(open_in(base, &b));
    CHECK(strcmp(a.path, b.path) != 0);
    CHECK_EQ_INT(count_in(base), 2);
    rundir_close(&a);
    rundir_close(&b);
}

/* Each looks for what is stale while the others make and remove theirs. */
TEST(those_that_start_together_leave_each_other_their_folders)
{
    enum { PROCESSES = 4, ROUNDS = 300 };
    char base[256];
    struct stat info;
    struct rundir r;
    pid_t children[PROCESSES];
    snprintf(base, sizeof base, "%s", test_dir());
    for (int i = 0; i < PROCESSES; i++) {
        if ((children[i] = fork()) != 0)
            continue;
        int bad = 0;
        for (int round = 0; round < ROUNDS; round++) {
            bad += open_in(base, &r) != OK || stat(r.path, &info) != 0;
            rundir_close(&r);
        }
        _exit(bad == 0 ? 0 : 1);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        CHECK_EQ_INT(waitpid(children[i], &status, 0), children[i]);
        CHECK_EQ_INT(status, 0);
    }
    CHECK_EQ_INT(count_in(base), 0);
}

TEST(what_a_dead_process_left_is_removed)
{
    char base[256];
    struct rundir r;
    snprintf(base, sizeof base, "%s", test_dir());
    pid_t child = fork();
    if (child == 0) {
        if (open_in(base, &r) == OK)
            touch(r.path, "p0.1");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    CHECK_EQ_INT(count_in(base), 1);
    REQUIRE_OK(open_in(base, &r));
    CHECK_EQ_INT(count_in(base), 1);
    rundir_close(&r);
    CHECK_EQ_INT(count_in(base), 0);
}

TEST(what_is_not_ours_stays)
{
    char base[256], path[400];
    struct rundir r;
    snprintf(base, sizeof base, "%s", test_dir());
    snprintf(path, sizeof path, "%s/remora-other", base);
    REQUIRE(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/remora-0123abcd", base); /* a fresh one, not locked yet */
    REQUIRE(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/remora-0123abce", base);
    REQUIRE(symlink("/tmp", path) == 0);
    REQUIRE_OK(open_in(base, &r));
    CHECK_EQ_INT(count_in(base), 4);
    rundir_close(&r);
    CHECK_EQ_INT(count_in(base), 3);
}

TEST(an_old_one_without_a_lock_is_removed)
{
    char base[256], path[400];
    struct rundir r;
    snprintf(base, sizeof base, "%s", test_dir());
    snprintf(path, sizeof path, "%s/remora-0123abcd", base);
    REQUIRE(mkdir(path, 0700) == 0);
    struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
    REQUIRE(utimensat(AT_FDCWD, path, times, 0) == 0);
    REQUIRE_OK(open_in(base, &r));
    CHECK_EQ_INT(count_in(base), 1);
    rundir_close(&r);
}

TEST(a_place_others_may_change_is_refused)
{
    char base[256];
    struct rundir r;
    snprintf(base, sizeof base, "%s", test_dir());
    REQUIRE(chmod(base, 0777) == 0);
    CHECK_EQ_INT(open_in(base, &r), ERR_CONFIG);
    CHECK(slice_find(diag.message, SLICE("others may replace")) >= 0);
    REQUIRE(chmod(base, 01777) == 0);
    REQUIRE_OK(open_in(base, &r));
    rundir_close(&r);
    if (geteuid() == 0) {
        REQUIRE(chown(base, 1234, 1234) == 0);
        CHECK_EQ_INT(open_in(base, &r), ERR_CONFIG);
        CHECK(slice_find(diag.message, SLICE("belongs to another user")) >= 0);
    }
}

TEST(a_place_that_cannot_be_used_is_named)
{
    struct rundir r;
    CHECK_EQ_INT(open_in("/dev/null/x", &r), ERR_CONFIG);
    CHECK(slice_find(diag.message, SLICE("/dev/null/x")) >= 0);
}

TEST(a_long_path_gives_way_to_a_short_one)
{
    char base[400];
    struct rundir r;
    snprintf(base, sizeof base, "%s/%060d", test_dir(), 7);
    REQUIRE_OK(open_in(base, &r));
    CHECK(strlen(r.path) + RUNDIR_NAME_BYTES_MAX + 1 < SOCKET_PATH_BYTES_MAX);
    CHECK(!slice_has_prefix(slice_str(r.path), slice_str(base)));
    rundir_close(&r);
}

TEST(the_runtime_directory_of_the_session_comes_first)
{
    char base[256];
    struct rundir r;
    snprintf(base, sizeof base, "%s", test_dir());
    arena_reset(&arena);
    diag_init(&diag, &arena);
    REQUIRE_OK(rundir_open(&(struct rundir_config){ .xdg_runtime_dir = base }, &r, &diag));
    CHECK(slice_has_prefix(slice_str(r.path), slice_str(base)));
    rundir_close(&r);
    REQUIRE_OK(rundir_open(&(struct rundir_config){ .xdg_runtime_dir = "/nowhere" }, &r, &diag));
    CHECK(slice_has_prefix(slice_str(r.path), SLICE("/run/remora/")) ||
          slice_has_prefix(slice_str(r.path), SLICE("/tmp/")));
    rundir_close(&r);
    arena_fini(&arena);
}
