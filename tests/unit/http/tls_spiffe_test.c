/* SPDX-License-Identifier: Apache-2.0 */
/* Mutual TLS between streams whose owners go by SPIFFE ids, with certificates of each kind. */
#include "unit/http/authority.h"
#include "unit/http/tls_bed.h"

#define SHOP "spiffe://public/ns/default/shop"
#define BANK "spiffe://public/ns/default/bank"

static struct tls_config
config_of(const struct authority *trusted, const struct workload *workload, bool is_server)
{
    return (struct tls_config){ .is_server = is_server,
                                .verifies_spiffe = true,
                                .ca = slice_str(trusted->anchors),
                                .cert = slice_str(workload->chain),
                                .key = slice_str(workload->key),
                                .alpn = SLICE("h2") };
}

/* What the two ends make of each other. */
struct meeting {
    const struct authority *client_trusts, *server_trusts;
    const struct workload *client, *server; /* no client: it shows nothing */
    const char *expected;                   /* NULL: any */
};

/* Both ends say whether they are content; words of those that are not. */
static void
check_meeting(const struct meeting *meeting, const char *client_says, const char *server_says)
{
    static char none[] = "";
    const struct workload nothing = { .chain = none, .key = none };
    struct bed bed;
    struct tls_config client = config_of(
        meeting->client_trusts, meeting->client == NULL ? &nothing : meeting->client, false);
    struct tls_config server = config_of(meeting->server_trusts, meeting->server, true);
    bed_begin(&bed, &client, &server);
    if (meeting->expected != NULL)
        bed.client.peer_id = slice_str(meeting->expected);
    bed_meet(&bed);
    REQUIRE(stream_write(&bed.client.stream, SLICE("question")));
    DRIVE_UNTIL(&bed.worker, bed.server.in.len == 8 || bed.server.is_failed);
    if (server_says != NULL || client_says != NULL) {
        CHECK_EQ_U64(bed.server.in.len, 0);
        DRIVE_UNTIL(&bed.worker, bed.client.is_failed && bed.server.is_failed);
        struct slice said[] = { tls_error(&bed.client.stream), tls_error(&bed.server.stream) };
        if (!CHECK(slice_find(said[0], slice_str(client_says)) >= 0) ||
            !CHECK(slice_find(said[1], slice_str(server_says)) >= 0))
            fprintf(stderr, "  client: " SLICE_FMT "\n  server: " SLICE_FMT "\n",
                    SLICE_ARG(said[0]), SLICE_ARG(said[1]));
        CHECK_EQ_U64(tls_peer_id(&bed.server.stream).len, 0);
    } else {
        CHECK_SLICE_IS(tls_peer_id(&bed.client.stream), BANK);
        CHECK_SLICE_IS(tls_peer_id(&bed.server.stream), SHOP);
        CHECK_SLICE_IS(tls_alpn(&bed.server.stream), "h2");
    }
    close_bed(&bed);
}

TEST(both_ends_prove_who_they_are_with_keys_of_each_kind)
{
    for (int kind = 0; kind < KEY_KINDS; kind++) {
        struct authority ours;
        struct workload shop, bank;
        authority_open(&ours, (enum key_kind)kind, "root");
        workload_make(&shop, &ours,
                      &(struct leaf){ .names = "URI:" SHOP, .kind = (enum key_kind)kind });
        workload_make(&bank, &ours, &(struct leaf){ .names = "URI:" BANK });
        check_meeting(&(struct meeting){ &ours, &ours, &shop, &bank, BANK }, NULL, NULL);
        check_meeting(&(struct meeting){ &ours, &ours, &shop, &bank, NULL }, NULL, NULL);
        workload_free(&shop);
        workload_free(&bank);
        authority_close(&ours);
    }
}

TEST(who_is_wrong_is_refused_before_a_byte_is_taken)
{
    struct authority ours, other;
    struct workload shop, bank, stranger, late, early, twice, ca;
    authority_open(&ours, KEY_ED25519, "root");
    authority_open(&other, KEY_ED25519, "root"); /* of the same name */
    workload_make(&shop, &ours, &(struct leaf){ .names = "URI:" SHOP });
    workload_make(&bank, &ours, &(struct leaf){ .names = "URI:" BANK });
    workload_make(&stranger, &other, &(struct leaf){ .names = "URI:" SHOP });
    workload_make(&late, &ours, &(struct leaf){ .names = "URI:" SHOP, .ends_s = -1 });
    workload_make(&early, &ours, &(struct leaf){ .names = "URI:" SHOP, .starts_s = 60 });
    workload_make(&twice, &ours, &(struct leaf){ .names = "URI:" SHOP ",URI:" BANK });
    workload_make(&ca, &ours,
                  &(struct leaf){ .names = "URI:" SHOP,
                                  .is_authority = true,
                                  .usage = "critical,digitalSignature,keyCertSign" });
    const struct {
        struct meeting meeting;
        const char *client_says, *server_says;
    } rows[] = {
        { { &ours, &ours, &shop, &bank, SHOP }, "unexpected ID \"" BANK "\"", "bad certificate" },
        { { &ours, &ours, &shop, &bank, BANK "er" }, "unexpected ID", "bad certificate" },
        { { &ours, &ours, &shop, &bank, "spiffe://other/ns/default/bank" }, "unexpected ID", "" },
        { { &ours, &ours, NULL, &bank, BANK }, "certificate required", "didn't provide" },
        { { &ours, &ours, &stranger, &bank, BANK },
          "unknown certificate authority",
          "certificate signed by unknown authority" },
        { { &ours, &ours, &late, &bank, BANK },
          "expired certificate",
          "certificate has expired or is not yet valid" },
        { { &ours, &ours, &early, &bank, BANK },
          "bad certificate",
          "certificate has expired or is not yet valid" },
        { { &ours, &ours, &twice, &bank, BANK }, "", "more than one URI SAN" },
        { { &ours, &ours, &ca, &bank, BANK }, "", "CA flag" },
        { { &other, &ours, &shop, &bank, BANK },
          "certificate signed by unknown authority",
          "unknown certificate authority" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_meeting(&rows[i].meeting, rows[i].client_says, rows[i].server_says);
    struct workload *all[] = { &shop, &bank, &stranger, &late, &early, &twice, &ca };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        workload_free(all[i]);
    authority_close(&ours);
    authority_close(&other);
}

TEST(anchors_that_cannot_be_read_are_an_error_of_the_context)
{
    struct tls_context *context = tls_context_new(
        &(struct tls_config){ .verifies_spiffe = true, .ca = SLICE("no PEM") });
    struct worker worker;
    struct arena arena;
    struct diag diag;
    struct end end = { 0 };
    int fds[2];
    driver_open(&worker);
    arena_init(&arena);
    diag_init(&diag, &arena);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    stream_open(&end.stream, &worker, fds[0], &bed_events, 1024);
    for (int turn = 0; turn < 2; turn++) {
        CHECK(!tls_start(&end.stream, context, SLICE_EMPTY, &diag));
        CHECK(slice_find(diag.message, SLICE("trust anchors")) >= 0);
    }
    stream_close(&end.stream);
    (void)close(fds[1]);
    tls_context_unref(context);
    arena_fini(&arena);
    driver_close(&worker);
}
