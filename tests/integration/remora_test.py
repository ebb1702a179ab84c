# SPDX-License-Identifier: Apache-2.0
"""The command line `remora` against running sidecars: what it prints, for people and for scripts, and its exit codes.
timeout: 170"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from remora import BUILD, DEADLINE_S, SLOW, Folder, Sidecar, component, equal, eventually, main, need, test

REMORA = os.path.join(BUILD, "bin", "remora")
MEM = component("mem", "state.in-memory")
TALKER = """#!/usr/bin/env python3
import time
for i in range(30):
    print(f"line {i}", flush=True)
print("bell \\a and \\033[31mred", flush=True)
time.sleep(600)
"""
TALKER_YAML = """apiVersion: remora.io/v1
kind: Plugin
name: talker
version: 0.1.0
exec: talker.py
types: [{type: state.talker}]
network: no
"""


def remora(*words, env=None):
    """Exit code, stdout, stderr."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    environment.update({key: os.environ[key] for key in os.environ if key.endswith("SAN_OPTIONS")})
    environment.update(env or {})
    done = subprocess.run([REMORA, *words], capture_output=True, text=True, timeout=30 * SLOW, env=environment)
    return done.returncode, done.stdout, done.stderr


def at(sidecar):
    """A function that runs commands against that sidecar and wants them to succeed."""
    def run(*words):
        code, out, err = remora(*words, "--run-dir", sidecar.folder / "run")
        equal((code, err), (0, ""), f"remora {' '.join(words)}")
        return out

    return run


def rows(table):
    return [re.split(r"  +", line) for line in table.splitlines()]


def run_dir(sidecar):
    folder = sidecar.folder / "run"
    return os.path.join(folder, next(name for name in os.listdir(folder) if name.startswith("remora-")))


# --- what is shown ----------------------------------------------------------------------------------------------------


@test("version, status, components and plugins are tables for people")
def tables():
    sidecar = Sidecar(MEM, component("second", "state.in-memory"), app_id="orders")
    run = at(sidecar)
    equal(rows(run("version")), [["remora", "edge"], ["remorad", "edge"]])
    status = dict(rows(run("status")))
    equal(status["app id"], "orders")
    equal(status["stage"], "running")
    equal(status["ready"], "yes")
    equal(status["pid"], str(sidecar.pid))
    equal(status["http port"], str(sidecar.port))
    equal(status["plugins"], "2 of 2 ready")  # one finds other sidecars
    equal(status["components"], "2 of 2 ready")
    equal(status["run directory"], os.path.realpath(run_dir(sidecar)))
    equal(rows(run("components")), [["NAME", "TYPE", "VERSION", "STATE", "PLUGIN", "GENERATION", "ERROR"],
                                    ["mem", "state.in-memory", "v1", "ready", "in-memory", "1", "-"],
                                    ["second", "state.in-memory", "v1", "ready", "in-memory", "1", "-"]])
    head, row, resolver = rows(run("plugin", "list"))
    equal(resolver[0], "mdns")
    equal(head, ["NAME", "VERSION", "STATE", "ROLE", "PID", "GENERATION", "RESTARTS", "SINCE"])
    equal(row[:4] + row[5:7], ["in-memory", "1.0.0", "ready", "serving", "1", "0"])
    equal(int(row[4]), sidecar.plugins()["in-memory"]["pid"])
    need(re.fullmatch(r"\d+s", row[7]), f"an age: {row[7]}")
    shown = run("plugin", "describe", "in-memory")
    for text in ("name          in-memory\n", "state         ready\n", "types         state.in-memory, pubsub.in-memory\n",
                 "\nmem     state.in-memory  v1       ready  in-memory  1           -\n"):
        need(text in shown, f"{text!r} in {shown}")
    need(not any(line.endswith(" ") for line in shown.splitlines()), "no blanks at ends of lines")


