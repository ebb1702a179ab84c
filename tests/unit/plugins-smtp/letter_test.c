/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Letters and mailboxes: what may be in them, how it is written, and that nothing in them becomes a
 * line of its own.
 */
#include "plugins/smtp/letter.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* "name|spec", or "none". */
static const char *
parsed(const char *text)
{
    static char out[ADDRESS_BYTES_MAX + NAME_BYTES_MAX + 8];
    struct address address;
    if (!address_parse(slice(text), &address))
        return "none";
    (void)snprintf(out, sizeof out, "%s|%s", address.name, address.spec);
    return out;
}

TEST(BIND_smtp_mailboxes_with_and_without_names)
{
    CHECK_EQ_STR(parsed("a@example.com"), "|a@example.com");
    CHECK_EQ_STR(parsed("  a@example.com\t"), "|a@example.com");
    CHECK_EQ_STR(parsed("<a@example.com>"), "|a@example.com");
    CHECK_EQ_STR(parsed("Ann Example <a@example.com>"), "Ann Example|a@example.com");
    CHECK_EQ_STR(parsed("\"Example, \\\"Ann\\\"\" <a@example.com>"),
                 "Example, \"Ann\"|a@example.com");
    CHECK_EQ_STR(parsed("J\xc3\xb6rg <j@example.com>"), "J\xc3\xb6rg|j@example.com");
    CHECK_EQ_STR(parsed("a+b@localhost"), "|a+b@localhost");
    CHECK_EQ_STR(parsed("j\xc3\xb6rg@example.com"), "|j\xc3\xb6rg@example.com");
}

TEST(BIND_smtp_what_is_no_mailbox_is_refused)
{
    static const char *const bad[] = {
        "",
        " ",
        "a",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@b, c@d",
        "a@b\r\nRCPT TO:<x@y>",
        "Ann\r\nBcc: x@y <a@b>",
        "<a@b",
        "a@b>",
        "<a@b> c",
        "<a@b>>",
        "<<a@b>>",
        "a@b SIZE=1",
        "<a@b> BODY=8BITMIME>",
        "\"a\" b\" <a@b>",
        "Ann, Bob <a@b>",
        "-oQ/tmp@b",
        "\"a\nb\" <a@b>",
        "a@\x7f",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!CHECK_EQ_STR(parsed(bad[i]), "none"))
            fprintf(stderr, "  %s\n", bad[i]);
    struct address address;
    CHECK(!address_parse((struct remora_slice){ "a@b\0c", 5 }, &address));
    char longer[ADDRESS_BYTES_MAX + 3];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    longer[1] = '@';
    CHECK_EQ_STR(parsed(longer), "none");
}

static struct letter
letter_of(const char *to, const char *subject, const char *body)
{
    return (struct letter){
        .from = slice("Shop <shop@example.com>"),
        .to = slice(to),
        .cc = slice(""),
        .bcc = slice(""),
        .subject = slice(subject),
        .body = slice(body),
        .priority = 3,
        .at = 1440938160, /* 2015-08-30 12:36:00 UTC, a Sunday */
    };
}

TEST(BIND_smtp_a_letter_has_the_head_of_the_reference)
{
    char error[LETTER_ERROR_BYTES];
    struct letter_written written;
    struct letter letter = letter_of("a@example.com; Bob <b@example.com>;", "Your order",
                                     "<h1>Thanks</h1>");
    letter.cc = slice("c@example.com");
    letter.bcc = slice("d@example.com;a@example.com");
    REQUIRE(letter_write(&letter, &written, error));
    CHECK_EQ_STR(written.text, "Mime-Version: 1.0\r\n"
                               "Date: Sun, 30 Aug 2015 12:36:00 +0000\r\n"
                               "From: \"Shop\" <shop@example.com>\r\n"
                               "To: a@example.com,\r\n"
                               " \"Bob\" <b@example.com>\r\n"
                               "Cc: c@example.com\r\n"
                               "Subject: Your order\r\n"
                               "X-priority: 3\r\n"
                               "Content-Type: text/html; charset=UTF-8\r\n"
                               "Content-Transfer-Encoding: quoted-printable\r\n"
                               "\r\n"
                               "<h1>Thanks</h1>\r\n");
    CHECK_EQ_INT(written.len, strlen(written.text));
    CHECK_EQ_STR(written.from, "shop@example.com");
    REQUIRE(written.recipient_count == 4);
    CHECK_EQ_STR(written.recipients[3], "d@example.com");
    letter_free(&written);
}

