/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the host share. host.c has the configuration (what is there, what has changed),
 * member.c the life of one component, ward.c that of one plugin process after another,
 * host_describe.c what is shown of them. Main thread only.
 */
#ifndef COMPONENT_HOST_INTERNAL_H
#define COMPONENT_HOST_INTERNAL_H

#include "component/exchange.h"
#include "component/host.h"
#include "component/route.h"

struct dock;
struct ward;

enum standing {
    STANDING_WAITING, /* for its plugin, or for the answer to Init */
    STANDING_READY,
    STANDING_FAILED, /* Init failed; tried again while the plugin lives */
};

/* A configured component. Its place in host->members is its own for good. */
struct member {
    struct host *host;
    struct host_load *load; /* counted; holds the spec */
    struct component_spec *spec;
    struct host_load *next_load; /* a change that waits for the exchange under way; NULL without */
    struct component_spec *next_spec;
    struct ward *next_ward;       /* it waits for this plugin to be there; NULL otherwise */
    struct ward *next_to;         /* a successor of it that may have its files; NULL without */
    bool is_leaving;              /* removed once the exchange under way is over */
    bool waits_for_swap;          /* it needs files that the running process cannot have */
    bool is_trial;                /* not a component: a change on trial */
    bool is_waiting_to_change;    /* until its new secret store is there */
    bool is_stale;                /* its secrets have changed, and what serves has the old ones */
    bool is_looked_at;            /* its secrets are being compared; see rotation.c */
    uint64_t looked_ms;           /* of a secret store: when its users were last looked at */
    struct secret_digest secrets; /* what serves was made with */
    struct list turn;             /* of its ward's turns */

    enum component_kind kind;
    struct ward *ward;   /* NULL: no plugin hosts it */
    uint32_t init_count; /* numbers the generations */
    uint32_t generation; /* that serves, or served last */
    uint32_t handle;     /* of the generation that serves */
    enum standing standing;
    bool is_settled; /* has been ready, or has failed, once */
    uint32_t capabilities;
    struct link *link;  /* counted; what it was published with */
    struct latch *gone; /* the owner's references of the published generation */
    struct latch *writes;
    struct component_facts *shape; /* counted; what was published, without its latch */
    struct exchange *exchange;     /* under way; NULL without. It may be another's as well */
    uint32_t retry_ms;
    char *error; /* owned; of the last failure, NULL without */
    ev_timer retry;
};

/* A plugin in our care: one struct plugin, one process generation at a time. */
struct ward {
    struct host *host;
    struct plugin *plugin;
    struct worker *worker;          /* holds its links */
    struct dock *dock;              /* of the running process, NULL if none */
    unsigned docks_open;            /* that have not said their last word */
    uint32_t dock_epoch;            /* of the last one */
    struct link *link;              /* counted; NULL without */
    size_t exchange_count;          /* under way, to here or from here */
    struct ward *successor;         /* a changed plugin that is to take over; NULL without */
    struct ward *predecessor;       /* the other way round */
    bool is_due;                    /* it may take over when no other exchange is under way */
    bool swap_again;                /* asked for while a swap was under way */
    struct manifest *next_manifest; /* counted; with which; NULL: its own */
    struct list turns;              /* members that wait to be created or changed here */
    ev_timer idle;                  /* set while no component needs it */
    bool is_left;    /* another has taken over; what could not move yet is still here */
    bool is_retired; /* has nothing to serve any more */
};

struct host {
    struct host_config config;
    struct supervisor *supervisor;
    struct routes routes;
    struct arena arena;
    struct member **members; /* owned; NULL: removed */
    size_t member_count;
    size_t free_places;  /* of those removed */
    struct map by_name;  /* the newest member of each name */
    struct ward **wards; /* owned */
    size_t ward_count;
    struct mail collect_mail;
    bool is_collecting; /* the mail is on its way */
    uint32_t last_handle;
    size_t unsettled; /* members */
    bool is_starting; /* failures are fatal */
    bool is_stopping;
    struct rotation *rotation;  /* NULL before the start and after the end */
    void (*stopped)(void *arg); /* who asked for that */
    void *stopped_arg;
};

/* --- member.c ----------------------------------------------------------------------------------*/

/* `load` is counted. Nothing has happened yet. */
struct member *member_new(struct host *host, struct host_load *load, struct component_spec *spec);
void member_free(struct member *member);
/* Finds the plugin of its spec and gives it the files it needs. False: reported. `ret_is_allowed`
 * is false if the running process cannot have them. */
