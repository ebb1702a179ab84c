# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 240
"""Experiment shutdown: SIGTERM under load, again and again.

Clients read and write two stores as fast as they can, some on connections they keep, some on a new one for each
request, until the sidecar that they work on is gone. Every request that was sent on a connection the sidecar had taken
must be answered, and well; the sidecar must end by itself within the grace period, with exit code 0 and nothing left
behind; what it had acknowledged must be in the file afterwards. Rules of time are tests/unit/main/ending_test.c's."""
import os
import random
import signal
import statistics
import time

import _prove
import measure
import remora
from _clients import ANSWER_S, Client, Clients, lost_writes, summary
from _prove import by_length

ROUNDS = by_length(5, 50, 400)
GRACE_S = 5
REQUESTS_MIN = 50  # a round
KEEPING, FRESH = 4, 2  # clients of each store
claims = _prove.Claims()
rng = random.Random(_prove.SEED)


class Leaver(Client):
    """Works until nobody listens any more. A connection that ends before anything was said on it was never taken by the
    sidecar; one that said it closes is left."""

    keeps = True

    def __init__(self, *args):
        super().__init__(*args)
        self.is_over = False
        self.account.turned_away = 0

    def ask(self, method, target, body=None):
        is_fresh = self.connection is None
        if is_fresh:
            try:
                self.connection = remora.Connection(self.address, ANSWER_S)
            except OSError:
                self.is_over = True
                return None
        connection, unanswered = self.connection, len(self.account.unanswered)
        reply = super().ask(method, target, body)
        if reply is None and is_fresh and not connection.pending:
            del self.account.unanswered[unanswered:]
            self.account.turned_away += 1
            self.is_over = True
        if reply is not None and (not self.keeps or reply.header("Connection") == "close"):
            connection.close()
            self.connection = None
        return reply

    def run(self, until):
        steps = (self.save, self.get, self.save, self.get, self.delete, self.transact)
        while not self.is_over and not self.must_end(until):
            self.rng.choice(steps)()


class FreshLeaver(Leaver):
    keeps = False


def yaml(data):
    return (measure.store_yaml("sqlite", data).replace('"store"', '"file"'), measure.store_yaml("in-memory"))


def one(number, data, flags):
    """Returns the accounts of the file's clients, of all, and how long the end took."""
    sidecar = remora.Sidecar(*yaml(data), flags=["--dapr-graceful-shutdown-seconds", str(GRACE_S), *flags])
    groups = [Clients(count, sidecar.address, store, 300, _prove.SEED, f"{number}{store[0]}{kind.__name__[0]}", kind)
              for store in ("file", "store") for count, kind in ((KEEPING, Leaver), (FRESH, FreshLeaver))]
    plugins = [pid for shim in remora.children(sidecar.pid) for pid in [shim, *remora.children(shim)]]
    remora.eventually(lambda: sum(group.good() for group in groups) >= REQUESTS_MIN, "the load is there")
    time.sleep(rng.uniform(0.05, 0.3))
    began = time.monotonic()
    sidecar.signal(signal.SIGTERM)
    code = sidecar.wait(GRACE_S + 5 * _prove.PATIENCE)
    took = time.monotonic() - began
    accounts = [group.join() for group in groups]
    problems = []
    if code != 0 or took > GRACE_S + (_prove.PATIENCE if _prove.SHORT else 0):
        problems.append(f"exit code {code} after {took:.2f} s")
    if "Daprd shutdown gracefully" not in sidecar.log() or "level=error" in sidecar.log():
        problems.append(f"the log says: {sidecar.log()[-500:]}")
    try:  # they end with it, if not before it
        remora.eventually(lambda: not any(map(remora.is_running, plugins)), "the plugins are gone")
    except AssertionError:
        pass  # told below
    left = [name for _, _, found in os.walk(sidecar.folder / "run") for name in found]
    if left or any(map(remora.is_running, plugins)):
        problems.append(f"left behind: {left} {[pid for pid in plugins if remora.is_running(pid)]}")
    for account in sum(accounts, []):
        problems += account.unanswered + account.wrong
        if account.failures():
            problems.append(f"{account.name}: {account.statuses}")
    return accounts[0] + accounts[1], sum(accounts, []), took, problems


def main():
    data = remora.Folder()
    of_file, everything, times, problems = [], [], [], []
    for number in range(ROUNDS):
        flags = ["--workers", "3"] if number % 3 == 2 else []
        kept, accounts, took, wrong = one(number, data, flags)
        of_file += kept
        everything += accounts
        times.append(took * 1000)
        problems += [f"round {number}: {text}" for text in wrong]
    again = remora.Sidecar(*yaml(data))
    lost = lost_writes(again.address, "file", of_file)
    again.end()
    requests = sum(account.total() for account in everything)
    away = sum(account.turned_away for account in everything)
    _prove.say(f"answers: {summary(everything)}; {away} connections came too late to be taken")
    claims.holds("every request taken is answered, exit code 0, nothing is left", not problems, "; ".join(problems[:4]))
    claims.holds("what was acknowledged is there", not lost, "; ".join(lost[:3]))
    claims.at_least("requests a round", requests / ROUNDS, REQUESTS_MIN, digits=0)
    claims.at_most("connections that came too late, a round", away / ROUNDS, 1)
    claims.end(f"{ROUNDS} ends under load, {requests} requests answered, {len(problems)} problems, {len(lost)} lost; gone "
               f"{statistics.median(times):.0f} ms after SIGTERM, at most {max(times):.0f}")


main()
