/* SPDX-License-Identifier: Apache-2.0 */
/* The policy of a queue: which topics may send to it. Any thread. */
#ifndef AWS_PLUGIN_POLICY_H
#define AWS_PLUGIN_POLICY_H

#include <stdbool.h>

/*
 * `policy` is the queue's, a JSON text, or "" if it has none. *ret is NULL if the topic may send
 * already, else what the policy is to be, with all that was in it: free(). False: it is no policy.
 */
bool policy_allow(const char *policy, const char *queue_arn, const char *topic_arn, char **ret);

#endif
