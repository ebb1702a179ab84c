/* SPDX-License-Identifier: Apache-2.0 */
/* The walk through a text, and addresses of mail; see pii.h. */
#include "pii/pii.h"

#include "base/macros.h"
#include "pii/internal.h"

enum { DIGIT = 1 << 0, LETTER = 1 << 1, MARK = 1 << 2, ANY = DIGIT | LETTER | MARK };

/* In the order in which they are tried: what is checked, or long, comes first. */
static const struct kind {
    const char *label;
    match_fn *match;
    unsigned begins; /* with which of them */
    bool in_links;   /* a link is rarely meant to hold one by chance */
} kinds[] = {
    { "<EMAIL_ADDRESS>", mail_match, ANY, true },
    { "<GUID>", guid_match, DIGIT | LETTER, false },
    { "<SHA_256_HEX>", sha256_match, DIGIT | LETTER, false },
    { "<SHA1_HEX>", sha1_match, DIGIT | LETTER, false },
    { "<MD5_HEX>", md5_match, DIGIT | LETTER, false },
    { "<MAC_ADDRESS>", mac_match, DIGIT | LETTER, false },
    { "<IP>", ipv6_match, ANY, true },
    { "<IP>", ipv4_match, DIGIT, true },
    { "<IBAN>", iban_match, LETTER, true },
    { "<BITCOIN_ADDRESS>", bitcoin_match, DIGIT | LETTER, false },
    { "<ISBN>", isbn_match, DIGIT, false },
    { "<CREDIT_CARD>", card_match, DIGIT, true },
    { "<US_SSN>", ssn_match, DIGIT, true },
    { "<STREET_ADDRESS>", street_match, DIGIT, false },
    { "<PO_BOX>", po_box_match, LETTER, false },
    { "<ZIP_CODE>", zip_match, DIGIT, false },
    { "<PHONE_NUMBER>", phone_match, DIGIT | MARK, false },
};

/* --- words before ------------------------------------------------------------------------------*/

static bool
stands_at(const struct scan *s, size_t at, const char *word)
{
    for (; *word != '\0'; word++, at++)
        if (lower(byte_at(s, at)) != (unsigned char)*word)
            return false;
    return true;
}

bool
is_named(const struct scan *s, size_t at, const char *const *words, size_t count)
{
    enum { BYTES_BEFORE = 20 };
    for (size_t from = at > BYTES_BEFORE ? at - BYTES_BEFORE : 0; from < at; from++) {
        if (from > 0 && is_word(byte_at(s, from - 1)))
            continue;
        for (size_t i = 0; i < count; i++)
            if (stands_at(s, from, words[i]))
                return true;
    }
    return false;
}

/* --- mail --------------------------------------------------------------------------------------*/

/* Of letters of Latin, Greek and Cyrillic: both bytes. Other scripts have no blanks between words,
 * so that what stands before would be taken for a part of the address. */
static bool
is_far_letter(const struct scan *s, size_t at)
{
    unsigned char c = byte_at(s, at), next = byte_at(s, at + 1);
    return c >= 0xC3 && c <= 0xD6 && next >= 0x80 && next <= 0xBF;
}

/* Bytes of a character that may stand before the @; 0: it may not. */
static size_t
local_bytes(const struct scan *s, size_t at)
{
    unsigned char c = byte_at(s, at);
    if (is_word(c) || c == '.' || c == '-' || c == '+' ||
        (c > ' ' && c < 0x80 && strchr("%'&~!#$*^`{|}", c) != NULL))
        return 1;
    return is_far_letter(s, at) ? 2 : 0;
}

/* Once for all beginnings within a run. */
static void
find_run(struct scan *s, size_t at)
{
    size_t bytes;
    if (at < s->run_end)
        return;
    for (s->run_end = at; (bytes = local_bytes(s, s->run_end)) > 0;)
        s->run_end += bytes;
}

static size_t
label_end(const struct scan *s, size_t at, size_t most)
{
    while (at < most && (is_word(byte_at(s, at)) || byte_at(s, at) == '-' || is_far_letter(s, at)))
        at += is_far_letter(s, at) ? 2 : 1;
    return at;
}

/* Where a domain of at least two labels ends, the last of which has letters; 0: there is none. */
static size_t
domain_end(const struct scan *s, size_t at)
{
    enum { DOMAIN_BYTES_MAX = 255 };
    const size_t most = at + DOMAIN_BYTES_MAX;
    size_t end = 0;
    for (size_t labels = 1;; labels++) {
        size_t next = label_end(s, at, most);
        while (next > at && byte_at(s, next - 1) == '-')
            next--;
        if (next == at)
            return end;
        if (labels > 1 && next - at >= 2 && !is_digit(byte_at(s, next - 1)))
            end = next;
        if (byte_at(s, next) != '.' || next >= most)
            return end;
        at = next + 1;
    }
}

size_t
mail_match(const struct scan *s, size_t at)
{
    if (s->run_end <= at || byte_at(s, s->run_end) != '@' ||
        !(is_word(byte_at(s, at)) || is_far_letter(s, at)))
        return 0;
    size_t end = domain_end(s, s->run_end + 1);
    return end == 0 ? 0 : end - at;
}

/* --- the walk ----------------------------------------------------------------------------------*/

static void
find_link(struct scan *s, size_t at)
{
    if (at < s->link_end || (!stands_at(s, at, "http://") && !stands_at(s, at, "https://")))
        return;
    s->link_end = at;
    while (s->link_end < s->text.len && strchr(" \t\r\n<>\"", byte_at(s, s->link_end)) == NULL)
        s->link_end++;
}

/* Where something may begin. */
static bool
is_beginning(const struct scan *s, size_t at)
{
    unsigned char c = byte_at(s, at);
    if (at > 0 && is_word(byte_at(s, at - 1)))
        return false;
    return is_word(c) || c == '+' || c == '(' || c == ':' || is_far_letter(s, at);
}

static const struct kind *
match(struct scan *s, size_t at, size_t *ret_len)
{
    const unsigned char c = byte_at(s, at);
    const unsigned begins = is_digit(c) ? DIGIT : is_letter(c) ? LETTER : MARK;
    find_link(s, at);
    find_run(s, at);
    s->hex = hex_run(s, at, HEX_MAX);
    s->digits = begins == DIGIT ? digits_read(s, at, "- ") : (struct digits){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if ((kinds[i].begins & begins) == 0 || (at < s->link_end && !kinds[i].in_links))
            continue;
        *ret_len = kinds[i].match(s, at);
        if (*ret_len == 0)
            continue;
        if (kinds[i].match == street_match)
            s->address_end = at + *ret_len;
        return &kinds[i];
    }
    return NULL;
}

struct slice
pii_scrub(struct arena *arena, struct slice text)
{
    struct scan s = { .text = text };
    struct arena_bytes out = { 0 };
    size_t copied = 0, at = 0, len;
    while (at < text.len) {
        const struct kind *kind = is_beginning(&s, at) ? match(&s, at, &len) : NULL;
        if (kind == NULL) {
            at++;
            continue;
        }
        arena_append(arena, &out, slice_of(text.data + copied, at - copied));
        arena_append(arena, &out, slice_str(kind->label));
        at += len;
        copied = at;
    }
    if (copied == 0)
        return text;
    arena_append(arena, &out, slice_from(text, copied));
    return arena_bytes_slice(&out);
}
