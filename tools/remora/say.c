/* SPDX-License-Identifier: Apache-2.0 */
/* Trouble on standard error; see say.h. */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>

void
complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fflush(stdout); /* so that both appear in their order */
    (void)fputs("remora: ", stderr);
    (void)vfprintf(stderr, format, args); /* nowhere else to say it */
    (void)fputc('\n', stderr);
    va_end(args);
}

int
misused(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* cut if too long */
    va_end(args);
    complain("%s; `remora help` tells what there is", text);
    return EXIT_USAGE;
}
