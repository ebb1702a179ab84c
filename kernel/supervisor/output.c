/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a plugin's output; see output.h. A plugin may print anything, at any rate, for ever. */
#include "supervisor/output.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

void
output_init(struct output *output)
{
    *output = (struct output){ .len = 0 };
}

void
output_fini(struct output *output)
{
    for (unsigned i = 0; i < LIMIT_stderr_lines_kept; i++)
        free(output->kept[i]);
    output_init(output);
}

static void
keep(struct output *output, struct slice line)
{
    char **place = &output->kept[output->next];
    free(*place);
    *place = slice_dup_str(line);
    output->next = (output->next + 1) % LIMIT_stderr_lines_kept;
}

/* Whether the log may have another line in this second. */
static bool
is_within_rate(struct output *output)
{
    uint64_t second = clock_now_ms() / 1000;
    if (second != output->second) {
        output->second = second;
        output->logged = 0;
    }
    if (output->logged == LIMIT_plugin_output_lines_per_s) {
        output->suppressed++;
        return false;
    }
    output->logged++;
    return true;
}

/* Bytes that are not part of well-formed UTF-8, and control characters. */
static void
make_printable(char *text, size_t len)
{
    bool is_utf8 = slice_is_utf8(slice_of(text, len));
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '\t')
            text[i] = ' ';
        else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_utf8))
            text[i] = '?';
    }
}

static void
finish_line(struct output *output, output_line_fn *on_line, void *arg)
{
    struct slice line = slice_trim(slice_of(output->line, output->len));
    output->len = 0;
    make_printable(output->line + (line.data - output->line), line.len);
    if (line.len == 0)
        return;
    output->lines_total++;
    if (on_line(arg, line, is_within_rate(output)))
        keep(output, line);
}

void
output_feed(struct output *output, struct slice bytes, output_line_fn *on_line, void *arg)
{
    while (bytes.len > 0) {
        ptrdiff_t newline = slice_find_byte(bytes, '\n');
        size_t part = newline < 0 ? bytes.len : (size_t)newline;
        size_t room = sizeof output->line - output->len;
        size_t taken = part < room ? part : room;
        memcpy(output->line + output->len, bytes.data, taken);
        output->len += taken;
        if (newline < 0)
            return;
        finish_line(output, on_line, arg);
        bytes = slice_from(bytes, part + 1);
    }
}

void
output_flush(struct output *output, output_line_fn *on_line, void *arg)
{
    finish_line(output, on_line, arg);
}

const char *
output_line(const struct output *output, unsigned index)
{
    bool is_full = output->kept[output->next] != NULL;
    unsigned count = is_full ? LIMIT_stderr_lines_kept : output->next;
    if (index >= count)
        return NULL;
    return output->kept[is_full ? (output->next + index) % LIMIT_stderr_lines_kept : index];
}

const char *
output_last(const struct output *output)
{
    const char *last =
        output->kept[(output->next + LIMIT_stderr_lines_kept - 1) % LIMIT_stderr_lines_kept];
    return last == NULL ? "" : last;
}
