/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topic names and filters. What a server would close the connection for, which all topics of a
 * component share, is found here before it is sent.
 */
#ifndef MQTT_TOPIC_H
#define MQTT_TOPIC_H

#include <remora_plugin.h>

/* Why a message cannot be published to it; NULL if it can. */
const char *topic_name_fault(struct remora_slice name);
/* Why it cannot be subscribed to; NULL if it can. */
const char *topic_filter_fault(struct remora_slice filter);
/* The filter behind `$share/GROUP/`, or all of it. */
struct remora_slice topic_shared(struct remora_slice filter);
bool topic_has_wildcard(struct remora_slice filter);
/* By the rules of the protocol; `filter` without `$share/GROUP/`. */
bool topic_matches(struct remora_slice filter, struct remora_slice name);

#endif
