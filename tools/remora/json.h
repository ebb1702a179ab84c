/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for scripts: every field, camelCase as in the metadata API, enums in lower case. */
#ifndef REMORA_JSON_H
#define REMORA_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"

/* An object. False beyond the buffer's maximum, as below. */
bool json_put_message(struct buf *out, const ProtobufCMessage *message) WARN_UNUSED;
/* An array of objects. `messages` is an array of pointers to messages of one type. */
bool json_put_messages(struct buf *out, size_t count, void *const *messages) WARN_UNUSED;
bool json_put_texts(struct buf *out, size_t count, char *const *texts) WARN_UNUSED;

#endif
