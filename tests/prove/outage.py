# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment outage: a Redis server killed and started again under load, its data on disk.

Errors in between must say so and come in time, service must return by itself, and nothing that was acknowledged may be
lost: the server writes every command to disk before it answers."""
import random
import statistics
import time

import _prove
import remora
from _clients import Clients, lost_writes, recoveries_ms, summary
from _prove import by_length

CYCLES = by_length(2, 8, 24)
UP_S, DOWN_S = by_length((0.7, 0.5), (1.5, 1.5), (1.5, 1.5))
CLIENTS = 6
LONGEST_S = 600
DIAL_S, READ_S = 0.3, 0.5
# The plugin dials anew at once or after a pause of up to its dial timeout.
RECOVERY_MS_MAX = 1000 * _prove.PATIENCE
claims = _prove.Claims()
rng = random.Random(_prove.SEED)


def cycles(redis, clients):
    """Kills and starts the server, each time until the clients have seen it; returns the moments at which it was back."""
    back = []
    for _ in range(CYCLES):
        time.sleep(UP_S * rng.uniform(0.7, 1.3))
        failed = clients.failed()
        redis.stop()
        time.sleep(DOWN_S * rng.uniform(0.7, 1.3))
        remora.eventually(lambda: clients.failed() > failed, "the outage is told of")
        redis.start()
        back.append(time.monotonic())
        clients.wait_served("it serves again")
    return back


if remora.shutil.which("redis-server") is None:
    claims.end("no redis-server here: not measured")
server = remora.Redis()
metadata = {"redisHost": f"127.0.0.1:{server.port}", "dialTimeout": f"{int(DIAL_S * 1000)}ms",
            "readTimeout": f"{int(READ_S * 1000)}ms"}
sidecar = remora.Sidecar(remora.component("store", "state.redis", metadata), remora.component("memory", "state.in-memory"))
fds = len(remora.os.listdir(f"/proc/{sidecar.pid}/fd"))
clients = Clients(CLIENTS, sidecar.address, "store", LONGEST_S, _prove.SEED)
others = Clients(1, sidecar.address, "memory", LONGEST_S, _prove.SEED, "other")
returns = cycles(server, clients)
clients.stop()
others.stop()
accounts, other = clients.join(), others.join()

_prove.say(f"{CYCLES} outages; answers: {summary(accounts)}; slowest {max(a.slowest_s for a in accounts):.2f} s")
unanswered = [text for account in accounts for text in account.unanswered]
wrong = [text for account in accounts for text in account.wrong]
slowest_s = max(account.slowest_s for account in accounts)
claims.holds("every request is answered", not unanswered, "; ".join(unanswered[:3]))
claims.holds("no answer is wrong, every error has a code", not wrong, "; ".join(wrong[:3]))
claims.holds("there were errors", sum(account.failures() for account in accounts) > 0)
claims.at_most("slowest answer, s", slowest_s, DIAL_S + READ_S + 1 * _prove.PATIENCE)
claims.holds("the other store saw nothing", not other[0].failures() and not other[0].wrong and not other[0].unanswered)
times = recoveries_ms(accounts, returns)
claims.holds("it served again after every outage", len(times) == CYCLES)
claims.at_most("serving again, median, ms", statistics.median(times), RECOVERY_MS_MAX, digits=0)
lost = lost_writes(sidecar.address, "store", accounts)
claims.holds("nothing acknowledged is lost", not lost, "; ".join(lost[:3]))
claims.at_most("restarts of the plugin", sidecar.plugins()["redis"]["restarts"], 0, digits=0)
remora.eventually(lambda: len(remora.os.listdir(f"/proc/{sidecar.pid}/fd")) <= fds + 1, "descriptors are back")
_prove.stop(sidecar)
claims.end(f"{CYCLES} outages of Redis, {sum(a.total() for a in accounts)} requests answered (slowest {slowest_s:.2f} s), "
           f"nothing lost, serving again in {statistics.median(times):.0f} ms (worst {max(times):.0f})")
