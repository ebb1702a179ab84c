# SPDX-License-Identifier: Apache-2.0
"""The requirements every lock store must meet; see checks.py."""
import os
import time

from checks import HANDLE, check
from kernel import SECONDS, need
import plugin_pb2 as pb

LONG_S = 600


def named(link, resource):
    """A store that outlives a check would remember the locks of the one before."""
    if not hasattr(link, "resources"):
        link.resources = os.urandom(8).hex()
    return f"lock||conform||{resource}-{link.resources}"


def request(link, resource, owner, seconds=LONG_S):
    return pb.LockTry(resource=named(link, resource), owner=owner, expiry_seconds=seconds)


def judged(answer, what):
    need(answer.status.code == 0, f"{what} failed: {answer.status.message}")
    return answer


def take(link, resource, owner, seconds=LONG_S):
    answer = judged(link.call(pb.METHOD_LOCK_TRY, HANDLE, request(link, resource, owner, seconds)), "try")
    return answer.message(pb.LockTryReply).success


def release(link, resource, owner):
    unlock = pb.LockUnlock(resource=named(link, resource), owner=owner)
    status = judged(link.call(pb.METHOD_LOCK_UNLOCK, HANDLE, unlock), "unlock").message(pb.LockUnlockReply).status
    return pb.LockStatus.Name(status).removeprefix("LOCK_STATUS_")


@check(needs="lock")
def lock_one_holder(bench):
    """gives a resource to one owner at a time, and not to the same one again"""
    link = bench.component()
    need(take(link, "r", "a"), "it was free")
    need(not take(link, "r", "b") and not take(link, "r", "a"), "it was held")
    need(take(link, "s", "b"), "another resource was free")


@check(needs="lock")
def lock_unlock(bench):
    """lets only the owner unlock, and says why not"""
    link = bench.component()
    need(take(link, "r", "a"), "it was free")
    need(release(link, "r", "b") == "BELONGS_TO_OTHERS", "another owner was not told so")
    need(release(link, "none", "a") == "DOES_NOT_EXIST", "what is not there was not told so")
    need(release(link, "r", "a") == "UNLOCKED", "the owner could not unlock")
    need(release(link, "r", "a") == "DOES_NOT_EXIST", "it was still there")
    need(take(link, "r", "b"), "it was free again")


@check(needs="lock")
def lock_lease(bench):
    """ends a lease after its time, not before"""
    link = bench.component()
    start = time.monotonic()
    need(take(link, "r", "a", 1), "it was free")
    while not take(link, "r", "b", LONG_S):
        need(time.monotonic() - start < SECONDS, "the lease did not end")
        time.sleep(0.01)
    need(time.monotonic() - start >= 1, "the lease ended early")
    need(release(link, "r", "a") == "BELONGS_TO_OTHERS", "the first owner still holds it")


@check(needs="lock")
def lock_rush(bench):
    """gives a resource to exactly one of many that ask at once"""
    link = bench.component()
    calls = [link.open(pb.METHOD_LOCK_TRY, HANDLE, request(link, "r", f"o{i}")) for i in range(200)]
    held = [judged(link.finish(call), "try").message(pb.LockTryReply).success for call in calls]
    need(sum(held) == 1, f"{sum(held)} hold it")
    need(release(link, "r", f"o{held.index(True)}") == "UNLOCKED", "it was another owner's")


@check(needs="lock")
def lock_names(bench):
    """takes resources and owners of any text"""
    link = bench.component()
    for name in ("größe ✓", "a b\n\t", "'\"\\;--%", "x" * 20000):
        need(take(link, name, name), "it was free")
        need(not take(link, name, name + "!"), "it was held")
        need(release(link, name, name + "!") == "BELONGS_TO_OTHERS", "names that differ at the end are the same")
        need(release(link, name, name) == "UNLOCKED", "the owner could not unlock")


@check(needs="lock")
def lock_malformed(bench):
    """refuses requests without a resource, an owner or a lease, and goes on"""
    link = bench.component()
    for request_ in (pb.LockTry(owner="a", expiry_seconds=1), pb.LockTry(resource="r", expiry_seconds=1),
                     pb.LockTry(resource="r", owner="a")):
        answer = link.call(pb.METHOD_LOCK_TRY, HANDLE, request_)
        need(answer.status.code == pb.CODE_INVALID_ARGUMENT, "it was not refused")
    for request_ in (pb.LockUnlock(owner="a"), pb.LockUnlock(resource="r")):
        answer = link.call(pb.METHOD_LOCK_UNLOCK, HANDLE, request_)
        need(answer.status.code == pb.CODE_INVALID_ARGUMENT, "it was not refused")
    need(take(link, "r", "a"), "it does not go on")
