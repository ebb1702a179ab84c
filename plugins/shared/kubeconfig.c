/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kubeconfig: its current context names a cluster and a user, each an entry of a list by its
 * name. What starts another program for a token is refused. A document is a tree in the parser's
 * memory, whose depth it bounds itself; aliases are never followed twice, as only names are looked
 * up.
 */
#include "cluster.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "base64.h"

struct reader {
    yaml_document_t document;
    const char *folder;
    char *error;
    bool has_failed; /* the first failure counts */
};

static void
fail(struct reader *r, const char *what, const char *words)
{
    if (!r->has_failed)
        snprintf(r->error, CLUSTER_ERROR_BYTES, "kubeconfig: %.100s %s", what, words);
    r->has_failed = true;
}

/* --- the tree ----------------------------------------------------------------------------------*/

static const char *
scalar(const yaml_node_t *node)
{
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value
                                                          : NULL;
}

/* NULL if `from` is no map or has no such member. */
static yaml_node_t *
member(struct reader *r, const yaml_node_t *from, const char *name)
{
    if (from == NULL || from->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *pair = from->data.mapping.pairs.start;
         pair < from->data.mapping.pairs.top; pair++) {
        const char *key = scalar(yaml_document_get_node(&r->document, pair->key));
        if (key != NULL && strcmp(key, name) == 0)
            return yaml_document_get_node(&r->document, pair->value);
    }
    return NULL;
}

/* NULL if it is absent or empty. */
static const char *
text_of(struct reader *r, const yaml_node_t *from, const char *name)
{
    const char *text = scalar(member(r, from, name));
    return text != NULL && *text != '\0' ? text : NULL;
}

/* The member `body` of the list's entry of that name. */
static const yaml_node_t *
entry(struct reader *r, const yaml_node_t *root, const char *list, const char *name,
      const char *body)
{
    const yaml_node_t *items = member(r, root, list);
    if (items == NULL || items->type != YAML_SEQUENCE_NODE || name == NULL) {
        fail(r, list, "has no entry for the current context");
        return NULL;
    }
    for (const yaml_node_item_t *item = items->data.sequence.items.start;
         item < items->data.sequence.items.top; item++) {
        const yaml_node_t *one = yaml_document_get_node(&r->document, *item);
        const char *own = text_of(r, one, "name");
        if (own != NULL && strcmp(own, name) == 0)
            return member(r, one, body);
    }
    fail(r, list, "has no entry for the current context");
    return NULL;
}

/* --- values ------------------------------------------------------------------------------------*/

static char *
copy(const char *text)
{
    char *own = text == NULL ? NULL : strdup(text);
    if (text != NULL && own == NULL)
        abort();
    return own;
}

/* A path relative to the file. */
static char *
path_of(struct reader *r, const yaml_node_t *from, const char *name)
{
    const char *text = text_of(r, from, name);
    char *path = NULL;
    if (text == NULL || *text == '/')
        return copy(text);
    if (asprintf(&path, "%s/%s", r->folder, text) < 0)
        abort();
    return path;
}

/* Base64 of a text. */
static char *
data_of(struct reader *r, const yaml_node_t *from, const char *name)
{
    const char *text = text_of(r, from, name);
    if (text == NULL)
        return NULL;
    size_t len = 0;
    char *data = calloc(1, strlen(text) + 1);
    if (data == NULL)
        abort();
    if (!base64_decode(text, strlen(text), data, &len) || strlen(data) != len) {
        fail(r, name, "is no base64 of a text");
        free(data);
        return NULL;
    }
    return data;
}

static char *
pem_of(struct reader *r, const yaml_node_t *from, const char *data_name, const char *path_name)
{
    enum { PEM_BYTES_MAX = 256 * 1024 };
    char *pem = data_of(r, from, data_name);
    if (pem != NULL)
        return pem;
    char *path = path_of(r, from, path_name);
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    if (path != NULL && file == NULL)
        fail(r, path_name, "cannot be read");
    if (file != NULL) {
        pem = calloc(1, PEM_BYTES_MAX + 1);
        if (pem == NULL)
            abort();
        if (fread(pem, 1, PEM_BYTES_MAX + 1, file) > PEM_BYTES_MAX)
            fail(r, path_name, "is too large");
        pem[PEM_BYTES_MAX] = '\0';
        (void)fclose(file); /* nothing was written */
    }
    free(path);
    return pem;
}

static bool
bool_of(struct reader *r, const yaml_node_t *from, const char *name)
{
    const char *text = text_of(r, from, name);
    return text != NULL && strcasecmp(text, "true") == 0;
}

/* --- the two entries ---------------------------------------------------------------------------*/

static void
read_server(struct reader *r, const yaml_node_t *cluster, struct cluster *ret)
{
    const char *server = text_of(r, cluster, "server");
    if (server == NULL ||
        (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0) ||
        strpbrk(server, "?#@ \r\n") != NULL) {
        fail(r, "server", "is no http or https address");
        return;
    }
    ret->server = copy(server);
    for (size_t len = strlen(server); len > 0 && ret->server[len - 1] == '/'; len--)
        ret->server[len - 1] = '\0';
    struct fetch_identity *identity = &ret->identity;
    identity->ca_pem = data_of(r, cluster, "certificate-authority-data");
    if (identity->ca_pem == NULL)
        identity->ca_file = path_of(r, cluster, "certificate-authority");
    identity->skip_verify = bool_of(r, cluster, "insecure-skip-tls-verify");
    identity->server_name = copy(text_of(r, cluster, "tls-server-name"));
}

static void
read_user(struct reader *r, const yaml_node_t *user, struct cluster *ret)
{
    if (member(r, user, "exec") != NULL || member(r, user, "auth-provider") != NULL)
        fail(r, "users", "has a user whose token another program makes, which is not supported");
    ret->token_file = path_of(r, user, "tokenFile"); /* which goes before a token */
    ret->token = ret->token_file == NULL ? copy(text_of(r, user, "token")) : NULL;
    if (ret->token != NULL && strpbrk(ret->token, "\r\n") != NULL)
        fail(r, "token", "has a line break");
    ret->identity.cert_pem = pem_of(r, user, "client-certificate-data", "client-certificate");
    ret->identity.key_pem = pem_of(r, user, "client-key-data", "client-key");
}

static void
read_all(struct reader *r, struct cluster *ret)
{
    yaml_node_t *root = yaml_document_get_root_node(&r->document);
    const char *current = text_of(r, root, "current-context");
    const yaml_node_t *context = entry(r, root, "contexts", current, "context");
    const yaml_node_t *cluster = entry(r, root, "clusters", text_of(r, context, "cluster"),
                                       "cluster");
    const yaml_node_t *user = entry(r, root, "users", text_of(r, context, "user"), "user");
    if (r->has_failed)
        return;
    ret->namespace_ = copy(text_of(r, context, "namespace"));
    read_server(r, cluster, ret);
    read_user(r, user, ret);
}

bool
kubeconfig_read(struct cluster *cluster, const char *text, size_t len, const char *folder,
                char *error)
{
    struct reader r = { .folder = folder, .error = error };
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        abort();
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (yaml_parser_load(&parser, &r.document)) {
        read_all(&r, cluster);
        yaml_document_delete(&r.document);
    } else {
        fail(&r, "the file", "is no YAML");
    }
    yaml_parser_delete(&parser);
    return !r.has_failed;
}
