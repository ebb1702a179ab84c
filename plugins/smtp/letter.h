/* SPDX-License-Identifier: Apache-2.0 */
/* A letter as it goes over the wire: its head and its body, a page of HTML. Knows no server. */
#ifndef SMTP_PLUGIN_LETTER_H
#define SMTP_PLUGIN_LETTER_H

#include <remora_plugin.h>
#include <time.h>

#include "address.h"

struct letter {
    struct remora_slice from, to, cc, bcc; /* but for the first, lists with semicolons */
    struct remora_slice subject;
    struct remora_slice body;
    int64_t priority;
    time_t at;
};

enum { LETTER_ERROR_BYTES = 512 };

struct letter_written {
    char *text; /* free(); lines end with CR and LF */
    size_t len;
    char from[ADDRESS_BYTES_MAX + 1];
    char **recipients; /* each once, those of `bcc` too, who are not in the text; letter_free() */
    size_t recipient_count;
};

/* False with words: an address is none, or a text would end its line. */
bool letter_write(const struct letter *letter, struct letter_written *ret,
                  char ret_error[LETTER_ERROR_BYTES]);
void letter_free(struct letter_written *written);

#endif
