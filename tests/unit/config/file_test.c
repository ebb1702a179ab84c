/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files whole. */
#include "config/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "test.h"

static char *
read_it(struct arena *arena, const char *dir, const char *name, size_t *ret_len,
        const char **ret_words)
{
    return file_read(arena, arena_printf(arena, "%s/%s", dir, name).data, ret_len, ret_words);
}

TEST(a_file_is_read_with_all_its_bytes)
{
    struct arena arena;
    arena_init(&arena);
    const char *dir = test_dir(), *words = "";
    char *path = arena_str(&arena, arena_printf(&arena, "%s/a", dir));
    FILE *f = fopen(path, "w");
    REQUIRE(f != NULL && fwrite("a\0b", 1, 3, f) == 3 && fclose(f) == 0);
    size_t len = 0;
    char *text = read_it(&arena, dir, "a", &len, &words);
    REQUIRE(text != NULL);
    CHECK_EQ_MEM(text, len, "a\0b", 3);
    free(text);
    arena_fini(&arena);
}

TEST(what_is_no_file_is_refused_without_hanging)
{
    struct arena arena;
    arena_init(&arena);
    const char *dir = test_dir(), *words = "";
    size_t len;
    CHECK(read_it(&arena, dir, "missing", &len, &words) == NULL);
    CHECK_EQ_STR(words, "no such file or directory");
    CHECK(read_it(&arena, dir, "", &len, &words) == NULL);
    CHECK_EQ_STR(words, "is a directory");
    REQUIRE(mkfifo(arena_printf(&arena, "%s/fifo", dir).data, 0600) == 0);
    CHECK(read_it(&arena, dir, "fifo", &len, &words) == NULL);
    int fd = open(arena_printf(&arena, "%s/big", dir).data, O_CREAT | O_WRONLY, 0600);
    REQUIRE(fd >= 0 && ftruncate(fd, LIMIT_resource_file_bytes_max + 1) == 0 && close(fd) == 0);
    CHECK(read_it(&arena, dir, "big", &len, &words) == NULL);
    CHECK_EQ_STR(words, "file too large");
    arena_fini(&arena);
}
