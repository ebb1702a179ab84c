#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings.cron through the sidecar: what an application gets and when, also if it is slow or fails, in which zones, and
after the plugin has been killed. Which times a schedule names is the business of tests/unit/plugins-cron/schedule_test.c
and of `make prove T=cron-clock`."""
import os
import re
import threading

from events import kill_plugin
from http_app import App, answer
from remora import DEADLINE_S, Sidecar, component, equal, eventually, main, need, test

TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{0,8}[1-9])? \+0000 UTC")


def cron(name, schedule, *metadata):
    return component(name, "bindings.cron", [("schedule", schedule), ("direction", "input"), *metadata])


class Ticks(App):
    def __init__(self):
        self.say = lambda request: answer(200)
        super().__init__(lambda request, exchange: self.say(request))

    def of(self, target):
        return [r for r in self.requests if r.method == "POST" and r.target == target]


def header(request, name):
    return next(value for key, value in request.headers if key.lower() == name.lower())


def second_of(request):
    found = TIME.fullmatch(header(request, "readTimeUTC"))
    need(found, f"readTimeUTC {header(request, 'readTimeUTC')}")
    return found.group(1)


def started(app, *resources, **more):
    return Sidecar(*resources, flags=["--app-port", str(app.port)], app_id="bx", **more)


@test("an event has the time in its metadata, no data, and comes again each time", "BIND-01 X-BIND-01")
def _():
    app = Ticks()
    sidecar = started(app, cron("second", "* * * * * *"), cron("often", "@every 100ms", ("route", "/custom/often")),
                      cron("tokyo", "CRON_TZ=Asia/Tokyo * * * * * *"))
    for target, count in (("/second", 3), ("/custom/often", 5), ("/tokyo", 2)):
        eventually(lambda: len(app.of(target)) >= count, f"{count} events at {target}")
    for request in app.of("/second") + app.of("/custom/often") + app.of("/tokyo"):
        equal((request.body, header(request, "timeZone"), header(request, "Content-Type")), (b"", "Local", "application/json"))
        second_of(request)
    seconds = [second_of(r) for r in app.of("/second")]
    equal(len(set(seconds)), len(seconds), "events of as many seconds")
    equal(sidecar.stop(), 0)


@test("what the application answers changes nothing, and one that is not answered holds up no other", "BIND-01")
def _():
    app, held = Ticks(), threading.Event()

    def say(request):
        if request.target == "/slow" and len(app.of("/slow")) == 1:
            held.wait(DEADLINE_S)
        return answer(500 if request.target == "/bad" else 200)

    app.say = say
    sidecar = started(app, cron("slow", "@every 100ms"), cron("bad", "@every 100ms"))
    for target in ("/slow", "/bad"):
        eventually(lambda: len(app.of(target)) >= 4, f"events at {target}")
    held.set()
    sidecar.end()


@test("the machine's zone is what TZ says", "BIND-01")
def _():
    app = Ticks()
    sidecar = started(app, cron("berlin", "* * * * * *"), env={"PATH": os.environ["PATH"], "TZ": "Europe/Berlin"})
    eventually(lambda: app.of("/berlin"), "an event")
    equal(header(app.of("/berlin")[0], "timeZone"), "Europe/Berlin")
    second_of(app.of("/berlin")[0])
    sidecar.end()


@test("events go on when the plugin has been killed", "BIND-01")
def _():
    app = Ticks()
    sidecar = started(app, cron("often", "@every 200ms"))
    eventually(lambda: app.of("/often"), "an event")
    kill_plugin(sidecar, "cron")
    before = len(app.of("/often"))
    eventually(lambda: len(app.of("/often")) >= before + 3, "more events")
    sidecar.end()


@test("what is no schedule is refused with the reason", "BIND-01")
def _():
    for schedule, words in (("", "schedule not set"), ("hourly", "invalid schedule format 'hourly': expected 5 to 6 fields"),
                            ("* * * * 7", "end of range (7) above maximum (6): 7"),
                            ("TZ=Europe/Nowhere @daily", "unknown time zone Europe/Nowhere"),
                            ("TZ=../../../etc/passwd @daily", "provided bad location ../../../etc/passwd")):
        broken = Sidecar(cron("tick", schedule), wait=False)
        eventually(lambda: not broken.is_alive(), "the end")
        need(words in broken.log(), f"{words} is not in the log")


main()
