/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of this tree say they are. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define REMORA_VERSION "edge"

#endif