@test("with -o json everything is JSON")
def as_json():
    sidecar = Sidecar(MEM)
    run = at(sidecar)

    def ask(*words):
        return json.loads(run(*words, "-o", "json"))

    equal(ask("version"), {"client": "edge", "kernel": {"version": "edge", "major": 1, "minor": 1}})
    status = ask("status")
    equal({key: status[key] for key in ("appId", "ready", "pid", "stage", "plugins", "componentsReady", "workers")},
          {"appId": "shop", "ready": True, "pid": sidecar.pid, "stage": "running", "plugins": 2, "componentsReady": 1,
           "workers": 1})
    need(abs(status["startedUnixMs"] / 1000 - time.time()) < 60, "the time of the start")
    (mem,) = ask("components")
    equal({key: mem[key] for key in mem if key != "capabilities"},
          {"name": "mem", "type": "state.in-memory", "version": "v1", "state": "ready", "plugin": "in-memory",
           "generation": 1, "error": ""})
    need("ETAG" in mem["capabilities"], mem)
    plugin, resolver = ask("plugin", "list")
    equal(resolver["name"], "mdns")
    equal((plugin["name"], plugin["state"], plugin["lines"]), ("in-memory", "ready", []))
    described = ask("plugin", "describe", "in-memory")
    equal(described["components"], [mem])
    equal(described["types"], ["state.in-memory", "pubsub.in-memory"])
    equal(ask("plugin", "logs", "in-memory"), [])
    events = [json.loads(line) for line in run("events", "-o", "json").splitlines()]
    equal([event["sequence"] for event in events], list(range(1, len(events) + 1)))
    (came,) = [event for event in events if event["kind"] == "component" and event["name"] == "mem"]
    equal((came["was"], came["state"]), ("waiting", "ready"))


@test("a component that failed is shown with its error")
def failed_component():
    bad = component("bad", "state.none") + "  ignoreErrors: true\n"
    sidecar = Sidecar(MEM, bad)
    row = rows(at(sidecar)("components"))[2]
    equal(row[:3] + row[4:5], ["bad", "state.none", "v1", "-"])
    equal(row[3], "failed")
    need("state.none" in row[6], row)
    equal(dict(rows(at(sidecar)("status")))["components"], "1 of 2 ready")


@test("the last lines of a plugin are shown, without what commands a terminal")
def logs():
    folder = Folder()
    os.makedirs(folder / "plugins/talker")
    script = folder.write("plugins/talker/talker.py", TALKER)
    os.chmod(script, 0o755)
    folder.write("plugins/talker/plugin.yaml", TALKER_YAML)
    sidecar = Sidecar(component("talk", "state.talker"), folder=folder, wait=False,
                      flags=["--plugins-path", folder / "plugins"])

    def lines(*more):
        code, out, _ = remora("plugin", "logs", "talker", *more, "--run-dir", folder / "run")
        return out.splitlines() if code == 0 else []

    # Where it takes so long that the plugin is started anew meanwhile, it prints the same once more.
    every = [f"line {i}" for i in range(30)] + ["bell ? and ?[31mred"]
    eventually(lambda: lines() == every[-20:], "the plugin has printed")
    eventually(lambda: lines("-n", "2") == every[-2:], "so many are shown as are asked for")
    eventually(lambda: lines("--lines=1000") == every[-20:], "as many are shown as there are")

    def is_described():
        shown = at(sidecar)("plugin", "describe", "talker")
        return "state         starting\n" in shown and "\nlast output:\n" in shown and "  line 29\n" in shown

    eventually(is_described, "it is described with its last output")


# --- what is done -----------------------------------------------------------------------------------------------------


@test("restart gives the plugin another process, and events tell of it")
def restart():
    sidecar = Sidecar(MEM)
    run = at(sidecar)
    before = sidecar.plugins()["in-memory"]["pid"]
    equal(run("plugin", "restart", "in-memory"), "restarting in-memory\n")

    def is_back():
        plugin, _ = json.loads(run("plugin", "list", "-o", "json"))
        return plugin if plugin["state"] == "ready" and plugin["pid"] != before else None

    plugin = eventually(is_back, "another process is ready")
    equal((plugin["generation"], plugin["restarts"]), (2, 0))
    eventually(lambda: json.loads(run("components", "-o", "json"))[0]["state"] == "ready", "the component is back")
    equal(sidecar.call("POST", "/v1.0/state/mem", [{"key": "k", "value": 1}]).status, 204)
    told = [line.split("  ")[1:3] for line in run("events").splitlines()]
    for change in (["plugin in-memory", "ready -> draining"], ["plugin in-memory", "starting -> handshaking"],
                   ["component mem", "ready -> waiting"], ["component mem", "waiting -> ready"]):
        need(change in told, f"{change} in {told}")
    need("restarted by an administrator" in run("events"), "the reason")
    need("exit code" in run("plugin", "describe", "in-memory"), "how it ended")


def own_plugin(folder):
    """A copy of the in-memory plugin, to be broken."""
    shutil.copytree(os.path.join(BUILD, "plugins", "in-memory"), folder / "plugins/in-memory")
    return ["--plugins-path", folder / "plugins"]


