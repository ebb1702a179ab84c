/* SPDX-License-Identifier: Apache-2.0 */
/* What a schedule's reading (parse.c) and its use (schedule.c) have in common. */
#ifndef CRON_PLUGIN_PARSE_H
#define CRON_PLUGIN_PARSE_H

#include <stdint.h>

/* In a set: the field was `*` or `?`, every one of its numbers meant. */
#define SET_STAR (UINT64_C(1) << 63)

#endif
