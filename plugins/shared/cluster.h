/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the API server is and who we are. In a pod the cluster says so in the environment and in
 * files; elsewhere a kubeconfig does, whose current context counts.
 */
#ifndef PLUGINS_SHARED_CLUSTER_H
#define PLUGINS_SHARED_CLUSTER_H

#include <remora_plugin.h>

#include "fetch.h"

enum { CLUSTER_ERROR_BYTES = 512 };

struct cluster {
    struct fetch_identity identity;
    /* Owned; NULL: not given. */
    char *server;     /* "https://10.0.0.1:443", without a slash behind */
    char *token;      /* of a kubeconfig */
    char *token_file; /* read for each request: it is exchanged from time to time */
    char *namespace_; /* of the context */
};

/* On failure nothing is kept and `error`, of CLUSTER_ERROR_BYTES, says why. No secret is in it. */
bool cluster_init(struct cluster *cluster, const char *kubeconfig_path, char *error);
void cluster_fini(struct cluster *cluster);

/* kubeconfig.c; `text` is the file's, `folder` what its relative paths begin at. What has been
 * filled in stays on failure. */
bool kubeconfig_read(struct cluster *cluster, const char *text, size_t len, const char *folder,
                     char *error);

#endif
