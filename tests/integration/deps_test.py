#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/deps with an apt-get that only takes notes: what is asked of it, and by how many at a time."""
import os
import subprocess

from remora import TOP, Folder, equal, eventually, main, need, test

# `dpkg-query` knows only what apt-get has installed; what asks for root gets nothing but apt-get.
STUBS = {
    "id": "echo 1000",
    "sudo": 'case $1 in env) exec "$@" ;; tee) cat >/dev/null ;; test) exit 1 ;; esac',
    "dpkg-query": 'for name; do :; done; [ -e "$STATE/has-$name" ] && echo installed; exit 0',
    "systemctl": "exit 0",
    "apt-get": """
case " $* " in *' update '*) act=update ;; *) act=install ;; esac
mkdir "$STATE/busy" || { echo "E: Could not get lock of $act"; exit 100; }
echo "$act" >>"$STATE/calls"
until [ -e "$STATE/go" ]; do [ -d "$STATE" ] || exit 1; sleep 0.01; done
for word; do case $word in -*) ;; *) touch "$STATE/has-$word" ;; esac; done
rmdir "$STATE/busy"
""",
}


class Deps:
    """One run of tools/deps [section …] in front of these stubs."""

    def __init__(self, folder, *sections):
        self.output = open(folder / f"output-{'-'.join(sections)}", "w+b")
        env = {**os.environ, "PATH": f"{folder.path}:{os.environ['PATH']}", "STATE": folder.path}
        command = [f"{TOP}/tools/deps", *sections]
        self.process = subprocess.Popen(command, env=env, stdout=self.output, stderr=subprocess.STDOUT)

    def said(self):
        return os.pread(self.output.fileno(), 100000, 0).decode()


@test("two at once install one after the other, and the second only what is missing then")
def two_at_once():
    folder = Folder()
    for name, script in STUBS.items():
        os.chmod(folder.write(name, f"#!/bin/bash\n{script}\n"), 0o755)
    first = Deps(folder, "build")
    eventually(lambda: os.path.exists(folder / "calls"), "the first one is at it")
    second = Deps(folder, "build", "lint")
    eventually(lambda: "waiting for another one" in second.said(), "the second one waits")
    need(first.process.poll() is None and second.process.poll() is None, first.said() + second.said())
    folder.write("go", "")
    for deps in (first, second):
        need(deps.process.wait(60) == 0, deps.said())
    with open(folder / "calls") as calls:
        equal(calls.read().split(), ["update", "install"] * 2)
    need("clang-tidy" in second.said() and "libev-dev" not in second.said(), second.said())


if __name__ == "__main__":
    main()
