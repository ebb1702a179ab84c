/* SPDX-License-Identifier: Apache-2.0 */
/* What the result of a probe means; app.h has what others may ask. Worker 0. */
#ifndef APP_APP_HEALTH_H
#define APP_APP_HEALTH_H

#include "app/app.h"

/* Takes the result of one probe; the application is well after it, or not. `reason` is for the log.
 */
bool app_health_take(struct app *app, bool is_good, struct slice reason);

#endif
