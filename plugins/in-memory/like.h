/* SPDX-License-Identifier: Apache-2.0 */
/* SQL's LIKE: % is any run of bytes, _ one character of UTF-8, \ takes the next one literally. */
#ifndef IN_MEMORY_LIKE_H
#define IN_MEMORY_LIKE_H

#include <remora_plugin.h>

bool like_matches(struct remora_slice pattern, struct remora_slice text);

#endif
