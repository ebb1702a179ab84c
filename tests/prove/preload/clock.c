/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program, makes its wall clock differ from the machine's by what stands in a file
 * that CLOCK_SHIFT names: a signed number of nanoseconds, in the machine's form, which an
 * experiment may change at any time. Clocks that nobody can set are left alone.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000 };

static int (*real_clock_gettime)(clockid_t clock, struct timespec *now);
static const volatile int64_t *shift_ns; /* mapped before any sandbox; NULL: none */

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("CLOCK_SHIFT");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    /* POSIX has dlsym() give functions in this way. */
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *shift_ns, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        shift_ns = map;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    if (real_clock_gettime == NULL) /* a constructor that comes before ours */
        begin();
    int result = real_clock_gettime(clock, now);
    if (result != 0 || shift_ns == NULL ||
        (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return result;
    int64_t ns = now->tv_nsec + *shift_ns % NS_PER_S;
    now->tv_sec += (time_t)(*shift_ns / NS_PER_S + (ns < 0 ? -1 : ns / NS_PER_S));
    now->tv_nsec = (long)((ns + NS_PER_S) % NS_PER_S);
    return 0;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    *now = (struct timeval){ .tv_sec = precise.tv_sec, .tv_usec = precise.tv_nsec / 1000 };
    return result;
}

time_t
time(time_t *ret)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret != NULL)
        *ret = now.tv_sec;
    return now.tv_sec;
}