@test("swap exchanges the process while it serves, and waits for the end of it")
def swap():
    folder = Folder()
    sidecar = Sidecar(MEM, folder=folder, flags=own_plugin(folder))
    run = at(sidecar)
    before = sidecar.plugins()["in-memory"]["pid"]
    for generation in range(2, 6):
        equal(run("plugin", "swap", "in-memory"), f"in-memory is generation {generation} now\n")
        equal(sidecar.call("POST", "/v1.0/state/mem", [{"key": "k", "value": generation}]).status, 204)
        equal(json.loads(run("components", "-o", "json"))[0]["state"], "ready")
    serving = [plugin for plugin in json.loads(run("plugin", "list", "-o", "json")) if plugin["role"] == "serving"]
    serving = [plugin for plugin in serving if plugin["name"] == "in-memory"]
    equal([(plugin["generation"], plugin["state"]) for plugin in serving], [(5, "ready")])
    need(serving[0]["pid"] != before, "another process")
    need("  swap of in-memory  done  generation 5\n" in run("events"), run("events"))
    equal(json.loads(run("plugin", "swap", "in-memory", "-o", "json"))["generation"], 6)


@test("a swap that fails says why, and nothing has changed")
def swap_fails():
    folder = Folder()
    sidecar = Sidecar(MEM, folder=folder, flags=own_plugin(folder))
    run = at(sidecar)
    here = ["--run-dir", folder / "run"]
    before = sidecar.plugins()["in-memory"]["pid"]
    equal(sidecar.call("POST", "/v1.0/state/mem", [{"key": "k", "value": 7}]).status, 204)
    os.chmod(folder.write("broken", "#!/bin/sh\nexit 3\n"), 0o755)
    os.rename(folder / "broken", folder / "plugins/in-memory/in-memory")
    code, out, err = remora("plugin", "swap", "in-memory", *here)
    equal((code, out), (1, ""))
    need(err.startswith("remora: in-memory serves on as it was: ") and "3" in err, err)
    folder.write("plugins/in-memory/plugin.yaml", "kind: Nonsense\n")
    code, out, err = remora("plugin", "swap", "in-memory", *here)
    equal((code, out), (1, ""))
    need("plugin.yaml" in err, err)
    equal(sidecar.call("GET", "/v1.0/state/mem/k").body, b"7")
    need(f"\npid           {before}\n" in run("plugin", "describe", "in-memory"), "the process that was there")


