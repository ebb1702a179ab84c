/* SPDX-License-Identifier: Apache-2.0 */
/* The types of this plugin, a file each, and the answers that they have in common. */
#ifndef MIDDLEWARE_TYPES_H
#define MIDDLEWARE_TYPES_H

#include "remora_plugin.h"

/* Life and work of each; see struct remora_component_type. */
void ratelimit_init(remora_call *call, const struct remora_config *config);
void ratelimit_close(void *self);
void ratelimit_handle(remora_call *call, void *self, const struct remora_http_request *request);

void routeralias_init(remora_call *call, const struct remora_config *config);
void routeralias_close(void *self);
void routeralias_handle(remora_call *call, void *self, const struct remora_http_request *request);

void routerchecker_init(remora_call *call, const struct remora_config *config);
void routerchecker_close(void *self);
void routerchecker_handle(remora_call *call, void *self, const struct remora_http_request *request);

void uppercase_init(remora_call *call, const struct remora_config *config);
void uppercase_handle(remora_call *call, void *self, const struct remora_http_request *request);

/* "text/plain; charset=utf-8", as the reference's middleware answers. */
extern const struct remora_pair plain_text;

#endif
