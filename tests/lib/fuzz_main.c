/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over kept inputs, without a fuzzer: what `make check` does with
 * tests/fuzz/<target>/corpus and regressions, under every compiler and sanitizer. Arguments are
 * files and folders of files. Each input is handed over in a heap block of exactly its size, so
 * that reading past its end is seen. An input passes when the target returns.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned passed, failed;

static void
replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) != 0) {
        perror(path);
        failed++;
        if (f != NULL)
            (void)fclose(f); /* opened for reading only: nothing can be lost */
        return;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data != NULL && fread(data, 1, size, f) == size) {
        fprintf(stderr, "- %s\n", path); /* the last name in the log is the one that crashed */
        (void)LLVMFuzzerTestOneInput(data, size);
        passed++;
    } else {
        failed++;
    }
    free(data);
    (void)fclose(f); /* opened for reading only: nothing can be lost */
}

static void
replay(const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0) {
        replay_file(path);
        return;
    }
    for (int i = 0; i < n; i++) {
        char *file;
        if (names[i]->d_name[0] != '.' && asprintf(&file, "%s/%s", path, names[i]->d_name) >= 0) {
            replay_file(file);
            free(file);
        }
        free(names[i]);
    }
    free(names);
}

int
main(int argc, char **argv)
{
    /* The empty input is part of every corpus. It must be a valid pointer: memcpy(NULL, 0) is
     * undefined. */
    uint8_t *nothing = calloc(1, 1);
    if (nothing != NULL)
        (void)LLVMFuzzerTestOneInput(nothing, 0);
    free(nothing);
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 ? 1 : 0;
}
