/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a service, for errors and logs. */
#ifndef AWS_PLUGIN_WORDS_H
#define AWS_PLUGIN_WORDS_H

#include <stddef.h>
#include <stdio.h>

/* In one line: characters that control something become blanks. */
static inline void
words_clean(char *words)
{
    for (char *c = words; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}

/* As much of a text as fits, in one line. */
static inline void
words_put_line(char *out, size_t bytes, const char *text)
{
    (void)snprintf(out, bytes, "%s", text);
    words_clean(out);
}

#endif
