/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline of middleware before the application, for main to register in each app_channel. */
#ifndef API_MIDDLEWARE_APP_H
#define API_MIDDLEWARE_APP_H

#include "app/app_filter.h"

extern const struct app_filter middleware_app_filter;

#endif
