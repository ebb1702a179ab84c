/* SPDX-License-Identifier: Apache-2.0 */
/* What a server says of its replicas; see replication.h. */
#include "replication.h"

#include <string.h>

/* "…\r\nconnected_slaves:1\r\n…" */
unsigned
replication_count(struct remora_slice info)
{
    static const char field[] = "connected_slaves:";
    const char *at = info.len == 0 ? NULL : memmem(info.data, info.len, field, sizeof field - 1);
    unsigned count = 0;
    if (at == NULL)
        return 0;
    for (at += sizeof field - 1; at < info.data + info.len && *at >= '0' && *at <= '9'; at++)
        count = count > 1000 ? count : count * 10 + (unsigned)(*at - '0');
    return count;
}
