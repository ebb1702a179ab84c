/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request goes, and what of it may be shown. */
#ifndef HTTP_PLUGIN_TARGET_H
#define HTTP_PLUGIN_TARGET_H

#include <remora_plugin.h>

/*
 * The component's URL with the path of a request behind it, one slash between; what may not stand
 * in a request line is percent-encoded, the rest is as it was written, dots included. malloc();
 * NULL: there are control characters in it, or it is longer than any server takes.
 */
char *target_make(const char *url, struct remora_slice path);

/* Without user and password, for errors; malloc(). */
char *target_shown(const char *target);

/* Names and values of headers, as HTTP has them. */
bool target_is_header_name(struct remora_slice name);
bool target_is_header_value(struct remora_slice value);

#endif
