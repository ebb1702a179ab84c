/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that clients attach to the sidecar, and who asks for its end. Any worker. */
#ifndef API_METADATA_H
#define API_METADATA_H

#include "api/request.h"
#include "control/control.h"

/* For main, before and after the workers. */
void metadata_init(struct kernel *kernel);
void metadata_fini(struct kernel *kernel);

/* Sets one attribute. ERR_MALFORMED_REQUEST beyond the limits. */
err_t metadata_set(struct request *rq, struct slice name, struct slice value) WARN_UNUSED;
/* All attributes in byte order of their names, copied to the arena. */
void metadata_list(struct request *rq, struct pair **ret_pairs, size_t *ret_count);

/* The names of the Resiliency documents in force, copied to the arena. */
struct text_list metadata_resiliencies(struct request *rq);
/* What is subscribed to, in order; valid as long as the request. Suspends. */
struct topic_spec;
size_t metadata_topics(struct request *rq, const struct topic_spec *const **ret_specs);
/* In the words of the metadata. */
struct slice metadata_placement(const struct control_status *status);
/* Those of the HTTPEndpoint documents, likewise. */
struct text_list metadata_endpoints(struct request *rq);

#endif