@test("events --follow goes on from the past into the present, until the sidecar ends")
def follow():
    sidecar = Sidecar(MEM)
    process = subprocess.Popen([REMORA, "events", "--follow", "-o", "json", "--run-dir", sidecar.folder / "run"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = [json.loads(process.stdout.readline()) for _ in range(4)]
    equal([event["sequence"] for event in first], [1, 2, 3, 4])
    for _ in range(5):
        at(sidecar)("plugin", "restart", "in-memory")
        seen = []
        while not seen or (seen[-1]["kind"], seen[-1]["state"]) != ("component", "ready"):
            seen.append(json.loads(process.stdout.readline()))
        first += seen
    equal([event["sequence"] for event in first], list(range(1, len(first) + 1)))
    sidecar.stop()
    rest, errors = process.communicate(timeout=30 * SLOW)
    need('"state":"draining"' in rest, rest)
    equal((process.returncode, errors), (1, "remora: the sidecar has ended\n"))


# --- which sidecar ----------------------------------------------------------------------------------------------------


@test("without a name the newest living sidecar of the user is meant")
def newest():
    folder = Folder()
    env = {"XDG_RUNTIME_DIR": folder.path}
    flags = ["--run-dir", folder.path]
    first = Sidecar(app_id="first", flags=flags)
    second = Sidecar(app_id="second", flags=flags)

    def app():
        code, out, err = remora("status", "-o", "json", env=env)
        equal((code, err), (0, ""))
        return json.loads(out)["appId"]

    equal(app(), "second")
    second.signal(signal.SIGKILL)  # leaves its folder behind
    second.wait()
    equal(app(), "first")
    first.stop()


@test("a socket, a run directory or its parent name a sidecar")
def named():
    sidecar = Sidecar(app_id="named")
    inner = run_dir(sidecar)
    for words in (["--socket", inner + "/admin.sock"], ["--run-dir", inner], ["--run-dir", inner + "/"],
                  ["--run-dir", os.path.dirname(inner)], ["--run-dir=" + inner]):
        code, out, err = remora("status", *words)
        equal((code, err), (0, ""), words)
        equal(dict(rows(out))["app id"], "named")
    code, out, err = remora("--socket", inner + "/admin.sock", "events")
    equal((code, err), (0, ""))


@test("what cannot be done ends with 1 and one line that says why")
def not_done():
    folder = Folder()
    sidecar = Sidecar(MEM)
    here = ["--run-dir", sidecar.folder / "run"]
    nobody = {"XDG_RUNTIME_DIR": folder.path, "TMPDIR": folder.path}
    stale = folder.write("plain", "")
    for words, text in ((["status", "--socket", folder / "none"], f"{folder.path}/none: No such file or directory"),
                        (["status", "--socket", stale], f"{stale}: Connection refused"),
                        (["status", "--socket", "/" + "x" * 200], "File name too long"),
                        (["status", "--run-dir", folder / "none"], "No such file or directory"),
                        (["status", "--run-dir", folder.path], "no sidecar of yours runs here"),
                        (["plugin", "describe", "redis"] + here, "no plugin is named redis"),
                        (["plugin", "restart", "redis"] + here, "no plugin is named redis"),
                        (["plugin", "logs", "x" * 70000] + here, "")):
        code, out, err = remora(*words, env=nobody)
        equal((code, out), (1, ""), words)
        need(err.startswith("remora: ") and err.count("\n") == 1 and text in err, f"{words}: {err!r}")


@test("a sidecar that takes its time is waited for, and one that goes away meanwhile is not")
def takes_its_time():
    sidecar, folder = Sidecar(), Folder()

    def pass_back(server, client):
        """What comes after the greeting, which is 8 bytes, takes a second."""
        client.sendall(server.recv(8, socket.MSG_WAITALL))
        while data := server.recv(65536):
            time.sleep(1)
            client.sendall(data)

    def relay(listening, ends):
        listening.accept()[0].close()  # the command looks first whether anybody is there
        client, _ = listening.accept()
        client.settimeout(DEADLINE_S)
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(os.path.join(run_dir(sidecar), "admin.sock"))
            threading.Thread(target=pass_back, args=(server, client), daemon=True).start()
            server.sendall(client.recv(8, socket.MSG_WAITALL))
            request = client.recv(65536)
            if not ends:
                server.sendall(request)
                client.recv(1)  # until it has its answer
            server.shutdown(socket.SHUT_RDWR)

    for name, ends in (("slow", False), ("gone", True)):
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(folder / name)
            listening.listen()
            between = threading.Thread(target=relay, args=(listening, ends), daemon=True)
            between.start()
            code, out, err = remora("status", "--socket", folder / name)
            between.join(DEADLINE_S)
        equal((code, err), (1, "remora: the sidecar does not answer: Connection reset\n") if ends else (0, ""))
        need(ends or "app id" in out, out)


@test("a sidecar that hangs is not waited for long")
def hangs():
    sidecar = Sidecar()
    sidecar.signal(signal.SIGSTOP)
    code, out, err = remora("status", "--run-dir", sidecar.folder / "run")  # which has a limit
    sidecar.signal(signal.SIGCONT)
    equal((code, out), (1, ""))
    need("does not answer" in err, err)


@test("a command line that makes no sense ends with 2")
def usage():
    for words in (["nonsense"], ["plugin"], ["plugin", "nonsense"], ["plugin", "list", "x"], ["plugin", "describe"],
                  ["status", "-f"], ["status", "--lines", "3"], ["plugin", "logs", "x", "-n", "0"],
                  ["plugin", "logs", "x", "-n", "many"], ["plugin", "logs", "x", "-n", "99999999999"], ["--nonsense"],
                  ["status", "-o"], ["status", "-o", "xml"], ["status", "--socket", "a", "--run-dir", "b"]):
        code, out, err = remora(*words)
        equal((code, out), (2, ""), words)
        need(err.startswith("remora: ") and "remora help" in err, err)
    code, out, err = remora()
    equal((code, out), (2, ""))
    need(err.startswith("Usage: remora COMMAND"), err)


@test("help goes to standard output and ends with 0")
def help_text():
    first = remora("help")
    equal((first[0], first[2]), (0, ""))
    equal(first, remora("--help"))
    equal(first, remora("status", "-h"))
    for word in ("version", "status", "components", "plugin list", "plugin describe NAME", "plugin logs NAME",
                 "plugin restart NAME", "plugin swap NAME", "events", "--socket PATH", "--run-dir DIR"):
        need(word in first[1], word)


main()
