# SPDX-License-Identifier: Apache-2.0
"""remorad in the place of daprd under the stock Dapr CLI. The CLI's binary is not to be had here, so what it does with
its daprd is re-enacted, from its public behaviour: the arguments it passes (all of them, defaults included), how it waits
(connections to both ports), what it tells the sidecar (metadata), how it lists and how it ends it."""
import os
import shutil
import signal
import socket
import subprocess

from remora import (BUILD, DEADLINE_S, SLOW, Folder, Process, call, component, equal, eventually, free_port, is_running,
                    main, need, test)


class Daprd(Process):
    """A sidecar as `dapr run` starts it: no program of ours is named remorad here."""

    def __init__(self, folder, executable, app_port=0, resources="components", extra=()):
        self.http, self.grpc, metrics, internal = (free_port() for _ in range(4))
        arguments = [
            "--app-protocol", "http", "--log-level", "info", "--app-max-concurrency", "-1",
            "--placement-host-address", "localhost:50005", "--resources-path", folder / resources,
            "--max-body-size", "4Mi", "--read-buffer-size", "4Ki", "--app-health-check-path", "/healthz",
            "--app-health-probe-interval", "5", "--app-health-probe-timeout", "500", "--app-health-threshold", "3",
            "--scheduler-host-address", "localhost:50006", "--app-id", "nodeapp", "--app-port", str(app_port),
            "--dapr-http-port", str(self.http), "--dapr-grpc-port", str(self.grpc), "--profile-port", "-1",
            "--metrics-port", str(metrics), "--dapr-internal-grpc-port", str(internal), *extra,
        ]
        env = {"PATH": os.environ["PATH"], "HOME": folder.path, "XDG_RUNTIME_DIR": folder / "run"}
        env.update({key: os.environ[key] for key in os.environ if key.endswith("SAN_OPTIONS")})
        super().__init__([executable, *arguments], folder, env=env)

    def listens(self):
        """What the CLI waits for: connections, nothing more."""
        try:
            for port in (self.http, self.grpc):
                socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
            return True
        except OSError:
            return False

    def wait_for(self):
        eventually(lambda: self.listens() or need(self.is_alive(), self.log()[-3000:]), "both ports listen")
        return self

    def put(self, name, value):
        return call(("127.0.0.1", self.http), "PUT", f"/v1.0/metadata/{name}", value, [("Content-Type", "text/plain")]).status

    def metadata(self):
        return call(("127.0.0.1", self.http), "GET", "/v1.0/metadata").json


def install(linked=False):
    """A home with .dapr/bin/daprd and what belongs to it."""
    folder = Folder()
    os.makedirs(folder / ".dapr/bin")
    os.mkdir(folder / "run", 0o700)
    os.mkdir(folder / "components")
    folder.write("components/mem.yaml", component("statestore", "state.in-memory"))
    daprd = folder / ".dapr/bin/daprd"
    if linked:
        os.symlink(os.path.join(BUILD, "bin", "remorad"), daprd)
    else:
        shutil.copy(os.path.join(BUILD, "bin", "remorad"), daprd)
        shutil.copy(os.path.join(BUILD, "bin", "remora-exec"), folder / ".dapr/bin/")
        shutil.copytree(os.path.join(BUILD, "plugins"), folder / ".dapr/plugins")
    return folder, daprd


@test("dapr run: arguments, waiting, metadata, list and stop", "XC-01 INV-25")
def run():
    for linked in (False, True):
        folder, daprd = install(linked)
        sidecar = Daprd(folder, daprd).wait_for()
        equal(sidecar.put("cliPID", str(os.getpid())), 204)
        equal(sidecar.put("appCommand", "node app.js --port 3000"), 204)
        told = sidecar.metadata()
        equal(told["id"], "nodeapp")
        equal({key: told["extended"][key] for key in ("cliPID", "appCommand")},
              {"cliPID": str(os.getpid()), "appCommand": "node app.js --port 3000"})
        need("daprRuntimeVersion" in told["extended"], told)
        eventually(lambda: [one["name"] for one in sidecar.metadata().get("components", [])] == ["statestore"],
                   "its components are there")
        # `dapr list` finds processes by this name and reads pairs of arguments.
        with open(f"/proc/{sidecar.pid}/comm") as f:
            equal(f.read(), "daprd\n")
        with open(f"/proc/{sidecar.pid}/cmdline") as f:
            words = f.read().split("\0")
        pairs = dict(zip(words[1::2], words[2::2]))
        equal((pairs["--app-id"], pairs["--dapr-http-port"]), ("nodeapp", str(sidecar.http)))
        equal(call(("127.0.0.1", sidecar.http), "POST", "/v1.0/state/statestore", [{"key": "k", "value": 1}]).status, 204)
        sidecar.signal(signal.SIGTERM)
        equal(sidecar.wait(), 0)
        need("Daprd shutdown gracefully" in sidecar.log(), sidecar.log()[-2000:])


@test("dapr run with an application: it is started while the sidecar waits for its port")
def with_app():
    folder, daprd = install()
    port = free_port()
    sidecar = Daprd(folder, daprd, app_port=port)
    eventually(lambda: "waiting on port" in sidecar.log(), "it waits")
    eventually(sidecar.listens, "its APIs are there meanwhile")
    equal(sidecar.put("cliPID", str(os.getpid())), 204)
    with socket.create_server(("127.0.0.1", port)):
        eventually(lambda: f"application discovered on port {port}" in sidecar.log(), "it is seen")
    sidecar.signal(signal.SIGINT)
    equal(sidecar.wait(), 0)


@test("dapr run that fails: the exit code and the output say it, and the pipes end")
def fails():
    folder, daprd = install()
    folder.write("components/bad.yaml", component("bad", "state.nonsense"))
    sidecar = Daprd(folder, daprd)
    equal(sidecar.wait(), 1)
    need('level=fatal msg="' in sidecar.log(), sidecar.log())
    done = subprocess.run([daprd, "--nonsense"], capture_output=True, text=True, timeout=30 * SLOW)
    need(done.returncode != 0 and "unknown flag: --nonsense" in done.stderr, done)
    equal(subprocess.run([daprd, "--version"], capture_output=True, text=True, timeout=30 * SLOW).returncode, 0)


@test("the CLI's kill leaves nothing, and its readers see the end of the output")
def killed():
    folder, daprd = install()
    read, write = os.pipe()
    sidecar = Daprd(folder, daprd).wait_for()
    other = subprocess.Popen([daprd, "--app-id", "x", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--metrics-port",
                              "0", "--resources-path", folder / "components"], stdout=write, stderr=write,
                             env={"XDG_RUNTIME_DIR": folder / "run"})
    os.close(write)
    seen = b""
    while b"dapr initialized" not in seen:
        piece = os.read(read, 65536)
        need(piece, seen.decode())
        seen += piece
    other.kill()
    other.wait()
    while os.read(read, 65536):
        pass  # ends when no process holds the other end
    os.close(read)

    def connected():
        found = [plugin["pid"] for plugin in sidecar.metadata()["remora"]["plugins"]]
        return all(found) and found

    plugins = eventually(connected, "its plugins are there")
    need(all(is_running(pid) for pid in plugins), plugins)
    sidecar.kill()
    eventually(lambda: not any(is_running(pid) for pid in plugins), "the plugins are gone")


main()
