/* SPDX-License-Identifier: Apache-2.0 */
/* Which socket a component type is behind. */
#ifndef BRIDGE_SOCKETS_H
#define BRIDGE_SOCKETS_H

#include <remora_plugin.h>

/* Of "state.NAME": the socket NAME with any extension, in any case; where there is none yet,
 * NAME.sock. From malloc(); NULL if that can be no file's name. */
char *sockets_path(struct remora_slice type);

#endif
