# SPDX-License-Identifier: Apache-2.0
"""Experiment cron-clock: the times of schedules, around every change of clocks in many zones and over leap days, are those
that a clock shows which is looked at minute by minute (zoneinfo, not our code); and the plugin keeps to them when its clock is
set forward and back. SEED=n draws other schedules, LONG=1 more of them."""
import datetime
import os
import subprocess
import sys
import time
import zoneinfo

import _prove
import resolver_bed  # noqa: F401  goes on in build/venv, which knows the plugin's messages
import kernel  # noqa: E402
import plugin_pb2 as pb  # noqa: E402
from _clock import Clock

rng = _prove.rng
claims = _prove.Claims()
BUILD = os.path.abspath(os.environ["REMORA_BUILD"])
DAY = 86400
ZONES = {  # and years in which they did something of their own
    "America/New_York": (1994, 2026, 2086), "Europe/Berlin": (2025, 2026), "Europe/Dublin": (2026,),
    "Australia/Lord_Howe": (2026,), "America/Sao_Paulo": (2018,), "Pacific/Apia": (2011,), "Pacific/Chatham": (2026,),
    "Africa/Casablanca": (2025, 2026), "Antarctica/Troll": (2026,), "America/St_Johns": (2006, 2026), "Asia/Tehran": (2022,),
    "Asia/Gaza": (2025,), "Asia/Pyongyang": (2015, 2018), "America/Caracas": (2007, 2016), "Africa/Cairo": (2010, 2026),
    "UTC": (2026,)}


# --- schedules, as sets ----------------------------------------------------------------------------------------------


def field(low, high, names=None, exact=False):
    """Text, and what it means; a star is None."""
    kind = rng.choice(("number", "list")) if exact else rng.choice(("star", "star", "number", "range", "step", "list", "from"))
    name = (lambda n: names[n - low] if names and rng.random() < 0.5 else str(n))  # noqa: E731
    a, b = sorted((rng.randint(low, high), rng.randint(low, high)))
    if kind == "star":
        return rng.choice("*?"), None
    if kind == "number":
        return name(a), {a}
    if kind == "range":
        return f"{name(a)}-{name(b)}", set(range(a, b + 1))
    step = rng.randint(2, 20)
    if kind == "step":
        return f"*/{step}", set(range(low, high + 1, step))
    if kind == "from":
        return f"{a}/{step}", set(range(a, high + 1, step))
    return f"{name(a)},{b}", {a, b}


MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()


class Schedule:
    def __init__(self, fields):
        self.text = " ".join(text for text, _ in fields)
        self.second, self.minute, self.hour, self.day, self.month, self.weekday = (meant for _, meant in fields)

    @classmethod
    def drawn(cls):
        dates = [field(1, 31), field(1, 12, MONTHS), field(0, 6, DAYS)]
        for i, chance in enumerate((0.7, 0.9, 0.7)):
            if rng.random() < chance:
                dates[i] = ("*", None)
        return cls([field(0, 59, exact=True), field(0, 59, exact=rng.random() < 0.7), field(0, 23)] + dates)

    def has_minute(self, wall):
        if any(meant is not None and value not in meant
               for meant, value in ((self.minute, wall.minute), (self.hour, wall.hour), (self.month, wall.month))):
            return False
        weekday = (wall.weekday() + 1) % 7
        if self.day is None or self.weekday is None:
            return (self.day is None or wall.day in self.day) and (self.weekday is None or weekday in self.weekday)
        return wall.day in self.day or weekday in self.weekday

    def times(self, zone, start, end, step=60):
        """Those after `start` up to `end`; the clock is looked at every `step` seconds."""
        found = []
        for minute in range(start - start % step, end + 1, step):
            if self.has_minute(datetime.datetime.fromtimestamp(minute, zone)):
                found += [minute + s for s in sorted(self.second if self.second is not None else range(60))]
        return [t for t in found if start < t <= end][:1000]


def changes(zone, year):
    """Days of a year on which the zone's clocks change."""
    first = int(datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
    offset = lambda t: datetime.datetime.fromtimestamp(t, zone).utcoffset()  # noqa: E731
    return [t for t in range(first, first + 366 * DAY, DAY) if offset(t) != offset(t + DAY)]


# --- asking ours -----------------------------------------------------------------------------------------------------


def build_asker(folder):
    program = folder / "next"
    sources = [os.path.join(_prove.TOP, "plugins", "cron", f"{name}.c") for name in ("schedule", "parse", "zone")]
    flags = ["-fsanitize=address,undefined"] if _prove.SANITIZED else []
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", *flags, f"-I{_prove.TOP}", f"-I{_prove.TOP}/sdk-plugin/c/include",
                    "-o", program, os.path.join(_prove.TOP, "tests", "prove", "cron", "next.c"), *sources,
                    os.path.join(BUILD, "lib", "libremora-plugin.a"), "-lev", "-lcjson", "-lprotobuf-c", "-lyaml", "-lm"],
                   check=True)
    return program


