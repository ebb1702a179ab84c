# SPDX-License-Identifier: Apache-2.0
"""A wall clock that an experiment moves: preload/clock.c, built here, stands between a program and the machine's clock. A
plugin gets it by a manifest that lets the two variables through, in a folder of plugins that is the experiment's own."""
import mmap
import os
import shutil
import struct
import subprocess

import _prove
import remora

SOURCE = os.path.join(_prove.TOP, "tests", "prove", "preload", "clock.c")


class Clock:
    """shift(seconds) moves it for all that run with environment()."""

    def __init__(self):
        # Under sanitizers their own library must be the first: then nothing is moved.
        self.works = not _prove.SANITIZED and shutil.which("cc") is not None
        self.folder = remora.Folder()
        self.plugins = self.folder / "plugins"
        os.makedirs(self.plugins)
        self.library, self.file = self.folder / "clock.so", self.folder / "shift"
        with open(self.file, "wb") as f:
            f.write(bytes(mmap.PAGESIZE))
        with open(self.file, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        if self.works:
            subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", self.library, SOURCE],
                           check=True)

    def shift(self, seconds):
        self.map[:8] = struct.pack("=q", int(seconds * 1e9))

    def environment(self):
        return {"LD_PRELOAD": self.library, "CLOCK_SHIFT": self.file} if self.works else {}

    def add_plugin(self, name):
        """A copy of the plugin, which runs with this clock and may read what that takes."""
        folder = os.path.join(self.plugins, name)
        shutil.copytree(os.path.join(remora.BUILD, "plugins", name), folder)
        path = os.path.join(folder, "plugin.yaml")
        with open(path) as f:
            lines = [line for line in f.read().splitlines() if not line.startswith("environment:")]
        if "files:" not in lines:
            lines.append("files:")
        files = lines.index("files:") + 1
        lines[files:files] = [f"  - path: {path}\n    access: read" for path in (self.library, self.file)]
        with open(path, "w") as f:
            f.write("\n".join(lines + ["environment: [LD_PRELOAD, CLOCK_SHIFT]"]) + "\n")
