/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root's powers, all but those over files: a sidecar that runs as root in a container must still
 * reach a volume that belongs to somebody else. An ordinary user has none to lose.
 */
#include "exec.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    KEPT = 1 << CAP_CHOWN | 1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER | 1 << CAP_FSETID |
           1 << CAP_NET_BIND_SERVICE,
};

void
capabilities_drop(struct report *report)
{
    /* What is not in the bounding set does not come back with execve() as root. */
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (cap > 31 || (KEPT & 1u << cap) == 0)
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* refused to those who have none anyway */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* since Linux 4.3 */

    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0) {
        report_missing(report, "capabilities", strerror(errno));
        return;
    }
    for (int i = 0; i < 2; i++) {
        uint32_t kept = i == 0 ? KEPT : 0;
        data[i].effective &= kept;
        data[i].permitted &= kept;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) == 0)
        report_active(report, "capabilities");
    else
        report_missing(report, "capabilities", strerror(errno));
}
