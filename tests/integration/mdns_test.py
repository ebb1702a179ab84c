#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""nameresolution.mdns on wires of its own (network namespaces): the records of the reference runtime, peers that are none
of ours, both families, several instances, goodbyes, and what becomes of it all when processes die or are exchanged."""
import os
import re
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import resolver_bed  # noqa: E402  it may start another Python
import http_app  # noqa: E402
import mdns_peer as dns  # noqa: E402
import mesh  # noqa: E402
import netns  # noqa: E402
import remora  # noqa: E402
from remora import equal, eventually, main, need, shared, test  # noqa: E402


def resolver(machine, app_id, address=None, port=50002, start=True):
    return machine.inside(resolver_bed.Resolver, "mdns", "nameresolution.mdns", {}, app_id, port,
                          host=address or machine.addresses[-1], start=start)  # fmt: skip


def is_announcement(packet):
    return packet.flags == 0x8000 and len(packet.records) == 5


# --- on the wire ------------------------------------------------------------------------------------------------------


def recorded(app_id, host, pid, port, address):
    """The packets of one app in the recording, in its form and our words."""
    packets = []
    with open(shared("recordings", "mdns.txt")) as f:
        text = f.read()
    for head, block in re.findall(r"\nid=\S+ (flags=\S+) [^\n]*\n((?:  (?:Q|RR) [^\n]*\n)+)", text):
        if f"{app_id}.local." in block:
            packets.append([head, *[line.strip() for line in block.splitlines()]])
    swap = {"<HOST>": host, "<PID>": str(pid), "<B_INTERNAL_PORT>": str(port), "<HOST_IP>": address}
    for packet in packets:
        for i, line in enumerate(packet):
            for old, new in swap.items():
                line = line.replace(old, new)
            packet[i] = line
    return packets


def as_recorded(packet):
    """Without the section, which the recording has as counts."""
    return [re.sub(r"^(answer|authority|additional) ", "RR ", line) for line in packet.lines()]


@test("probes, announcements, answers and goodbyes are those that were recorded", "§22 INV-06")
def records():
    near, far = netns.Network(2, families=(4,)).machines
    wire = far.inside(dns.Wire)
    ours = resolver(near, "back", port=50555)
    known = recorded("back", "bed", os.getpid(), 50555, "10.77.0.1")
    probe = wire.hear(lambda p: p.flags == 0, "a probe")
    need(as_recorded(probe) in known, as_recorded(probe))
    equal([r[0] for r in probe.records], ["authority", "authority"])
    first = wire.hear(is_announcement, "an announcement")
    need(as_recorded(first) in known, as_recorded(first))
    second = wire.hear(is_announcement, "another")
    need(0.7 < second.at - first.at < 10 * remora.SLOW, "a second later")
    equal(len([p for p in wire.heard if p.flags == 0]), 2, "probes")
    wire.send(dns.query("back.local", id_=77))
    answer = wire.hear(lambda p: p.flags == 0x8400, "an answer")
    need(as_recorded(answer) in known, as_recorded(answer))
    equal((answer.id, [r[0] for r in answer.records]), (77, ["answer"] + ["additional"] * 3))
    equal(answer.source[1], 5353)
    ours.stop()
    goodbye = wire.hear(lambda p: is_announcement(p) and p.records[0][4] == 0, "a goodbye")
    need(as_recorded(goodbye) in known, as_recorded(goodbye))
    wire.hear(lambda p: is_announcement(p) and p.records[0][4] == 0, "and another, since packets get lost")


@test("every kind of question is answered as multicast DNS wants it", "§22")
def questions():
    near, far = netns.Network(2, families=(4,)).machines
    wire, plain = far.inside(dns.Wire), far.inside(dns.Wire, port=0)
    resolver(near, "back", port=50555)
    wire.hear(is_announcement, "an announcement")
    instance = f"bed:{os.getpid()}.back.local."

    def asked(packet, where=wire, wanted=lambda p: p.flags == 0x8400):
        where.send(packet)
        return where.hear(wanted, "an answer")

    types = lambda p: [(r[0], r[2]) for r in p.records]  # noqa: E731
    equal(types(asked(dns.query(instance, dns.SRV))), [("answer", dns.SRV), ("additional", dns.A)])
    equal(types(asked(dns.query(instance, dns.TXT))), [("answer", dns.TXT)])
    equal(types(asked(dns.query(instance, dns.ANY))), [("answer", dns.SRV), ("answer", dns.TXT), ("additional", dns.A)])
    equal(types(asked(dns.query("bed.local", dns.A))), [("answer", dns.A)])
    equal(asked(dns.query("_services._dns-sd._udp.local")).records[0][5], "back.local.")
    equal(asked(dns.query("BACK.Local")).records[0][5], instance, "letters of any case")
    unicast = asked(dns.query("back.local", class_=0x8001))
    equal(len(unicast.records), 4, "a question that wants to be answered alone")
    legacy = asked(dns.query("back.local", id_=4711), plain)
    equal((legacy.id, legacy.questions), (4711, [("back.local.", dns.PTR, 1)]))
    need(all(r[4] <= 10 and r[3] == 1 for r in legacy.records), "a plain resolver keeps it for a moment only")
    known = dns.record("back.local", dns.PTR, dns.name_bytes(instance), 3000)
    wire.send(dns.query("back.local", id_=1, known=[known]))
    for other in ("other.local", "backs.local", "x.back.local", "local"):
        wire.send(dns.query(other, id_=2))
    wire.send(dns.query("back.local", dns.A, id_=3))
    wire.send(dns.packet([("back.local", dns.PTR, 1)], id_=4, flags=0x2800))
    answer = asked(dns.query("back.local", id_=5))
    equal(answer.id, 5, "what is known, of others, or no query is not answered")


@test("sidecars of another maker are found by the answers that were recorded", "INV-06 §22")
def others():
    near, far = netns.Network(2, families=(4,)).machines
    wire = far.inside(dns.Wire)
    ours = resolver(near, "front")
    found = []

    def find(id_="back"):
        thread = threading.Thread(target=lambda: found.append(ours.find(id_)))
        thread.start()
        asked = wire.hear(lambda p: p.flags == 0 and p.questions[0][0] == f"{id_}.local.", "we ask")
        return thread, asked

    thread, asked = find()
    equal((asked.questions, len(asked.data)), ([("back.local.", dns.PTR, 1)], 28))
    pointer, *rest = dns.service("back", "vm:11.back.local", 6001, "10.77.0.9", "vm.local")
    wire.send(dns.response([pointer], rest, asked.id))
    thread.join()
    # For a second it is waited for. What came later is known the next time.
    eventually(lambda: (found.pop() if found else ours.find("back")) == ["10.77.0.9:6001"], "it is found")
    # Two more say that they are there; hosts of one name are kept apart.
    wire.send(dns.packet((), dns.service("back", "vm:12.back.local", 6002, "10.77.0.8", "vm.local", class_=dns.FLUSH), flags=0x8000))
    wire.send(dns.packet((), dns.service("back", "vm:13.back.local", 6003, "10.77.0.7", "vm.local", class_=dns.FLUSH), flags=0x8000))
    eventually(lambda: ours.find("back") == ["10.77.0.9:6001", "10.77.0.8:6002", "10.77.0.7:6003"], "all three")
    goodbye = dns.service("back", "vm:12.back.local", 6002, "10.77.0.8", "vm.local", ttl=0, class_=dns.FLUSH)
    wire.send(dns.packet((), goodbye, flags=0x8000))
    eventually(lambda: ours.find("back") == ["10.77.0.9:6001", "10.77.0.7:6003"], "one has gone")
    wire.send(dns.packet((), dns.service("back", "vm:13.back.local", 6004, "10.77.0.7", "vm.local"), flags=0x8000))
    eventually(lambda: ours.find("back") == ["10.77.0.9:6001", "10.77.0.7:6004"], "one has moved")
    # Who could not be reached must say again that it is there.
    hint = [resolver_bed.pb.Pair(name="unreachable", value="10.77.0.9:6001")]
    equal(ours.resolve("back", metadata=hint), ["10.77.0.7:6004"])
    wire.hear(lambda p: p.flags == 0 and p.questions[0][0] == "back.local.", "we ask again")
    wire.send(dns.response([pointer], rest))
    eventually(lambda: sorted(ours.find("back")) == ["10.77.0.7:6004", "10.77.0.9:6001"], "it has said so")


@test("parts of an answer that are missing are asked for", "§22")
def parts():
    near, far = netns.Network(2, families=(4,)).machines
    wire = far.inside(dns.Wire)
    ours = resolver(near, "front")
    found = []

    def find():
        while not found:  # the answers may come later than a second, which is as long as one search takes
            found.extend(ours.find("back"))

    thread = threading.Thread(target=find, daemon=True)
    thread.start()
    pointer, port, text, address = dns.service("back", "vm:1.back.local", 6001, "10.77.0.9", "vm.local")
    wire.hear(lambda p: p.flags == 0 and p.questions[0][0] == "back.local.", "we ask")
    wire.send(dns.response([pointer]))
    wire.hear(lambda p: ("vm:1.back.local.", dns.SRV, 1) in p.questions, "we ask for its port")
    wire.send(dns.response([port, text]))
    wire.hear(lambda p: ("vm.local.", dns.A, 1) in p.questions, "we ask for its address")
    wire.send(dns.response([address]))
    thread.join()
    equal(found, ["10.77.0.9:6001"])


@test("who says another name, spells it otherwise, or answers from another port is not believed", "§22")
def strangers():
    near, far = netns.Network(2, families=(4,)).machines
    wire, plain = far.inside(dns.Wire), far.inside(dns.Wire, port=0)
    ours = resolver(near, "front")
    found = []
    thread = threading.Thread(target=lambda: found.append(ours.find("back")))
    thread.start()
    wire.hear(lambda p: p.flags == 0 and p.questions[0][0] == "back.local.", "we ask")
    for text, instance, where in (("Back", "a.back.local", wire), ("", "b.back.local", wire), ("back", "c.back.local", plain),
                                  ("back", "d.backs.local", wire), ("back", "back.local", wire)):
        where.send(dns.response(dns.service("back", instance, 6001, "10.77.0.9", "vm.local", text=text)))
    thread.join()
    equal(found, [[]])
    for wanted in ("couldn't find service: nobody", "timeout waiting for address for app id nobody"):
        try:
            ours.resolve("nobody")
            raise AssertionError("it was found")
        except resolver_bed.Refused as refused:
            equal((refused.code, refused.message), ("NOT_FOUND", wanted))
    took = []
    for _ in range(5):  # at any of which the machine may stand still
        began = time.monotonic()
        equal(ours.find("x" * 64), [], "a name that cannot be one")
        took.append(time.monotonic() - began)
    need(min(took) < 1, "is not waited for")


@test("nonsense on the wire harms nobody", "SEC-01")
def nonsense():
    near, far = netns.Network(2, families=(4, 6)).machines
    wires = far.inside(dns.Wire), far.inside(dns.Wire, "fd77::2")
    ours = resolver(near, "front", "10.77.0.1")
    good = dns.response(dns.service("back", "vm:1.back.local", 6001, "10.77.0.9", "vm.local"))
    equal(ours.find("back"), [])
    loop = good[:12] + b"\xc0\x0c" + good[14:]
    bombs = [good[:n] for n in range(0, len(good), 3)] + [loop, b"\xff" * 9000, good[:12] + b"\xc0\xff" * 400]
    bombs += [bytes((b ^ (i * 37 + n) & 0xFF) if i % 7 == n % 7 else b for i, b in enumerate(good)) for n in range(60)]
    for wire in wires:
        for bomb in bombs:
            try:
                wire.send(bomb)
            except OSError:
                pass  # too large for the wire

    def all_of_them():
        for wire in wires:
            for n in range(300):  # one name, very many instances; who does not keep up with them loses some
                wire.send(dns.response(dns.service("back", f"vm:{n}.back.local", 6001, f"10.77.1.{n % 250}", f"h{n}.local")))
        return len(ours.find("back")) > 200

    eventually(all_of_them, "as many as there may be")
    need(len(ours.find("back")) <= 256, "and no more")
    fresh = far.inside(dns.Wire)  # the others have missed what came while nobody read

    def answers():
        fresh.send(dns.query("front.local", id_=9))
        return any(p.flags == 0x8400 and p.id == 9 for p in fresh.gather(0.2))

    eventually(answers, "it still answers")


@test("two machines find each other by IPv6 alone, and over an address of the link", "INV-06")
def family_six():
    near, far = netns.Network(2, families=(6,)).machines
    theirs = resolver(far, "back", "fd77::2", 6007)
    ours = resolver(near, "front", "fd77::1")
    eventually(lambda: ours.find("back") == ["[fd77::2]:6007"], "by IPv6")
    theirs.stop()
    resolver(far, "link", "fe80::1:2", 6008)
    eventually(lambda: ours.find("link") == ["[fe80::1:2%2]:6008"] or ours.find("link"), "on its link")
    need(re.fullmatch(r"\[fe80::1:2%\d+\]:6008", ours.find("link")[0]), "with the interface it was heard on")


@test("an interface that comes later is used too", "INV-06")
def interfaces():
    near, far = netns.Network(2, families=(4,)).machines
    near.ip("link", "set", "eth0", "down")
    ours = resolver(near, "front", "10.77.0.1")
    theirs = resolver(far, "back", "10.77.0.2", 6009)
    equal(ours.find("back"), [])
    near.ip("link", "set", "eth0", "up")
    eventually(lambda: ours.find("back") == ["10.77.0.2:6009"], "we find it")
    eventually(lambda: theirs.find("front") == ["10.77.0.1:50002"], "and it finds us")


@test("another generation takes over, and the goodbye of the last one is answered", "SWAP-01")
def generations():
    near, far = netns.Network(2, families=(4,)).machines
    wire = far.inside(dns.Wire)
    old = resolver(near, "back")
    asker = resolver(far, "front", "10.77.0.2")
    eventually(lambda: asker.find("back") == ["10.77.0.1:50002"], "it is found")
    took = 1.0
    for _ in range(5):
        if took > 0.5:  # a goodbye takes effect after a second; who stands still for so long has been told that it is gone
            new = resolver(near, "back")
            old.stop()
            goodbye = wire.hear(lambda p: is_announcement(p) and p.records[0][4] == 0, "the old one says goodbye")
            other = wire.hear(lambda p: is_announcement(p) and p.records[0][4] > 0, "the new one says that it is there")
            old, took = new, other.at - goodbye.at
    need(took <= 0.5, f"it takes {took} s to say so")
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        equal(asker.find("back"), ["10.77.0.1:50002"], "at no moment it was not found")
    new.stop()
    eventually(lambda: asker.find("back") == [], "until it goes too")


# --- sidecars ---------------------------------------------------------------------------------------------------------


class Bed:
    """front on one machine, so many instances of back on the other, each with an application that says its number."""

    def __init__(self, families=(4,), count=1, workers=1):
        self.workers = ["--workers", str(workers)]
        self.near, self.far = netns.Network(2, families).machines
        self.mesh = mesh.Mesh(resolver=None)
        self.apps = [self.far.inside(http_app.App, lambda request, exchange, n=n: http_app.answer(200, b"%d" % n))
                     for n in range(count)]  # fmt: skip
        self.backs = [self.start(self.far, "back", app=app) for app in self.apps]
        self.metrics = ("127.0.0.1", remora.free_port())
        self.front = self.start(self.near, "front", flags=["--metrics-port", str(self.metrics[1]), *self.workers])
        self.reach()

    def start(self, machine, app_id, **more):
        made = self.mesh.sidecar(app_id, wait=False, preexec_fn=machine.enter, loopback=False, **more)
        machine.inside(made.wait_ready)
        return made

    def get(self, method="x"):
        return self.near.inside(mesh.invoke, self.front, "back", method)

    def reach(self):
        eventually(lambda: self.get().status == 200, "back is reached")

    def end(self):
        for one in (self.front, *self.backs):
            one.stop()


    def asked(self):
        """How often a plugin of front was called so far."""
        text = self.near.inside(remora.call, self.metrics, "GET", "/metrics").text
        return int(re.search(r"remora_plugin_call_microseconds_count{[^}]*} (\d+)", text)[1])


class Traffic:
    """Calls one after another until the end; none may fail."""

    def __init__(self, bed):
        self.bed, self.count, self.failed, self.is_over = bed, 0, [], False
        self.thread = threading.Thread(target=lambda: bed.near.inside(self.run))
        self.thread.start()

    def run(self):
        while not self.is_over:
            reply = mesh.invoke(self.bed.front, "back", "x")
            self.count += 1
            if reply.status != 200:
                self.failed.append(reply)

    def end(self):
        self.is_over = True
        self.thread.join()
        equal(self.failed, [], "calls that failed")
        need(self.count > 0, "calls were made")


@test("sidecars on two machines find each other without any setting", "INV-05 INV-06 INV-10 §1")
def machines():
    for families, workers in (((4,), 3), ((6,), 1)):
        bed = Bed(families, workers=workers)
        for _ in range(9):
            equal(bed.get().body, b"0")
        log = bed.backs[0].log()
        host = "10.77.0.2" if families == (4,) else "[fd77::2]"
        need(f"local service entry announced: back -> {host}:{bed.backs[0].internal_port}" in log, log[-2000:])
        need("Initialized name resolution to mdns" in log, log[-2000:])
        shown = bed.near.inside(bed.front.metadata)
        need("components" not in shown, "a resolver is no component")
        equal(shown["remora"]["nameResolution"], {"name": "mdns", "state": "ready", "generation": 1, "plugin": "mdns"})
        bed.end()


@test("many callers of one name share a question, and what is known is not asked for each time", "INV-06")
def shared_questions():
    bed = Bed()

    def together():
        """Questions for 40 callers, who come at one time unless the machine stands still."""
        before, replies = bed.asked(), []
        callers = [threading.Thread(target=lambda: replies.append(bed.near.inside(mesh.invoke, bed.front, "nobody", "x", timeout=60)))
                   for _ in range(40)]  # fmt: skip
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        equal([reply.status for reply in replies], [500] * 40)
        need(all("nobody" in reply.json["message"] for reply in replies), replies[0])
        return bed.asked() - before

    def in_turn():
        """Questions for 200 calls, of which a slow machine has time for more."""
        before, began = bed.asked(), time.monotonic()
        for _ in range(200):
            equal(bed.get().status, 200)
        asked, took = bed.asked() - before, time.monotonic() - began
        need(asked <= 2 + 11 * took, f"{asked} questions for 200 calls in {took:.1f} s")
        return asked

    eventually(lambda: together() <= 4, "they share their questions", 60)
    eventually(lambda: in_turn() < 100, "so do those who come later", 60)
    bed.end()


@test("three instances take turns, on one machine; one that stops is out at once", "INV-05 T-INV-7")
def turns():
    bed = Bed(count=3)

    def once_around():
        bodies = [bed.get().body for _ in range(9)]
        return sorted(bodies[:3]) == [b"0", b"1", b"2"] and bodies[:3] * 3 == bodies

    eventually(once_around, "each in its turn")
    bed.backs[1].stop()
    equal({bed.get().body for _ in range(8)}, {b"0", b"2"}, "who has said goodbye is not called")
    bed.backs[2].kill()
    eventually(lambda: {bed.get().body for _ in range(4)} == {b"0"}, "who was killed is not called for long")
    for back in (bed.backs[0], bed.front):
        back.stop()


@test("a killed resolver comes back by itself, and no call fails", "SWAP-07 ARCH-8")
def killed():
    bed = Bed()
    traffic = Traffic(bed)
    for machine, sidecar in ((bed.near, bed.front), (bed.far, bed.backs[0])):
        before = machine.inside(sidecar.plugins)["mdns"]
        os.kill(before["pid"], signal.SIGKILL)

        def is_back():
            now = machine.inside(sidecar.plugins)["mdns"]
            return now["state"] == "ready" and now["generation"] > before["generation"]

        eventually(is_back, "another process")
        eventually(lambda: sidecar.log().count("local service entry announced") == 2, "it has registered again")
    traffic.end()
    bed.end()


@test("the resolver's process is exchanged under load, on either side, and no call fails", "SWAP-01")
def swapped():
    bed = Bed()
    traffic = Traffic(bed)
    for sidecar in (bed.front, bed.backs[0], bed.front, bed.backs[0]):
        remora.need(os.system(f"{remora.BUILD}/bin/remora plugin swap mdns --run-dir {sidecar.folder / 'run'} >/dev/null") == 0,
                    sidecar.log()[-2000:])
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        time.sleep(0.01)  # what the last goodbye would do comes a second later
    traffic.end()
    bed.end()


@test("another resolver in the Configuration takes effect in place, and back; one that cannot start is said", "RELOAD-10 §1")
def reconfigured():
    bed = Bed()
    path = bed.front.popen.args[bed.front.popen.args.index("--config") + 1]
    with open(path) as f:
        mdns = f.read()
    traffic = Traffic(bed)

    def write(spec):
        with open(f"{path}.new", "w") as f:
            f.write(mdns.replace("spec: {}", "spec:\n  nameResolution: " + spec) if spec else mdns)
        os.rename(f"{path}.new", path)

    def resolver():
        return bed.near.inside(bed.front.metadata)["remora"]["nameResolution"]

    write("{component: zork}")
    eventually(lambda: "zork" in resolver().get("error", ""), "there is no such resolver")
    equal((resolver()["name"], resolver()["state"]), ("mdns", "ready"), "the old one goes on")
    traffic.end()  # nobody is registered there
    hosts = bed.mesh.folder / "other.db"
    write(f"{{component: sqlite, configuration: {{connectionString: {hosts}}}}}")
    eventually(lambda: resolver()["name"] == "sqlite", "another resolver")
    need("Initialized name resolution to sqlite" in bed.front.log(), bed.front.log()[-2000:])
    eventually(lambda: bed.get().status == 500, "which does not know back")
    write("")
    eventually(lambda: bed.get().status == 200, "the first one again")
    bed.end()


@test("a resolver that cannot start at the start keeps nobody from starting, and is tried again", "§1 ARCH-8")
def cannot_start():
    folder = remora.Folder()
    config = folder.write("c.yaml", "kind: Configuration\nmetadata: {name: c}\nspec: {nameResolution: {component: consul, configuration: {"
                          "selfRegister: true, client: {address: '127.0.0.1:1'}}}}\n")  # fmt: skip
    for flags, words in ((["--config", config], "initialization error occurred for nr (consul/v1)"),):
        sidecar = remora.Sidecar(folder=folder, flags=flags)
        need(words in sidecar.log(), sidecar.log()[-2000:])
        equal(sidecar.metadata()["remora"]["nameResolution"]["state"] in ("failed", "waiting"), True)
        reply = sidecar.call("GET", "/v1.0/invoke/nobody/method/x")
        equal((reply.status, "err: name resolver not initialized" in reply.json["message"]), (500, True), reply.body)
        eventually(lambda: sidecar.log().count(words) >= 2, "it is tried again")
        sidecar.stop()


if __name__ == "__main__":
    main()
