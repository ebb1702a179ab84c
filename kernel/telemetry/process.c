/* SPDX-License-Identifier: Apache-2.0 */
/* proc(5) for the process collectors; see process.h. */
#include "telemetry/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FILE_BYTES = 16 * 1024 };

/* The beginning of a small file; empty if it cannot be read. */
static struct slice
read_file(const char *path, char text[FILE_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return SLICE_EMPTY;
    size_t len = 0;
    ssize_t got;
    while (len < FILE_BYTES && (got = read(fd, text + len, FILE_BYTES - len)) > 0)
        len += (size_t)got;
    (void)close(fd); /* was only read */
    return slice_of(text, len);
}

static void
add(struct metric_samples *samples, enum metric_family family, double value)
{
    metric_samples_add(samples, family, SLICE_EMPTY, value);
}

/* Field `wanted` of blank-separated text, from 0; false if there is none or it is no number. */
static bool
field(struct slice text, size_t wanted, uint64_t *ret_value)
{
    struct slice part;
    for (size_t i = 0; slice_split(&text, ' ', &part); i++)
        if (i == wanted)
            return slice_to_u64(slice_trim(part), ret_value);
    return false;
}

static double
boot_unix_s(char text[FILE_BYTES])
{
    struct slice rest = read_file("/proc/stat", text), line;
    uint64_t seconds;
    while (slice_split(&rest, '\n', &line))
        if (slice_has_prefix(line, SLICE("btime ")) && field(line, 1, &seconds))
            return (double)seconds;
    return 0;
}

/* Numbers are those behind the name in parentheses, which may hold anything. */
static void
sample_stat(struct metric_samples *samples, char text[FILE_BYTES])
{
    enum { THREADS = 17, STARTED = 19, VIRTUAL = 20, RESIDENT = 21 };
    struct slice all = read_file("/proc/self/stat", text);
    ptrdiff_t end = -1;
    for (size_t i = 0; i < all.len; i++)
        end = all.data[i] == ')' ? (ptrdiff_t)i : end;
    struct slice fields = slice_from(all, (size_t)(end + 2));
    uint64_t value;
    if (field(fields, THREADS, &value))
        add(samples, FAMILY_process_threads, (double)value);
    if (field(fields, VIRTUAL, &value))
        add(samples, FAMILY_process_virtual_memory_bytes, (double)value);
    if (field(fields, RESIDENT, &value))
        add(samples, FAMILY_process_resident_memory_bytes,
            (double)value * (double)sysconf(_SC_PAGESIZE));
    if (field(fields, STARTED, &value))
        add(samples, FAMILY_process_start_time_seconds,
            boot_unix_s(text) + (double)value / (double)sysconf(_SC_CLK_TCK));
}

static void
sample_usage(struct metric_samples *samples)
{
    struct rusage usage;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        add(samples, FAMILY_process_cpu_seconds_total,
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        add(samples, FAMILY_process_max_fds, (double)limit.rlim_cur);
    if (getrlimit(RLIMIT_AS, &limit) == 0)
        add(samples, FAMILY_process_virtual_memory_max_bytes, (double)limit.rlim_cur);
}

static void
sample_descriptors(struct metric_samples *samples)
{
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return;
    double count = -3; /* ".", ".." and the folder itself */
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder); /* was only read */
    add(samples, FAMILY_process_open_fds, count);
}

/* A line of names and, below it, one of numbers. */
static void
sample_network(struct metric_samples *samples, char text[FILE_BYTES])
{
    struct slice rest = read_file("/proc/self/net/netstat", text), names, numbers, name;
    while (slice_split(&rest, '\n', &names) && slice_split(&rest, '\n', &numbers)) {
        if (!slice_has_prefix(names, SLICE("IpExt:")))
            continue;
        for (size_t i = 0; slice_split(&names, ' ', &name); i++) {
            uint64_t value;
            bool is_in = slice_eq(name, SLICE("InOctets"));
            if ((is_in || slice_eq(name, SLICE("OutOctets"))) && field(numbers, i, &value))
                add(samples,
                    is_in ? FAMILY_process_network_receive_bytes_total
                          : FAMILY_process_network_transmit_bytes_total,
                    (double)value);
        }
    }
}

void
process_sample(struct metric_samples *samples)
{
    char *text = arena_alloc(samples->arena, FILE_BYTES);
    sample_usage(samples);
    sample_descriptors(samples);
    sample_stat(samples, text);
    sample_network(samples, text);
}
