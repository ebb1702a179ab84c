/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata of a message as headers of a record, and a record's headers as metadata. The key travels
 * as metadata too, and what the server knows of a record comes as metadata whose names begin with
 * two underscores.
 */
#ifndef KAFKA_HEADERS_H
#define KAFKA_HEADERS_H

#include <librdkafka/rdkafka.h>

#include "settings.h"

/* The metadata of a message, and behind it that of its request, which wins. */
struct header_source {
    const struct remora_pair *own, *shared;
    size_t own_count, shared_count;
};

/* The value of a name, which is compared as it is; the last one counts. False: there is none. */
bool
header_source_find(const struct header_source *from, const char *name, struct remora_slice *ret);
/* Whether values are Avro, which is what metadata `valueSchemaType` say. False: it is neither Avro
 * nor None, in the words of the reference. */
enum { HEADERS_KIND_BYTES = 128 };
bool headers_read_kind(struct remora_slice kind, bool *ret_avro, char *why, size_t why_bytes);
/* NULL: there are none. Owned by the caller. */
rd_kafka_headers_t *headers_make(const struct settings *settings, const struct header_source *from);

/* Metadata of a delivery. Texts that are made lie in one piece of memory. */
struct header_pairs {
    struct remora_pair *pairs;
    size_t count;
    char *made;
};

void header_pairs_init(struct header_pairs *ret, const struct settings *settings,
                       const rd_kafka_message_t *message);
void header_pairs_fini(struct header_pairs *pairs);

#endif