static const char *
part(const char *to, const char *subject, const char *body, const char *mark)
{
    static char out[4096];
    char error[LETTER_ERROR_BYTES];
    struct letter_written written;
    const struct letter letter = letter_of(to, subject, body);
    if (!letter_write(&letter, &written, error)) {
        (void)snprintf(out, sizeof out, "%s", error);
        return out;
    }
    const char *found = strstr(written.text, mark);
    (void)snprintf(out, sizeof out, "%s", found == NULL ? "" : found + strlen(mark));
    letter_free(&written);
    return out;
}

TEST(BIND_smtp_bodies_are_quoted_printable)
{
    static const char mark[] = "printable\r\n\r\n";
    CHECK_EQ_STR(part("a@b", "s", "caf\xc3\xa9 = 1\n.\n", mark), "caf=C3=A9 =3D 1\r\n.\r\n\r\n");
    CHECK_EQ_STR(part("a@b", "s", "a \r\nb\rc\t", mark), "a=20\r\nb=0Dc=09\r\n");
    CHECK_EQ_STR(part("a@b", "s", "", mark), "\r\n");
    char body[400];
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    const char *text = part("a@b", "s", body, mark);
    for (size_t len; (len = strcspn(text, "\r")) > 0 && *text != '\0'; text += len + 2)
        CHECK(len <= 76);
}

TEST(BIND_smtp_what_is_not_ascii_is_encoded_in_heads)
{
    CHECK_EQ_STR(
        part("J\xc3\xb6rg <j@b>", "s", "", "To: "),
        "=?UTF-8?B?SsO2cmc=?= <j@b>\r\nSubject: s\r\nX-priority: 3\r\nContent-Type: "
        "text/html; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\r\n");
    CHECK(strncmp(part("a@b", "=?x", "", "Subject: "), "=?UTF-8?B?PT94?=\r\n", 18) == 0);
    char subject[1200];
    for (size_t i = 0; i + 2 < sizeof subject; i += 2)
        memcpy(subject + i, "\xc3\xa9", 3);
    const char *text = part("a@b", subject, "", "Subject: ");
    for (size_t len; (len = strcspn(text, "\r")) > 0; text += len + 2) {
        CHECK(len <= 77);
        if (strncmp(text, "X-priority", 10) == 0)
            break;
    }
}

TEST(BIND_smtp_no_line_is_added_from_outside)
{
    CHECK_EQ_STR(part("a@b", "s\r\nBcc: x@y", "", ""), "a subject is one line: \"s??Bcc: x@y\"");
    CHECK_EQ_STR(part("a@b", "s\nx", "", ""), "a subject is one line: \"s?x\"");
    CHECK_EQ_STR(part("a@b\r\nBcc: x@y", "s", "", ""), "invalid address \"a@b??Bcc: x@y\"");
    CHECK_EQ_STR(part(";;", "s", "", ""), "no address in \";;\"");
}

TEST(BIND_smtp_recipients_are_bounded)
{
    static char list[12 * (ADDRESSES_MAX + 1) + 1];
    size_t len = 0;
    for (int i = 0; i <= ADDRESSES_MAX; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "a%d@b;", i);
    CHECK_EQ_STR(part(list, "s", "", ""), "more than 1000 recipients with \"a1000@b\"");
}
