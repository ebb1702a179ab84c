/* SPDX-License-Identifier: Apache-2.0 */
/* Answers, which are lines, and in one case a line, bytes and a line; see answer.h. */
#include "answer.h"

#include <string.h>

/* --- keys and times ----------------------------------------------------------------------------*/

bool
key_is_legal(struct remora_slice key)
{
    if (key.len == 0 || key.len > KEY_BYTES_MAX)
        return false;
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)key.data[i] <= ' ' || key.data[i] == 0x7f)
            return false;
    return true;
}

/* CRC-32 as in Ethernet and zip. */
static uint32_t
crc32_of(struct remora_slice bytes)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned char)bytes.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

size_t
key_place(struct remora_slice key, size_t server_count)
{
    return server_count <= 1 ? 0 : crc32_of(key) % server_count;
}

bool
expiry_of(int64_t ttl_s, int64_t now_unix_s, int64_t *ret_expiry)
{
    if (ttl_s <= 0) {
        *ret_expiry = 0; /* never */
        return true;
    }
    /* From thirty days on the server takes the number for a point in time, in 32 bits. */
    if (ttl_s >= EXPIRY_RELATIVE_MAX_S) {
        if (ttl_s > INT32_MAX - now_unix_s)
            return false;
        ttl_s += now_unix_s;
    }
    *ret_expiry = ttl_s;
    return true;
}

/* --- lines -------------------------------------------------------------------------------------*/

/* The first line without its end. False: it is not complete; then *ret_is_bad if it never will. */
static bool
take_line(const char *data, size_t len, struct remora_slice *ret, bool *ret_is_bad)
{
    const char *end = len == 0 ? NULL : memchr(data, '\n', len);
    size_t bytes = end == NULL ? len : (size_t)(end - data);
    *ret_is_bad = bytes > LINE_BYTES_MAX || (end != NULL && (bytes == 0 || end[-1] != '\r'));
    if (end == NULL || *ret_is_bad)
        return false;
    *ret = (struct remora_slice){ data, bytes - 1 };
    return true;
}

static bool
starts_with(struct remora_slice line, const char *words)
{
    size_t len = strlen(words);
    return line.len >= len && memcmp(line.data, words, len) == 0;
}

static struct answer
answer_of(enum answer_kind kind, size_t bytes)
{
    return (struct answer){ .kind = kind, .bytes = bytes };
}

static struct answer
refusal_of(struct remora_slice line)
{
    struct answer answer = answer_of(
        starts_with(line, "SERVER_ERROR object too large") ? ANSWER_TOO_LARGE : ANSWER_REFUSED,
        line.len + 2);
    answer.value = line;
    return answer;
}

/* --- values ------------------------------------------------------------------------------------*/

/* "VALUE key flags bytes[ cas]"; the rest after the key. */
static bool
read_head(struct remora_slice line, struct remora_slice key, size_t *ret_bytes)
{
    static const char word[] = "VALUE ";
    size_t head = sizeof(word) - 1;
    if (line.len < head + key.len + 1 || memcmp(line.data, word, head) != 0 ||
        memcmp(line.data + head, key.data, key.len) != 0 || line.data[head + key.len] != ' ')
        return false;
    const char *flags = line.data + head + key.len + 1, *end = line.data + line.len;
    const char *space = memchr(flags, ' ', (size_t)(end - flags));
    if (space == NULL)
        return false;
    const char *number = space + 1, *number_end = memchr(number, ' ', (size_t)(end - number));
    if (number_end == NULL)
        number_end = end;
    int64_t flag_bits, bytes;
    if (!remora_parse_i64((struct remora_slice){ flags, (size_t)(space - flags) }, &flag_bits) ||
        !remora_parse_i64((struct remora_slice){ number, (size_t)(number_end - number) }, &bytes) ||
        bytes < 0 || bytes > VALUE_BYTES_MAX)
        return false;
    *ret_bytes = (size_t)bytes;
    return true;
}

/* `head` is the first line: its value and "END" follow. */
static struct answer
read_value(struct remora_slice head, struct remora_slice key, const char *data, size_t len)
{
    static const char tail[] = "\r\nEND\r\n";
    size_t bytes, at = head.len + 2, tail_len = sizeof(tail) - 1;
    if (!read_head(head, key, &bytes))
        return answer_of(ANSWER_BAD, 0);
    if (len < at + bytes + tail_len)
        return answer_of(ANSWER_MORE, 0);
    if (memcmp(data + at + bytes, tail, tail_len) != 0)
        return answer_of(ANSWER_BAD, 0);
    struct answer answer = answer_of(ANSWER_VALUE, at + bytes + tail_len);
    answer.value = (struct remora_slice){ data + at, bytes };
    return answer;
}

struct answer
answer_read(enum command command, struct remora_slice key, const char *data, size_t len)
{
    struct remora_slice line;
    bool is_bad;
    if (!take_line(data, len, &line, &is_bad))
        return answer_of(is_bad ? ANSWER_BAD : ANSWER_MORE, 0);
    if (starts_with(line, "SERVER_ERROR ") || starts_with(line, "CLIENT_ERROR ") ||
        remora_slice_eq(line, "ERROR") ||
        (command == COMMAND_SET && remora_slice_eq(line, "NOT_STORED")))
        return refusal_of(line);
    switch (command) {
    case COMMAND_GET:
        return remora_slice_eq(line, "END") ? answer_of(ANSWER_MISSING, line.len + 2)
                                            : read_value(line, key, data, len);
    case COMMAND_SET:
        return answer_of(remora_slice_eq(line, "STORED") ? ANSWER_DONE : ANSWER_BAD, line.len + 2);
    case COMMAND_DELETE:
        return answer_of(remora_slice_eq(line, "DELETED")     ? ANSWER_DONE
                         : remora_slice_eq(line, "NOT_FOUND") ? ANSWER_MISSING
                                                              : ANSWER_BAD,
                         line.len + 2);
    case COMMAND_VERSION:
    default:
        return answer_of(starts_with(line, "VERSION ") ? ANSWER_DONE : ANSWER_BAD, line.len + 2);
    }
}
