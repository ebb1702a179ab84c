/* SPDX-License-Identifier: Apache-2.0 */
/* bindings.aws.s3: objects of one bucket, created, read, listed and deleted, and URLs for others to
 * read them. Plugin thread only. */
#ifndef AWS_PLUGIN_S3_H
#define AWS_PLUGIN_S3_H

#include <remora_plugin.h>

void s3_init(remora_call *call, const struct remora_config *config);
void s3_close(void *self);
extern const struct remora_binding_ops s3_ops;

#endif
