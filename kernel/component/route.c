/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to the workers' component tables; see route.h. */
#include "component/route.h"

#include <stdlib.h>

#include "async/worker.h"

enum route_kind { ROUTE_PUBLISH, ROUTE_DETACH, ROUTE_HOLD, ROUTE_RELEASE, ROUTE_REMOVE };

/* One change for one worker. What is a pointer is counted, except as said. */
struct route_mail {
    struct mail mail;
    enum route_kind kind;
    struct component_table *table;
    struct component_facts *facts;
    struct link *link;
    const struct link *detached; /* only compared */
    struct latch *writes;
    struct latch *ack;
    size_t name_len;
    char name[];
};

static void
on_route(struct mail *mail)
{
    struct route_mail *route = container_of(mail, struct route_mail, mail);
    struct slice name = slice_of(route->name, route->name_len);
    switch (route->kind) {
    case ROUTE_PUBLISH:
        component_publish(route->table, route->facts, route->link, route->writes);
        break;
    case ROUTE_DETACH:
        component_detach(route->table, name, route->detached, "it is being restarted");
        break;
    case ROUTE_HOLD:
        component_hold(route->table, name);
        break;
    case ROUTE_RELEASE:
        component_release(route->table, name, route->writes);
        break;
    case ROUTE_REMOVE:
        component_remove(route->table, name);
        break;
    }
    component_facts_unref(route->facts);
    link_unref(route->link);
    latch_unref(route->writes);
    latch_unref(route->ack);
    free(route);
}

/* `like` without its mail, table and name; takes the references each copy needs. */
static void
send(const struct routes *routes, const struct route_mail *like, struct slice name)
{
    for (unsigned i = 0; i < routes->count; i++) {
        struct route_mail *route = malloc(sizeof *route + name.len);
        if (route == NULL)
            abort();
        *route = *like;
        route->table = routes->tables[i];
        route->name_len = name.len;
        memcpy(route->name, name.data, name.len);
        if (route->facts != NULL)
            (void)component_facts_ref(route->facts); /* held through the copy */
        if (route->link != NULL)
            (void)link_ref(route->link);
        if (route->writes != NULL)
            (void)latch_ref(route->writes);
        if (route->ack != NULL)
            (void)latch_ref(route->ack);
        worker_post(routes->workers[i], &route->mail, on_route);
    }
}

void
routes_publish(const struct routes *routes, struct component_facts *facts, struct link *link,
               struct latch *writes, struct latch *ack)
{
    const struct route_mail like = {
        .kind = ROUTE_PUBLISH, .facts = facts, .link = link, .writes = writes, .ack = ack
    };
    send(routes, &like, facts->name);
}

void
routes_detach(const struct routes *routes, struct slice name, const struct link *link,
              struct latch *ack)
{
    const struct route_mail like = { .kind = ROUTE_DETACH, .detached = link, .ack = ack };
    send(routes, &like, name);
}

void
routes_hold(const struct routes *routes, struct slice name, struct latch *ack)
{
    send(routes, &(struct route_mail){ .kind = ROUTE_HOLD, .ack = ack }, name);
}

void
routes_release(const struct routes *routes, struct slice name, struct latch *writes,
               struct latch *ack)
{
    const struct route_mail like = { .kind = ROUTE_RELEASE, .writes = writes, .ack = ack };
    send(routes, &like, name);
}

void
routes_remove(const struct routes *routes, struct slice name, struct latch *ack)
{
    send(routes, &(struct route_mail){ .kind = ROUTE_REMOVE, .ack = ack }, name);
}
