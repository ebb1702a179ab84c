/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as Prometheus' exposition has them: the shortest text that reads back as the same number,
 * with an exponent below 1e-4 and from 1e+06 on, as Go prints floats. Pure. */
#ifndef TELEMETRY_NUMBER_H
#define TELEMETRY_NUMBER_H

#include "base/slice.h"

enum { NUMBER_TEXT_BYTES = 40 };

struct slice number_text(double value, char ret_text[NUMBER_TEXT_BYTES]);

#endif
