/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the cluster; see cluster.h. */
#include "cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

enum { FILE_BYTES_MAX = 1024 * 1024 };

void
cluster_fini(struct cluster *cluster)
{
    fetch_identity_fini(&cluster->identity);
    fetch_wipe(cluster->token);
    free(cluster->token_file);
    free(cluster->server);
    free(cluster->namespace_);
    *cluster = (struct cluster){ .server = NULL };
}

static char *
copy(const char *text)
{
    char *own = strdup(text);
    if (own == NULL)
        abort();
    return own;
}

static bool
find_in_pod(struct cluster *cluster, char *error)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (host == NULL || port == NULL || *host == '\0' || *port == '\0') {
        snprintf(error, CLUSTER_ERROR_BYTES,
                 "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and "
                 "KUBERNETES_SERVICE_PORT must be defined; elsewhere kubeconfigPath names a file");
        return false;
    }
    if (asprintf(&cluster->server, strchr(host, ':') != NULL ? "https://[%s]:%s" : "https://%s:%s",
                 host, port) < 0)
        abort();
    cluster->token_file = copy(ACCOUNT "/token");
    cluster->identity.ca_file = copy(ACCOUNT "/ca.crt");
    char *token = fetch_read_token(cluster->token_file);
    bool has_token = token != NULL;
    fetch_wipe(token);
    if (!has_token)
        snprintf(error, CLUSTER_ERROR_BYTES, "open %s: no token there", cluster->token_file);
    return has_token;
}

/* malloc'ed and ended by a NUL; NULL with errno if it cannot be read or is too large. */
static char *
read_file(const char *path, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    char *bytes = calloc(1, FILE_BYTES_MAX + 1);
    size_t len = 0;
    ssize_t got = bytes == NULL ? -1 : 1;
    while (got > 0 && len <= FILE_BYTES_MAX) {
        got = read(fd, bytes + len, FILE_BYTES_MAX + 1 - len);
        len += got > 0 ? (size_t)got : 0;
    }
    int error = got < 0 ? errno : EFBIG;
    close(fd);
    if (got == 0 && len <= FILE_BYTES_MAX) {
        bytes[len] = '\0';
        *ret_len = len;
        return bytes;
    }
    if (bytes != NULL)
        explicit_bzero(bytes, FILE_BYTES_MAX + 1);
    free(bytes);
    errno = error;
    return NULL;
}

static bool
find_in_file(struct cluster *cluster, const char *path, char *error)
{
    size_t len;
    char *text = read_file(path, &len);
    if (text == NULL) {
        snprintf(error, CLUSTER_ERROR_BYTES, "open %s: %s", path, strerror(errno));
        return false;
    }
    char *folder = copy(path), *slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    bool ok = kubeconfig_read(cluster, text, len, slash != NULL ? folder : ".", error);
    explicit_bzero(text, len);
    free(text);
    free(folder);
    return ok;
}

bool
cluster_init(struct cluster *cluster, const char *kubeconfig_path, char *error)
{
    *cluster = (struct cluster){ .server = NULL };
    bool ok = kubeconfig_path != NULL ? find_in_file(cluster, kubeconfig_path, error)
                                      : find_in_pod(cluster, error);
    if (!ok)
        cluster_fini(cluster);
    return ok;
}
