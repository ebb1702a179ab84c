/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of brokers, bindings and users as headers: what of it may stand in a head. */
#ifndef API_HEADER_TEXT_H
#define API_HEADER_TEXT_H

#include "base/arena.h"
#include "base/slice.h"

/* In lower case, behind the prefix; empty: it is no name for a header of HTTP and gRPC both. */
struct slice header_text_name(struct arena *arena, struct slice prefix, struct slice name);
bool header_text_is_value(struct slice value);
/* Values of gRPC metadata are printable ASCII. */
bool header_text_is_ascii(struct slice value);

#endif