bool member_assign(struct member *member, bool *ret_is_allowed);
/* Creates it over its ward's link, if there is one and nothing is under way. */
void member_init(struct member *member);
/* Exchanges it for what it is to be on that ward; nothing may be under way. */
void member_move(struct member *member, struct ward *to);
/* Makes the change that waits for its ward, or creates it; nothing if there is no need any more. */
void member_take_turn(struct member *member);
/* Starts its plugin if need be, and creates it: at once, or when a process is there that may have
 * its files. */
void member_bring_up(struct member *member, bool is_allowed);
/* Another ward has taken over and it could not move yet: it tries again. */
void member_retry(struct member *member);
/* The words for what it is to be there: those of a change that waits for that ward, or its own. */
struct component_spec *member_spec_on(const struct member *member, const struct ward *ward);
/* A change that cannot be made: says so, and why. */
void member_stays(struct member *member, struct slice cause);
/* Failures, with the reference's words. */
void member_init_failed(struct member *member, struct slice cause);
void member_create_failed(struct member *member, struct slice cause);
/* Of a resolver of names: the part of its type behind the category, as "mdns". */
struct slice member_resolver_name(const struct member *member);
/* Its plugin's link is gone. */
void member_lost(struct member *member);
/* Exchanges it for what `spec` says; now, or when what is under way is over. */
void member_change(struct member *member, struct host_load *load, struct component_spec *spec);
/* Exchanges it for another generation of itself, because its secrets have changed; tried until it
 * has been made. */
void member_renew(struct member *member);
/* The change that waits is not wanted any more. */
void member_forget_change(struct member *member);
/* Takes it away; frees it, at once or later. */
void member_remove(struct member *member);
/* It has been ready or has failed. */
void member_settle(struct member *member);
/* Builds the exchange of some members from where they are to their specs on `to`. The array is
 * copied. Starts it. */
void
members_exchange(struct host *host, struct member *const *members, size_t count, struct ward *to);

/* --- init_request.c ----------------------------------------------------------------------------*/

/* Its bytes are the caller's. */
struct init_request init_request_pack(struct host *host, const struct component_spec *spec,
                                      const struct manifest *manifest);

/* --- host_secrets.c ----------------------------------------------------------------------------*/

/* Whether it waits for its secret store. */
bool member_is_held(const struct member *member);
/* Whether the store may still come: it is being created, and does not wait for itself through the
 * stores it takes its own secrets from. */
bool member_store_may_come(const struct member *member);
/* Whether it waits; says so and settles it if the store will not come by itself. */
bool member_hold(struct member *member);
/* A secret store serves, or has failed: tells those that wait for it. Nothing for other kinds. */
void members_store_changed(const struct member *store);

/* --- ward.c ------------------------------------------------------------------------------------*/

/* The ward that serves a manifest's components, made at the first call. */
struct ward *ward_for(struct host *host, const struct manifest *manifest, struct slice isolate);
struct supervisor_hooks ward_hooks(struct host *host);
/* Starts a process beside the running one and moves its members there. `manifest` NULL: with the
 * present one; else it is counted. Reports what comes of it in the log. */
void ward_swap(struct ward *ward, const struct manifest *manifest);
/* An exchange to this ward has been made: the members moved (or not). */
void ward_swapped(struct ward *ward, const char *error);
/* Exchanges have ended or components have gone: whoever waited for that goes on, whoever is left
 * with nothing goes. */
void wards_look(struct host *host);
/* Which ward serves what this one cannot any more. */
struct ward *ward_heir(struct ward *ward);
void wards_free(struct host *host);
/* Whether a component may be created or changed there now. If not it is in line for it. */
bool ward_has_turn(struct ward *ward, struct member *member);

/* --- rotation.c --------------------------------------------------------------------------------*/

struct rotation;
/* From now on secrets are looked at that may have changed. */
void rotation_start(struct host *host);
/* Nothing is looked at any more. Twice is once. */
void rotation_stop(struct host *host);

/* --- farewell.c --------------------------------------------------------------------------------*/

/* With what is left of the deadline. */
typedef void farewell_fn(void *arg, uint32_t left_ms);
/* Closes all components that serve; tells when it is over, at the latest at the deadline. It may be
 * over before this returns. */
void farewell_start(struct host *host, uint32_t deadline_ms, farewell_fn *over, void *arg);

/* --- host_describe.c ---------------------------------------------------------------------------*/

/* "waiting", "ready", "failed" */
const char *standing_name(enum standing standing);
struct host_component member_describe(const struct member *member);

#endif
