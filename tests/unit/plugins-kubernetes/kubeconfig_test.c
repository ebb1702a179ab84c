/* SPDX-License-Identifier: Apache-2.0 */
/* What a kubeconfig says of its current context. */
#include "plugins/shared/cluster.h"
#include "test.h"

#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
#define CONTEXTS                                                                                   \
    "contexts:\n- name: there\n  context: {cluster: x, user: x}\n"                                 \
    "- name: here\n  context: {cluster: c, user: u, namespace: prod}\n"
#define CLUSTERS "clusters:\n- name: c\n  cluster: {server: 'https://10.0.0.1:6443/'}\n"
#define USERS "users:\n- name: u\n  user: {token: abc}\n"

static const char *
read_text(const char *text, struct cluster *cluster)
{
    static char error[CLUSTER_ERROR_BYTES];
    *error = '\0';
    *cluster = (struct cluster){ .server = NULL };
    return kubeconfig_read(cluster, text, strlen(text), "/etc/kube", error) ? "" : error;
}

static void
check_words(const char *text, const char *words)
{
    struct cluster cluster;
    const char *said = read_text(text, &cluster);
    CHECK(strstr(said, words) != NULL);
    if (strstr(said, words) == NULL)
        fprintf(stderr, "  \"%s\", not \"%s\"\n", said, words);
    cluster_fini(&cluster);
}

TEST(the_current_context_counts)
{
    struct cluster cluster;
    CHECK_EQ_STR(read_text(HEAD CONTEXTS CLUSTERS USERS, &cluster), "");
    CHECK_EQ_STR(cluster.server, "https://10.0.0.1:6443");
    CHECK_EQ_STR(cluster.token, "abc");
    CHECK_EQ_STR(cluster.namespace_, "prod");
    CHECK(cluster.token_file == NULL && cluster.identity.ca_pem == NULL);
    cluster_fini(&cluster);
}

TEST(files_are_beside_it_and_data_goes_before_them)
{
    struct cluster cluster;
    CHECK_EQ_STR(read_text(HEAD CONTEXTS
                           "clusters:\n- name: c\n  cluster:\n    server: https://k\n"
                           "    certificate-authority: ca.pem\n    tls-server-name: kube.internal\n"
                           "users:\n- name: u\n  user: {token: abc, tokenFile: sub/token,"
                           " client-key-data: a2V5}\n",
                           &cluster),
                 "");
    CHECK_EQ_STR(cluster.identity.ca_file, "/etc/kube/ca.pem");
    CHECK_EQ_STR(cluster.identity.server_name, "kube.internal");
    CHECK_EQ_STR(cluster.token_file, "/etc/kube/sub/token");
    CHECK(cluster.token == NULL);
    CHECK_EQ_STR(cluster.identity.key_pem, "key");
    cluster_fini(&cluster);
}

TEST(what_cannot_be_used_is_said)
{
    check_words("", "contexts has no entry");
    check_words("- a\n", "contexts has no entry");
    check_words("[", "is no YAML");
    check_words("a: &x [*x]\ncontexts: *x\n", "contexts has no entry");
    check_words(HEAD CONTEXTS, "clusters has no entry");
    check_words(HEAD CONTEXTS CLUSTERS, "users has no entry");
    check_words(HEAD CONTEXTS USERS "clusters:\n- name: c\n  cluster: {server: 'file:///x'}\n",
                "is no http or https address");
    check_words(HEAD CONTEXTS CLUSTERS "users:\n- name: u\n  user: {exec: {command: x}}\n",
                "another program");
    check_words(HEAD CONTEXTS CLUSTERS "users:\n- name: u\n  user: {token: \"a\\r\\nb\"}\n",
                "has a line break");
    check_words(HEAD CONTEXTS CLUSTERS "users:\n- name: u\n  user: {client-key-data: '%%'}\n",
                "is no base64");
}