def answers(program, questions):
    lines = "".join(f"{start} {end} TZ={zone} {schedule.text}\n" for schedule, zone, start, end, _ in questions)
    out = subprocess.run([program], input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
    _prove.remora.need(len(out) == len(questions), "an answer a question")
    return out


def compare(program, questions):
    wrong = times = 0
    for (schedule, zone, start, end, step), line in zip(questions, answers(program, questions)):
        wanted = schedule.times(zoneinfo.ZoneInfo(zone), start, end, step)
        times += len(wanted)
        if line.split() != [str(t) for t in wanted]:
            wrong += 1
            if wrong <= 5:
                ours = set(line.split()) if line[:1].isdigit() else line
                _prove.say(f"TZ={zone} {schedule.text} from {start} to {end}: "
                           f"{sorted(set(map(str, wanted)) ^ ours)[:6] if isinstance(ours, set) else ours}")
    return wrong, times


def around_changes(count):
    found = []
    for zone, years in ZONES.items():
        for year in years:
            days = changes(zoneinfo.ZoneInfo(zone), year) or [1780000000 - 1780000000 % DAY]
            for day in days:
                for _ in range(count):
                    start = day - DAY // 2 + rng.randint(-DAY // 2, DAY // 2)
                    found.append((Schedule.drawn(), zone, start, start + 3 * DAY, 60))
                for minute in ("0", "30", "*/20"):  # those that the change is about
                    hours = [("0", {0}), ("1", {1}), ("2", {2}), ("3", {3}), ("*", None)]
                    minutes = {"0": {0}, "30": {30}, "*/20": {0, 20, 40}}[minute]
                    for hour in hours:
                        schedule = Schedule([("0", {0}), (minute, minutes), hour] + [("*", None)] * 3)
                        found.append((schedule, zone, day - DAY // 2, day + 2 * DAY, 60))
    return found


def over_years(count):
    """Looked at each quarter of an hour: no zone has had other offsets meanwhile."""
    found = []
    stars = ("*", None)
    for _ in range(count):
        zone = rng.choice(list(ZONES))
        start = rng.randint(800000000, 3700000000)
        day, month = rng.choice(((29, 2), (31, 3), (30, 9), (1, 1), (31, 12), (30, 2)))
        weekday = rng.choice((stars, ("fri", {5})))
        dates = [(str(day), {day}), (str(month), {month}), weekday]
        found.append((Schedule([("0", {0}), ("0,45", {0, 45}), ("*/7", {0, 7, 14, 21})] + dates), zone, start,
                      start + rng.randint(300, 1500) * DAY, 900))
    return found


# --- the plugin's clock ----------------------------------------------------------------------------------------------


class Plugin:
    """One component of the plugin, alone, with a clock that can be moved."""

    def __init__(self, clock, schedule):
        self.process = kernel.Process(os.path.join(BUILD, "plugins", "cron", "cron"), clock.environment())
        self.link = kernel.Link(self.process.accept())
        self.link.hello()
        self.link.ack()
        request = pb.InitRequest(name="tick", type="bindings.cron", version="v1", app_id="prove",
                                 metadata=[pb.Pair(name="schedule", value=schedule)])
        self.call(pb.METHOD_INIT, request)
        self.call(pb.METHOD_START)
        self.call(pb.METHOD_BINDING_READ, pb.BindingRead(reading=1, window=4))

    def call(self, method, message=b"", component=5):
        answer = self.link.call(method, component, message)
        _prove.remora.need(answer.status.code == 0, answer.status.message)

    def events(self, seconds):
        """How many come within so long, each answered."""
        self.call(pb.METHOD_PING, component=0)  # it sleeps, and has not been told of the other clock
        count, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            self.link.pump(0.02)
            for frame in self.link.host_requests:
                self.link.answer(frame, pb.HostBindingEventReply())
                count += 1
            self.link.host_requests = []
        return count

    def close(self):
        self.link.close()
        self.process.close()


def moved_clock():
    clock = Clock()
    if not clock.works:
        _prove.say("the plugin's clock is not moved under sanitizers")
        return
    shift = 1800 - time.time() % 3600  # half past: no hour is full meanwhile
    clock.shift(shift)
    hourly, seconds, every = (Plugin(clock, s) for s in ("0 0 * * * *", "* * * * * *", "@every 250ms"))
    claims.holds("by the second there is an event a second", 2 <= seconds.events(3.5) <= 5)
    claims.holds("there is none at half past", hourly.events(0.5) == 0)
    clock.shift(shift + 3 * 3600)
    claims.holds("set forward over three hours: one event, at once", hourly.events(1) == 1)
    clock.shift(shift + 2 * 3600 + 1000)
    claims.holds("set back by an hour and more: no hour comes again", hourly.events(1) == 0)
    seconds.events(1.5)
    clock.shift(shift + 2 * 3600)
    seconds.events(0.5)
    claims.holds("set back: no second comes again", seconds.events(3) == 0)
    claims.at_least("meanwhile @every went on: events in 2 s", every.events(2), 6, digits=0)
    clock.shift(shift + 3 * 3600 + 2000)
    claims.holds("set forward over the hour: it comes", hourly.events(1) == 1)
    claims.holds("and seconds go on", seconds.events(3.5) >= 2)
    for plugin in (hourly, seconds, every):
        plugin.close()


def main():
    program = build_asker(_prove.remora.Folder())
    wrong, times = compare(program, around_changes(_prove.by_length(2, 10, 100)))
    claims.judge(wrong == 0, "around changes of clocks, schedules that differ", wrong, "wanted 0")
    wrong, more = compare(program, over_years(_prove.by_length(3, 20, 200)))
    claims.judge(wrong == 0, "over years, schedules that differ", wrong, "wanted 0")
    moved_clock()
    claims.end(f"{times + more} times of schedules compared, seed {_prove.SEED}")


main()
