/* SPDX-License-Identifier: Apache-2.0 */
/* See conceal.h. */
#include "main/conceal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Libraries may hold on to values they were told before, but nothing of ours has asked yet; what
 * the dynamic linker and libc keep (search paths, tunables) they keep in copies. */
void
conceal_environment(void)
{
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    char **copies = calloc(count + 1, sizeof *copies);
    if (copies == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        copies[i] = strdup(environ[i]);
        if (copies[i] == NULL)
            abort();
    }
    for (size_t i = 0; i < count; i++)
        explicit_bzero(environ[i], strlen(environ[i]));
    environ = copies; /* for good */
}

void
conceal_memory(void)
{
    const char *wish = getenv("REMORA_CORE_DUMPS");
    if (wish != NULL && strcmp(wish, "full") == 0)
        return;
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }); /* lowering is always allowed */
    const int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    /* Without /proc, or with a kernel that cannot dump, there is nothing to ask for. */
    (void)!write(fd, "0", 1);
    (void)close(fd);
}
