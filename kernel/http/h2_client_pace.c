/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many calls of a shared connection are under way at the server. All that wait could go at
 * once, but then one caller's thousand stand in the server's queue in front of everybody else's
 * next. So a window of calls without an answer grows while answers stay as quick as the quickest
 * was, and shrinks to its least when they take twice as long: they wait for each other then, and
 * had better wait here, where turns are fair. An application that takes its time is not throttled
 * by that: its answers do not become slower with the window. One that answers nothing for long, or
 * some calls at once and others late, is covered by a growth in time.
 */
#include "base/clock.h"
#include "http/h2_client.h"

enum { SLACK_NS = 250 * 1000, SLOWER_TIMES = 2 };

static size_t
least(const struct h2_client_conn *conn)
{
    return conn->client->config.unanswered_min;
}

void
h2_pace_init(struct h2_client_conn *conn)
{
    uint64_t now_ms = clock_now_ms();
    conn->pace = (struct h2_pace){
        .window = least(conn), .best_ns = UINT64_MAX, .since_ms = now_ms, .grown_ms = now_ms
    };
}

/* Calls wait, and have waited for a while. */
static void
grow_in_time(struct h2_pace *pace)
{
    uint64_t now_ms = clock_now_ms();
    if (!pace->is_holding)
        pace->grown_ms = now_ms;
    uint64_t more = (now_ms - pace->grown_ms) * LIMIT_h2_pace_growth_per_s / 1000;
    if (more == 0)
        return;
    pace->window += (size_t)more;
    pace->grown_ms = now_ms;
}

bool
h2_pace_may_open(struct h2_client_conn *conn)
{
    struct h2_pace *pace = &conn->pace;
    if (least(conn) == 0)
        return true;
    if (pace->unanswered >= pace->window)
        grow_in_time(pace);
    pace->is_holding = pace->unanswered >= pace->window;
    return !pace->is_holding;
}

void
h2_pace_opened(struct h2_call *c)
{
    c->opened_ns = clock_now_ns();
    c->conn->pace.unanswered++;
}

static void
learn(struct h2_client_conn *conn, uint64_t took_ns)
{
    struct h2_pace *pace = &conn->pace;
    uint64_t now_ms = clock_coarse_ms();
    if (now_ms >= pace->since_ms + LIMIT_h2_pace_epoch_ms) {
        pace->since_ms = now_ms;
        pace->best_ns = UINT64_MAX;
        pace->window = least(conn);
    }
    if (took_ns < pace->best_ns)
        pace->best_ns = took_ns;
    bool is_slower = took_ns > pace->best_ns * SLOWER_TIMES + SLACK_NS;
    if (is_slower && pace->window > least(conn))
        pace->window--;
    else if (!is_slower && pace->is_holding && pace->window < LIMIT_h2_client_streams_max)
        pace->window++;
}

void
h2_pace_answered(struct h2_call *c)
{
    struct h2_client_conn *conn = c->conn;
    if (c->opened_ns == 0)
        return;
    if (c->has_head && least(conn) > 0)
        learn(conn, clock_now_ns() - c->opened_ns);
    c->opened_ns = 0;
    conn->pace.unanswered--;
    if (conn->pace.is_holding)
        h2_client_conn_flush_later(conn);
}
