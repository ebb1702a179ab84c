/* SPDX-License-Identifier: Apache-2.0 */
/* Letters: five lines, from, to, copies, blind copies, subject, and the body behind them; in the
 * lines "\1" is a CR and "\2" a LF. Whatever they are, the head has the lines that it is to have,
 * and the body none that is too long. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/shared/base64.c"
#include "plugins/smtp/address.c"
#include "plugins/smtp/letter.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct remora_slice
take_line(struct remora_slice *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    struct remora_slice line = { rest->data, end != NULL ? (size_t)(end - rest->data) : rest->len };
    const size_t used = line.len + (end != NULL);
    *rest = (struct remora_slice){ rest->data + used, rest->len - used };
    return line;
}

static bool
is_header(const char *line)
{
    static const char *const names[] = { "Mime-Version: ",
                                         "Date: ",
                                         "From: ",
                                         "To: ",
                                         "Cc: ",
                                         "Subject: ",
                                         "X-priority: ",
                                         "Content-Type",
                                         "Content-Transfer-Encoding: ",
                                         " " };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void
check(const struct letter_written *written)
{
    bool is_body = false;
    assert(strlen(written->text) == written->len && written->recipient_count > 0);
    for (const char *line = written->text; *line != '\0';) {
        const size_t len = strcspn(line, "\r\n");
        assert(line[len] == '\r' && line[len + 1] == '\n');
        assert(len <= (is_body ? 76 : 998));
        assert(is_body || len == 0 || is_header(line));
        is_body = is_body || len == 0;
        line += len + 2;
    }
    for (size_t i = 0; i < written->recipient_count; i++)
        assert(strpbrk(written->recipients[i], " <>\r\n\t,;") == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[LETTER_ERROR_BYTES] = "", *text = memory_new(size + 1);
    struct letter_written written;
    for (size_t i = 0; i < size; i++)
        text[i] = data[i] == 1 ? '\r' : data[i] == 2 ? '\n' : (char)data[i];
    /* Lines are those of the input. */
    struct remora_slice rest = { (const char *)data, size };
    struct letter letter = { .priority = 3 };
    struct remora_slice *const parts[] = { &letter.from, &letter.to, &letter.cc, &letter.bcc,
                                           &letter.subject };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *parts[i] = take_line(&rest);
        parts[i]->data = text + (parts[i]->data - (const char *)data);
    }
    letter.body = (struct remora_slice){ text + (rest.data - (const char *)data), rest.len };
    if (letter_write(&letter, &written, error)) {
        check(&written);
        letter_free(&written);
    } else {
        assert(error[0] != '\0' && strpbrk(error, "\r\n") == NULL);
    }
    free(text);
    return 0;
}
