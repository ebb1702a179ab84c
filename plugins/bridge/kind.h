/* SPDX-License-Identifier: Apache-2.0 */
/* What is done before a component of a kind can be used: which services it must have, and what they
 * are asked, in order. */
#ifndef BRIDGE_KIND_H
#define BRIDGE_KIND_H

#include "remote.h"

struct step {
    unsigned service; /* only if it has this one */
    const char *method;
    bool is_init;     /* it is told the metadata; else nothing */
    bool is_optional; /* a component may not know what that is */
    /* What it has answered; NULL: nothing that matters. */
    void (*take)(struct remote *remote, struct remora_slice answer);
};

struct kind {
    const char *name;         /* of what it offers, for people */
    unsigned services;        /* one of them at least */
    const struct step *steps; /* the last one has no method */
    /* It is ready for the first time: answers remote->init_call. */
    void (*reply)(struct remote *remote);
};

#endif
