/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is there, bytes that are wiped when they go, and the words of a failure. */
#ifndef CRYPTO_MEMORY_H
#define CRYPTO_MEMORY_H

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

enum { WHY_BYTES = 512, TAG_BYTES_MAX = 32 };

/* Why something failed, for users: never with a part of a key. */
struct why {
    char text[WHY_BYTES];
};

/* Always false, so that `return why_set(…)` reads well. */
bool why_set(struct why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Zeroed; ends the process if there is none. */
static inline void *
memory_new(size_t bytes)
{
    void *memory = calloc(1, bytes == 0 ? 1 : bytes);
    if (memory == NULL)
        abort();
    return memory;
}

/* What an operation gives. */
struct output {
    unsigned char *data; /* owned; NULL: nothing */
    size_t room;
    size_t len;
    unsigned char tag[TAG_BYTES_MAX];
    size_t tag_len;
};

static inline void
output_reserve(struct output *output, size_t bytes)
{
    output->data = memory_new(bytes);
    output->room = bytes;
}

/* Wipes and frees it; a zeroed one is nothing. */
static inline void
output_free(struct output *output)
{
    if (output->data != NULL)
        OPENSSL_cleanse(output->data, output->room);
    free(output->data);
    *output = (struct output){ 0 };
}

#endif
