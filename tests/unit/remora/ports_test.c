/* SPDX-License-Identifier: Apache-2.0 */
/* Reserved ports: nobody else gets them, but a server may listen there. */
#include "tools/remora/ports.h"

#include "async/listener.h"
#include "test.h"
#include "tools/remora/ports.c"

TEST(a_server_listens_where_a_port_is_reserved_and_another_one_does_not)
{
    struct reservation reservation;
    REQUIRE(port_reserve(0, &reservation));
    CHECK(reservation.port != 0);
    int first = listener_bind_tcp(SLICE_EMPTY, reservation.port, false);
    CHECK(first >= 0);
    port_release(&reservation);
    CHECK_EQ_INT(reservation.port, 0);
    port_release(&reservation);
    CHECK_EQ_INT(listener_bind_tcp(SLICE_EMPTY, listener_port(first), false), -1);
    (void)close(first); /* a socket of the test */
}

TEST(a_wish_is_granted_once_and_again_when_it_is_given_back)
{
    struct reservation probe, first, second, third;
    REQUIRE(port_reserve(0, &probe));
    uint16_t wish = probe.port;
    port_release(&probe);
    REQUIRE(port_reserve(wish, &first) && port_reserve(wish, &second));
    CHECK_EQ_INT(first.port, wish);
    CHECK(second.port != wish && second.port != 0);
    port_release(&first);
    REQUIRE(port_reserve(wish, &third));
    CHECK_EQ_INT(third.port, wish);
    port_release(&second);
    port_release(&third);
}

TEST(a_wish_that_somebody_listens_on_is_not_granted)
{
    int server = listener_bind_tcp(SLICE("127.0.0.1"), 0, false);
    struct reservation reservation;
    REQUIRE(server >= 0 && port_reserve(listener_port(server), &reservation));
    CHECK(reservation.port != listener_port(server));
    port_release(&reservation);
    (void)close(server); /* a socket of the test */
}

TEST(many_reservations_never_meet)
{
    enum { COUNT = 200 };
    static struct reservation reservations[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        REQUIRE(port_reserve(0, &reservations[i]));
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(reservations[i].port != reservations[j].port);
    for (size_t i = 0; i < COUNT; i++)
        port_release(&reservations[i]);
}
