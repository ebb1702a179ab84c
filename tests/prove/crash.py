# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment crash: plugins killed and stopped under load, a request that kills its plugin, the kernel killed.

Clients work on a SQLite store whose plugin is killed every 250 ms; all that was acknowledged must be there afterwards,
in a new sidecar on the same file."""
import os
import random
import re
import signal
import statistics
import time

import _prove
import measure
import remora
from _clients import Clients, lost_writes, recoveries_ms, summary
from _prove import by_length

KILL_EVERY_S = 0.25
SECONDS = by_length(4, 30, 60)
STOP_S = by_length(2, 5, 5)
CLIENTS = 6
LONGEST_S = 600
MORE_MAX = {"descriptors": 2} if _prove.SANITIZED else {"descriptors": 2, "memory maps": 16, "KiB": 256}
claims = _prove.Claims()
rng = random.Random(_prove.SEED)


def plugin_tree(sidecar, name):
    return measure.tree(sidecar.plugins()[name]["group"])


def holdings(sidecar):
    """What the kernel holds: descriptors, memory maps (a task's stack is two), private KiB."""
    with open(f"/proc/{sidecar.pid}/maps") as f:
        maps = len(f.read().splitlines())
    return {"descriptors": measure.fd_count(sidecar.pid), "memory maps": maps, "KiB": measure.private_dirty_kib(sidecar.pid)}


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_in_turns(sidecar, seconds, clients=None):
    """Kills the plugin, by turns its first process or any other; returns when. Beside other tests a plugin may take longer
    to start than it would live: then each serves somebody first."""
    blows = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or not blows:
        if _prove.SHORT and clients:
            clients.wait_served("it serves between kills")
        time.sleep(KILL_EVERY_S)
        pids = plugin_tree(sidecar, "sqlite")
        at = time.monotonic()
        if pids and measure.kill_ours(rng.choice(pids), signal.SIGKILL):
            blows.append(at)
    return blows


def killed_every_250_ms(data):
    yaml = measure.store_yaml("sqlite", data)
    sidecar = remora.Sidecar(yaml)
    Clients(CLIENTS, sidecar.address, "store", 1, _prove.SEED, "warm").join()
    kill_in_turns(sidecar, 0.6)
    remora.eventually(lambda: remora.Store(sidecar, "store").get("k").status < 400, "it serves")
    before = holdings(sidecar)
    clients = Clients(CLIENTS, sidecar.address, "store", LONGEST_S, _prove.SEED)
    blows = kill_in_turns(sidecar, SECONDS, clients)
    clients.wait_served("it serves after the last kill")
    clients.stop()
    accounts = clients.join()
    _prove.say(f"{len(blows)} kills; answers: {summary(accounts)}; slowest "
               f"{max(a.slowest_s for a in accounts) * 1000:.0f} ms")
    claims.holds("the kernel lives", sidecar.is_alive())
    judge_answers(accounts)
    times = recoveries_ms(accounts, blows)
    middle, late = statistics.median(times), sorted(times)[int(len(times) * 0.95)]
    claims.at_most("serving again after a kill, median, ms", middle, 100 * _prove.PATIENCE, digits=0)
    # Beside other tests there is always something that delays the odd one.
    if not _prove.SHORT:
        _prove.say(f"serving again after 19 of 20 kills: {late:.0f} ms")
        claims.at_most("serving again after every kill, worst, ms", max(times), 100, digits=0)
    judge_leaks(before, settled(sidecar, before))
    _prove.stop(sidecar)
    again = remora.Sidecar(yaml)
    lost = lost_writes(again.address, "store", accounts)
    claims.holds("every acknowledged write is there in a new sidecar", not lost, "; ".join(lost[:3]))
    again.end()
    return len(blows), sum(a.total() for a in accounts), middle, max(times)


def judge_answers(accounts):
    unanswered = [text for account in accounts for text in account.unanswered]
    wrong = [text for account in accounts for text in account.wrong]
    claims.holds("every request is answered", not unanswered, "; ".join(unanswered[:3]))
    claims.holds("no answer is wrong", not wrong, "; ".join(wrong[:3]))


def settled(sidecar, before):
    """What it holds once all is back, or after a while."""
    try:
        remora.eventually(lambda: all(holdings(sidecar)[what] - before[what] <= more for what, more in MORE_MAX.items()),
                          "all is back")
    except AssertionError:
        pass  # told by whoever judges
    return holdings(sidecar)


def judge_leaks(before, after):
    for what, more in MORE_MAX.items():
        claims.at_most(f"{what} more", after[what] - before[what], more, digits=0)


def one_that_kills():
    """A client whose every request crashes the plugin, beside four that ask the same plugin for something else."""
    flags = ["--plugins-path", os.path.join(remora.BUILD, "plugins"), "--plugins-path",
             os.path.join(remora.BUILD, "tests", "plugins")]
    sidecar = remora.Sidecar(remora.component("store", "state.hostile"), flags=flags)
    case = measure.Case("others", sidecar.port, "/v1.0/state/store/plain", expect=0)
    seconds = by_length(2, 5, 20)
    load = measure.subprocess.Popen(case.command(4, seconds), stdout=measure.subprocess.PIPE, text=True)
    until, kills = time.monotonic() + seconds - 0.2, 0
    while time.monotonic() < until:
        sidecar.call("GET", "/v1.0/state/store/crash")
        kills += 1
        for _ in range(10):  # a pace that slows down with the others
            sidecar.call("GET", "/v1.0/state/store/plain")
    result = measure.json.loads(load.communicate()[0])
    share = result["statuses"].get("200", 0) / (result["requests"] + result["errors"])
    _prove.say(f"{kills} requests that kill; the others: {result['statuses']}, p99 {result['p99_us'] / 1000:.0f} ms")
    if not _prove.SANITIZED:  # a plugin then takes longer to start than the others to ask
        claims.at_least("success of the others, %", share * 100, 80, digits=1)
    claims.holds("they all got answers", result["errors"] == 0)
    sidecar.end()
    return share


def stopped(data):
    """The plugin of one store does not run for a while; a client of the other sees nothing of it."""
    sidecar = remora.Sidecar(measure.store_yaml("sqlite", data).replace('"store"', '"file"'),
                             measure.store_yaml("in-memory"))
    measure.fill(sidecar.address, "store")
    case = measure.get_case("others", sidecar.port, "store")
    usual = case.run(4, 1)
    clients = Clients(2, sidecar.address, "file", STOP_S + 1.5, _prove.SEED)
    time.sleep(0.3)
    pids = plugin_tree(sidecar, "sqlite")
    claims.holds("the plugin is stopped", all([measure.kill_ours(pid, signal.SIGSTOP) for pid in pids]) and pids)
    meanwhile = case.run(4, STOP_S)
    for pid in reversed(pids):
        measure.kill_ours(pid, signal.SIGCONT)
    accounts = clients.join()
    judge_answers(accounts)
    claims.at_most(f"slowest answer of a plugin stopped for {STOP_S} s, s", max(a.slowest_s for a in accounts),
                   STOP_S + 1.5 * _prove.PATIENCE)
    claims.at_least("throughput of the other store meanwhile over before", meanwhile["rps"] / usual["rps"],
                    0.5 / _prove.PATIENCE)
    sidecar.end()


def kernel_killed(data):
    sidecar = remora.Sidecar(measure.store_yaml("sqlite", data).replace('"store"', '"file"'),
                             measure.store_yaml("in-memory"))
    pids = plugin_tree(sidecar, "sqlite") + plugin_tree(sidecar, "in-memory")
    clients = Clients(2, sidecar.address, "file", 0.6, _prove.SEED, "last")
    time.sleep(0.3)
    sidecar.signal(signal.SIGKILL)
    killed = time.monotonic()
    remora.eventually(lambda: not any(alive(pid) for pid in pids), "no plugin outlives the kernel")
    took = time.monotonic() - killed
    claims.at_most(f"{len(pids)} processes of plugins are gone after, s", took, 1 * _prove.PATIENCE)
    sidecar.wait()
    accounts = clients.join()
    again = remora.Sidecar(measure.store_yaml("sqlite", data).replace('"store"', '"file"'), folder=sidecar.folder)
    lost = lost_writes(again.address, "file", accounts)
    claims.holds("what was acknowledged before is there", not lost, "; ".join(lost[:3]))
    runs = os.listdir(sidecar.folder / "run")
    claims.holds("the next start left one run directory", len(runs) <= 1, " ".join(runs))
    complaints = [line for line in again.log().splitlines() if re.search("level=(error|warn)", line)
                  and not re.search("have no effect yet|mTLS is disabled|App channel is not initialized|"
                                    "placement service is not|No scheduler host", line)]
    claims.holds("and complained about nothing", not complaints, "; ".join(complaints[:2]))
    _prove.stop(again)
    return took


database = remora.Folder()
kills, answers, middle_ms, worst_ms = killed_every_250_ms(database)
success = one_that_kills()
stopped(remora.Folder())
gone_s = kernel_killed(remora.Folder())
claims.end(f"{kills} kills in {SECONDS} s, {answers} requests answered, none lost; serving again in {middle_ms:.0f} ms "
           f"(worst {worst_ms:.0f}); {success * 100:.1f} % success beside a request that kills; plugins gone "
           f"{gone_s * 1000:.0f} ms after the kernel")
