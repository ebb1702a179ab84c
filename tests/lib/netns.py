# SPDX-License-Identifier: Apache-2.0
"""Machines of a test: network namespaces on one bridge, with addresses of IPv4 and IPv6, multicast, and packets that
nftables drops. Needs root; where that, or a tool, is missing the test is skipped."""

import ctypes
import itertools
import os
import shutil
import subprocess
import threading

from remora import DEADLINE_S, Skip, _live, need

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_counter = itertools.count()


def sh(*words, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S, **more)
    need(done.returncode == 0, f"{' '.join(words)}: {done.stdout}")
    return done.stdout


def _require():
    if os.geteuid() != 0:
        raise Skip("network namespaces want root")
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            raise Skip(f"{tool} is not installed")


class Namespace:
    """A machine. `enter` is for preexec_fn, `inside` runs a function on a thread in it: sockets it makes stay there."""

    def __init__(self, name=None):
        _require()
        self.name = name or f"rt{os.getpid()}-{next(_counter)}"
        try:
            sh("ip", "netns", "add", self.name)
        except AssertionError as error:
            raise Skip(f"no network namespaces here: {error}") from None
        _live.insert(0, self)  # ends after what runs in it
        self.fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        self.addresses = ["127.0.0.1"]
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        return sh("ip", "-n", self.name, *words)

    def run(self, *words):
        return sh("ip", "netns", "exec", self.name, *words)

    def enter(self):
        if _libc.setns(self.fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def inside(self, function, *words, **more):
        kept = {}

        def body():
            try:
                self.enter()
                kept["value"] = function(*words, **more)
            except BaseException as error:  # it is raised again where inside() was called
                kept["error"] = error

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join()
        if "error" in kept:
            raise kept["error"]
        return kept["value"]

    def nft(self, text):
        subprocess.run(["ip", "netns", "exec", self.name, "nft", "-f", "-"], input=text, text=True, check=True,
                       timeout=DEADLINE_S)  # fmt: skip

    def drop(self, match, hook="input"):
        """Packets that match vanish, as in `drop("tcp dport 50002")`; hook is input or output."""
        self.nft(f"table inet lost {{ chain {hook} {{ type filter hook {hook} priority 0; }}; }}\n"
                 f"add rule inet lost {hook} {match} drop\n")  # fmt: skip

    def pass_all(self):
        """Nothing is dropped any more."""
        self.nft("table inet lost {}\ndelete table inet lost\n")

    def end(self):
        os.close(self.fd)
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL)


class Network:
    """So many machines on one wire. `families` are 4, 6 or both; the nth has 10.77.0.n and fd77::n, from 1."""

    def __init__(self, count, families=(4, 6)):
        self.switch = Namespace()
        self.switch.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.switch.ip("link", "set", "br0", "up")
        self.machines = [self._attach(n + 1, families) for n in range(count)]

    def _attach(self, n, families):
        one = Namespace()
        self.switch.ip("link", "add", f"v{n}", "type", "veth", "peer", "name", "eth0", "netns", one.name)
        self.switch.ip("link", "set", f"v{n}", "master", "br0", "up")
        if 6 not in families:
            one.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        one.ip("link", "set", "eth0", "up")
        if 4 in families:
            one.ip("addr", "add", f"10.77.0.{n}/24", "dev", "eth0")
            one.ip("route", "add", "default", "via", "10.77.0.254")
            one.addresses.append(f"10.77.0.{n}")
        if 6 in families:
            one.ip("-6", "addr", "add", f"fd77::{n}/64", "dev", "eth0", "nodad")
            one.ip("-6", "route", "add", "default", "via", "fd77::fe")
            one.addresses.append(f"fd77::{n}")
        return one
