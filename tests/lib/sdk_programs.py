# SPDX-License-Identifier: Apache-2.0
"""Runs the programs of tests/sdk, which know nothing but an official SDK and the environment that a launcher gives, beside
a sidecar. What a language needs is installed by tools/deps under build/; without it the tests that need it are skipped."""

import os
import shutil

from remora import TOP, Process, Sidecar, Skip, free_port, need

PROGRAMS = os.path.join(TOP, "tests", "sdk")
PYTHON = os.path.join(TOP, "build", "venv-sdk", "bin", "python")
NODE_MODULES = os.path.join(TOP, "build", "sdk-js", "node_modules")
GO_PEER = os.path.join(TOP, "build", "sdk-go", "peer")
MADE_BY = "`make deps-test` makes it"
PATIENCE_S = 60  # an interpreter and its packages load slowly on a busy machine


def command(program, *words):
    """How a program of tests/sdk is started; its language is in its name."""
    path = os.path.join(PROGRAMS, program)
    if program.endswith(".py"):
        if not os.path.exists(PYTHON):
            raise Skip(f"build/venv-sdk is not here, {MADE_BY}")
        return [PYTHON, path, *words]
    if program.endswith(".js"):
        if shutil.which("node") is None or not os.path.isdir(NODE_MODULES):
            raise Skip(f"node or build/sdk-js is not here, {MADE_BY}")
        return ["node", path, *words]
    if not os.path.exists(GO_PEER):
        raise Skip(f"build/sdk-go is not here, {MADE_BY} where there is a Go that can build it")
    return [GO_PEER, *words]


def environment(sidecar=None, **more):
    """What a launcher puts into an application's environment, and nothing of the tests' own."""
    env = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    env.update(NODE_PATH=NODE_MODULES, PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1")
    if sidecar is not None:
        env.update(DAPR_HTTP_PORT=str(sidecar.port), DAPR_GRPC_PORT=str(sidecar.grpc_port))
    env.update(more)
    return env


def start(folder, env, program, *words):
    return Process(command(program, *words), folder, env=env)


def ends_well(process):
    """Waits for a client program, which judges every answer itself."""
    code = process.wait(PATIENCE_S)
    need(code == 0 and process.log().endswith("all is well\n"), f"exit code {code}; it said:\n{process.log()[-6000:]}")


def run(sidecar, program, *words, **env):
    ends_well(start(sidecar.folder, environment(sidecar, **env), program, *words))


class Application(Process):
    """An application of tests/sdk with a sidecar in front of it, which waits for it: most applications of the SDKs wait for
    their sidecar too."""

    def __init__(self, program, *words, protocol, resources=(), app_id="reef", flags=(), make=Sidecar):
        """`make` gives the sidecar: a mesh's, say."""
        self.port = free_port()
        flags = ["--app-port", str(self.port), "--app-protocol", protocol, *flags]
        made = command(program, *words)
        self.sidecar = make(*resources, app_id=app_id, flags=flags, wait=False)
        super().__init__(made, self.sidecar.folder, env=environment(self.sidecar, APP_PORT=str(self.port)))
        try:
            self.sidecar.wait_ready(PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\nThe application said:\n{self.log()[-3000:]}") from None
