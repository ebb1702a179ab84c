/* SPDX-License-Identifier: Apache-2.0 */
/* SCRAM by the examples of the RFCs, and what a server may get wrong. */
#include "plugins/kafka/scram.h"

#include "test.h"

/* RFC 7677, section 3. */
#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define CHALLENGE "r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

static struct scram scram;
static char out[SCRAM_TEXT_BYTES];

static size_t
answer_to(const char *challenge)
{
    REQUIRE(scram_init(&scram, "SCRAM-SHA-256", "user", "pencil", NONCE));
    return scram_final(&scram, challenge, strlen(challenge), out);
}

static bool
is_proved(const char *text)
{
    return scram_is_proved(&scram, text, strlen(text));
}

TEST(the_example_of_RFC_7677_holds)
{
    REQUIRE(scram_init(&scram, "SCRAM-SHA-256", "user", "pencil", NONCE));
    size_t len = scram_first(&scram, out);
    CHECK_EQ_INT(len, strlen(out));
    CHECK_EQ_STR(out, "n,,n=user,r=" NONCE);
    len = scram_final(&scram, CHALLENGE, strlen(CHALLENGE), out);
    CHECK_EQ_INT(len, strlen(out));
    CHECK_EQ_STR(out, "c=biws,r=" SERVER_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    CHECK(is_proved("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    CHECK(!is_proved("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    CHECK(!is_proved("e=other-error"));
    CHECK(!is_proved(""));
}

TEST(each_login_has_a_nonce_of_its_own)
{
    static struct scram other;
    REQUIRE(scram_init(&scram, "SCRAM-SHA-512", "u", "p", NULL));
    REQUIRE(scram_init(&other, "SCRAM-SHA-512", "u", "p", NULL));
    CHECK_EQ_INT(strlen(scram.nonce), SCRAM_NONCE_BYTES);
    CHECK(strcmp(scram.nonce, other.nonce) != 0);
    CHECK_EQ_INT(scram.digest_bytes, 64);
}

TEST(a_name_is_escaped_and_bounded)
{
    char name[SCRAM_TEXT_BYTES];
    REQUIRE(scram_init(&scram, "SCRAM-SHA-256", "a=b,c", "p", NONCE));
    (void)scram_first(&scram, out);
    CHECK_EQ_STR(out, "n,,n=a=3Db=2Cc,r=" NONCE);
    memset(name, ',', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK(!scram_init(&scram, "SCRAM-SHA-256", name, "p", NONCE));
}

TEST(a_challenge_that_makes_no_sense_is_not_answered)
{
    static const char *const rows[] = {
        "",
        "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", /* nothing of the server's */
        "r=other" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "s=W22ZaJ0SNY7soEsUEjb6gQ==,r=" SERVER_NONCE ",i=4096",
        "r=" SERVER_NONCE ",s=?,i=4096",
        "r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
        "r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999999999999",
        "r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001",
        "r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==",
        "m=ext,r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    };
    char text[SCRAM_TEXT_BYTES * 2];
    CHECK(answer_to(CHALLENGE) > 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_EQ_INT(answer_to(rows[i]), 0);
    int len = snprintf(text, sizeof text, "r=%s", SERVER_NONCE);
    memset(text + len, 'x', sizeof text - (size_t)len - 1);
    text[sizeof text - 1] = '\0';
    CHECK_EQ_INT(answer_to(text), 0);
}
