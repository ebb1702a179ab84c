# SPDX-License-Identifier: Apache-2.0
"""`remora run` and its companions for tests: in a data and a run directory of their own, so that no two tests meet."""
import json
import os
import subprocess

from remora import BUILD, SLOW, Folder, Process, children, eventually, need

REMORA = os.path.join(BUILD, "bin", "remora")
PATIENCE_S = 60  # several programs start one after the other until something is said


class Bed:
    """Where a test's launchers and sidecars live."""

    def __init__(self):
        self.folder = Folder()
        for name in ("run", "home", "work"):
            os.mkdir(self.folder / name, 0o700)
        self.work = self.folder / "work"

    def env(self, **more):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.folder / "home",
            "XDG_RUNTIME_DIR": self.folder / "run",
            "XDG_DATA_HOME": self.folder / "data",
            "TMPDIR": self.folder.path,
        }
        environment.update({key: os.environ[key] for key in os.environ if key.endswith("SAN_OPTIONS")})
        environment.update(more)
        return environment

    def do(self, *words, env=None, seconds=60, stdin=""):
        """A command that ends by itself: exit code, standard output, standard error."""
        done = subprocess.run([REMORA, *words], capture_output=True, text=True, timeout=seconds * SLOW, input=stdin,
                              env=self.env(**(env or {})), cwd=self.work)
        return done.returncode, done.stdout, done.stderr

    def look(self, *words, **more):
        """A command that looks for sidecars: for this test's and nobody else's."""
        return self.do(*words, "--run-dir", self.folder / "run", **more)

    def start(self, *words, env=None, **more):
        return Launcher(self, words, env or {}, more)

    def list(self):
        code, out, err = self.look("list", "-o", "json")
        need(code == 0 and err == "", f"list: {code} {err}")
        return json.loads(out)

    def sidecar(self, app_id):
        """Its entry in the list, once its launcher has told it all."""
        def find():
            return next((one for one in self.list() if one["appId"] == app_id and one["daprdPid"]), None)

        return eventually(find, f"{app_id} is listed")


class Launcher(Process):
    """`remora run …` in the background."""

    def __init__(self, bed, words, env, more):
        self.bed = bed
        super().__init__([REMORA, *words], bed.folder, env=bed.env(**env), cwd=more.pop("cwd", bed.work), **more)

    def up(self, text="up and running"):
        def said():
            need(self.is_alive() or text in self.log(), f"the launcher ended:\n{self.log()[-3000:]}")
            return text in self.log()

        eventually(said, f"{text!r} is said", PATIENCE_S)
        return self

    def app_lines(self, mark="== APP == "):
        return [line[len(mark):] for line in self.log().splitlines() if line.startswith(mark)]

    def has_said(self, line, mark="== APP == "):
        eventually(lambda: line in self.app_lines(mark), f"{line!r} is printed", PATIENCE_S)
        return self


def family(pid):
    """All descendants of a process."""
    found = []
    for child in children(pid):
        found += [child] + family(child)
    return found
