/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit test harness: a test is `TEST(name_is_a_sentence) { CHECK(...); }`, registered by itself
 * and run in the order of the file. A failed CHECK is reported and the test goes on; a failed
 * REQUIRE ends the program, for what the rest of the test cannot live without. Each program is one
 * file that includes this header, which also brings main(): arguments are parts of test names to
 * run. The last line is always `N passed, N failed`, the runner's proof that the program reached
 * its end. Knows nothing of the kernel, so that it can test all of it.
 */
#ifndef TEST_H
#define TEST_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
static const char *test_current = "";
/* Of the current test; atomic, because threads under test may CHECK too. */
static atomic_uint test_failures;
static unsigned test_passed, test_failed, test_skipped;
static bool test_skip_current;

#define TEST(name)                                                                                 \
    static void case_##name(void);                                                                 \
    static struct test_case test_case_##name = { #name, case_##name, NULL };                       \
    __attribute__((constructor)) static void test_register_##name(void)                            \
    {                                                                                              \
        *test_last = &test_case_##name;                                                            \
        test_last = &test_case_##name.next;                                                        \
    }                                                                                              \
    static void case_##name(void)

/* Each returns whether it held, so that a loop can stop at the first failure. */
#define CHECK(condition) test_check(!!(condition), #condition, __FILE__, __LINE__)
#define CHECK_OK(err) test_eq_int((long long)(err), 0, #err, "OK", __FILE__, __LINE__)
#define CHECK_EQ_INT(a, b) test_eq_int((long long)(a), (long long)(b), #a, #b, __FILE__, __LINE__)
#define CHECK_EQ_U64(a, b) test_eq_u64((uint64_t)(a), (uint64_t)(b), #a, #b, __FILE__, __LINE__)
#define CHECK_EQ_PTR(a, b) test_eq_u64((uintptr_t)(a), (uintptr_t)(b), #a, #b, __FILE__, __LINE__)
#define CHECK_EQ_STR(a, b) test_eq_str((a), (b), #a, #b, __FILE__, __LINE__)
#define CHECK_EQ_MEM(a, a_len, b, b_len)                                                           \
    test_eq_mem((struct test_mem){ (a), (a_len) }, (struct test_mem){ (b), (b_len) }, #a, #b,      \
                __FILE__, __LINE__)
/* For anything with `data` and `len`, and against a string. */
#define CHECK_EQ_SLICE(a, b) CHECK_EQ_MEM((a).data, (a).len, (b).data, (b).len)
#define CHECK_SLICE_IS(a, text) CHECK_EQ_MEM((a).data, (a).len, (text), strlen(text))

/* Without this the rest of the test has no meaning (or would crash): ends the program as failed. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!CHECK(condition))                                                                     \
            test_give_up();                                                                        \
    } while (0)
#define REQUIRE_OK(err)                                                                            \
    do {                                                                                           \
        if (!CHECK_OK(err))                                                                        \
            test_give_up();                                                                        \
    } while (0)

/* The machine lacks something; leaves the test, which then counts as skipped. Only in the TEST's
 * own body. */
#define SKIP(reason)                                                                               \
    do {                                                                                           \
        fprintf(stderr, "  skipped: %s\n", (reason));                                              \
        test_skip_current = true;                                                                  \
        return;                                                                                    \
    } while (0)

struct test_mem {
    const void *ptr;
    size_t len;
};

static inline bool
test_check(bool held, const char *text, const char *file, int line)
{
    if (!held) {
        atomic_fetch_add(&test_failures, 1);
        fprintf(stderr, "%s:%d: %s: not true: %s\n", file, line, test_current, text);
    }
    return held;
}

static inline bool
test_eq_int(long long a, long long b, const char *a_text, const char *b_text, const char *file,
            int line)
{
    if (a == b)
        return true;
    atomic_fetch_add(&test_failures, 1);
    fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld (%s)\n", file, line, test_current, a_text, a,
            b, b_text);
    return false;
}

static inline bool
test_eq_u64(uint64_t a, uint64_t b, const char *a_text, const char *b_text, const char *file,
            int line)
{
    if (a == b)
        return true;
    atomic_fetch_add(&test_failures, 1);
    fprintf(stderr,
            "%s:%d: %s: %s is %" PRIu64 " (0x%" PRIx64 "), not %" PRIu64 " (0x%" PRIx64 ") (%s)\n",
            file, line, test_current, a_text, a, a, b, b, b_text);
    return false;
}

static inline bool
test_eq_str(const char *a, const char *b, const char *a_text, const char *b_text, const char *file,
            int line)
{
    if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0))
        return true;
    atomic_fetch_add(&test_failures, 1);
    fprintf(stderr, "%s:%d: %s: %s differs from %s\n  is:  %s\n  not: %s\n", file, line,
            test_current, a_text, b_text, a == NULL ? "(NULL)" : a, b == NULL ? "(NULL)" : b);
    return false;
}

static inline void
test_print_mem(const char *label, struct test_mem m)
{
    const unsigned char *p = m.ptr;
    size_t shown = p == NULL ? 0 : m.len < 512 ? m.len : 512;
    fprintf(stderr, "  %s (%zu) \"", label, m.len);
    for (size_t i = 0; i < shown; i++) {
        if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\' && p[i] != '"')
            fputc(p[i], stderr);
        else
            fprintf(stderr, "\\x%02x", p[i]);
    }
    fprintf(stderr, "\"%s\n", shown < m.len ? "…" : "");
}

static inline bool
test_eq_mem(struct test_mem a, struct test_mem b, const char *a_text, const char *b_text,
            const char *file, int line)
{
    if (a.len == b.len &&
        (a.len == 0 || (a.ptr != NULL && b.ptr != NULL && memcmp(a.ptr, b.ptr, a.len) == 0)))
        return true;
    atomic_fetch_add(&test_failures, 1);
    fprintf(stderr, "%s:%d: %s: %s differs from %s\n", file, line, test_current, a_text, b_text);
    test_print_mem("is: ", a);
    test_print_mem("not:", b);
    return false;
}

static inline void
test_totals(void)
{
    fflush(stderr);
    if (test_skipped > 0)
        printf("%u passed, %u failed, %u skipped\n", test_passed, test_failed, test_skipped);
    else
        printf("%u passed, %u failed\n", test_passed, test_failed);
    fflush(stdout);
}

static inline void
test_give_up(void)
{
    test_failed++;
    test_totals();
    _exit(1);
}

/* A fresh directory under TMPDIR; the runner removes it. */
static inline const char *
test_dir(void)
{
    static char path[200];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/test-XXXXXX", base == NULL || base[0] == '\0' ? "/tmp" : base);
    if (mkdtemp(path) == NULL) {
        perror(path);
        test_give_up();
    }
    return path;
}

static inline void
test_run_one(struct test_case *t)
{
    test_current = t->name;
    test_skip_current = false;
    atomic_store(&test_failures, 0);
    fprintf(stderr, "- %s\n",
            t->name); /* the last name in the log is the one that crashed or hung */
    t->run();
    if (atomic_load(&test_failures) > 0)
        test_failed++;
    else if (test_skip_current)
        test_skipped++;
    else
        test_passed++;
}

int
main(int argc, char **argv)
{
    for (struct test_case *t = test_first; t != NULL; t = t->next) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted = wanted || strstr(t->name, argv[i]) != NULL;
        if (wanted)
            test_run_one(t);
    }
    test_totals();
    return test_failed > 0 ? 1 : 0;
}

#endif
