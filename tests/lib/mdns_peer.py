# SPDX-License-Identifier: Apache-2.0
"""Multicast DNS by hand: packets made and read without any code of ours, and a place on the wire to send and hear them."""
import ipaddress
import select
import socket
import struct
import time

from remora import DEADLINE_S, _live

A, PTR, TXT, AAAA, SRV, ANY = 1, 12, 16, 28, 33, 255
NAMES = {A: "A", PTR: "PTR", TXT: "TXT", AAAA: "AAAA", SRV: "SRV", ANY: "ANY"}
FLUSH = 0x8001
GROUP4, GROUP6, PORT = "224.0.0.251", "ff02::fb", 5353
SO_TIMESTAMPNS = 35


def name_bytes(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"


def record(name, type_, data, ttl=3200, class_=1):
    return name_bytes(name) + struct.pack("!HHIH", type_, class_, ttl, len(data)) + data


def service(app_id, instance, port, address, host="elsewhere.local", ttl=3200, class_=1, text=None):
    """PTR, SRV, TXT and the address of one instance."""
    ip = ipaddress.ip_address(address)
    return [record(f"{app_id}.local", PTR, name_bytes(instance), ttl),
            record(instance, SRV, struct.pack("!HHH", 0, 0, port) + name_bytes(host), ttl, class_),
            record(instance, TXT, b"".join(bytes([len(t)]) + t.encode() for t in [app_id if text is None else text]), ttl, class_),
            record(host, A if ip.version == 4 else AAAA, ip.packed, min(ttl, 120), class_)]  # fmt: skip


def packet(questions=(), answers=(), authority=(), additional=(), id_=0, flags=0):
    head = struct.pack("!HHHHHH", id_, flags, len(questions), len(answers), len(authority), len(additional))
    asked = b"".join(name_bytes(name) + struct.pack("!HH", type_, class_) for name, type_, class_ in questions)
    return head + asked + b"".join([*answers, *authority, *additional])


def query(name, type_=PTR, class_=1, id_=0, known=()):
    return packet([(name, type_, class_)], known, id_=id_)


def response(answers, additional=(), id_=0):
    return packet((), answers, (), additional, id_, 0x8400)


class Packet:
    """`questions` are (name, type, class), records (section, name, type, class, ttl, value); `at` is when it arrived."""

    def __init__(self, data, source, at):
        self.data, self.source, self.at = data, source, at
        self.id, self.flags, *counts = struct.unpack_from("!HHHHHH", data)
        self.place = 12
        self.questions = [(self._name(), *self._numbers("!HH")) for _ in range(counts[0])]
        self.records = []
        for section, count in zip(("answer", "authority", "additional"), counts[1:]):
            self.records += [self._record(section) for _ in range(count)]

    def _numbers(self, form):
        numbers = struct.unpack_from(form, self.data, self.place)
        self.place += struct.calcsize(form)
        return numbers

    def _name(self):
        labels, place, end = [], self.place, None
        while self.data[place]:
            if self.data[place] >= 0xC0:
                end = end or place + 2
                to = struct.unpack_from("!H", self.data, place)[0] & 0x3FFF
                if to >= place:
                    raise ValueError("a pointer must go back")
                place = to
                continue
            labels.append(self.data[place + 1 : place + 1 + self.data[place]].decode())
            place += 1 + self.data[place]
        self.place = end or place + 1
        return ".".join(labels) + "."

    def _record(self, section):
        name = self._name()
        type_, class_, ttl, length = self._numbers("!HHIH")
        end = self.place + length
        if type_ == PTR:
            value = self._name()
        elif type_ == SRV:
            value = (*self._numbers("!HHH"), self._name())
        elif type_ == TXT:
            value, place = [], self.place
            while place < end:
                value.append(self.data[place + 1 : place + 1 + self.data[place]].decode())
                place += 1 + self.data[place]
        elif type_ in (A, AAAA):
            value = str(ipaddress.ip_address(self.data[self.place : end]))
        else:
            value = self.data[self.place : end]
        self.place = end
        return section, name, type_, class_, ttl, value

    def lines(self):
        """As the recording shows packets, without numbers that differ each time."""
        shown = [f"flags=0x{self.flags:04x}"]
        shown += [f"Q  {name} type={type_} class=0x{class_:04x}" for name, type_, class_ in self.questions]
        for section, name, type_, class_, ttl, value in self.records:
            if type_ == SRV:
                value = "prio={} weight={} port={} target={}".format(*value)
            shown.append(f"{section} {name} type={type_}({NAMES.get(type_)}) class=0x{class_:04x} ttl={ttl} {value}")
        return shown


class Wire:
    """An endpoint that hears all multicast DNS of one machine's eth0, and sends there; `port` 0 makes it a plain resolver
    that hears only what is sent to it alone. To be made inside the machine."""

    def __init__(self, address="10.77.0.2", port=PORT):
        self.is_v4 = ":" not in address
        family = socket.AF_INET if self.is_v4 else socket.AF_INET6
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        index = socket.if_nametoindex("eth0")
        if self.is_v4:
            self.group = (GROUP4, PORT)
            member = socket.inet_aton(GROUP4) + socket.inet_aton(address)
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            self.socket.bind(("", port))
            if port:
                self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        else:
            self.group = (GROUP6, PORT, 0, index)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            self.socket.bind(("::", port))
            if port:
                member = socket.inet_pton(socket.AF_INET6, GROUP6) + struct.pack("@I", index)
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        self.own = self.socket.getsockname()[1]
        self.heard = []
        _live.append(self)

    def send(self, data):
        self.socket.sendto(data, self.group)

    def _receive(self, seconds):
        until = time.monotonic() + seconds
        while select.select([self.socket], [], [], max(until - time.monotonic(), 0))[0]:
            data, more, _, source = self.socket.recvmsg(9000, 256)
            # What the system says: whoever reads may have stood still.
            at = next(struct.unpack("@qq", stamp[:16]) for _, kind, stamp in more if kind == SO_TIMESTAMPNS)
            try:
                return Packet(data, source, at[0] + at[1] / 1e9)
            except (struct.error, IndexError, ValueError):
                pass  # of a test that sends nonsense
        return None

    def hear(self, wanted, what, seconds=DEADLINE_S):
        """The first packet from now on that is wanted; all heard are kept in `heard`."""
        until = time.monotonic() + seconds
        while (got := self._receive(until - time.monotonic())) is not None:
            self.heard.append(got)
            if wanted(got):
                return got
        raise AssertionError(f"{what}: not among {[one.lines() for one in self.heard]}")

    def gather(self, seconds):
        """What comes within so long."""
        until, found = time.monotonic() + seconds, []
        while (got := self._receive(until - time.monotonic())) is not None:
            found.append(got)
        return found

    def end(self):
        self.socket.close()
