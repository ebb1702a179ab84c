# SPDX-License-Identifier: Apache-2.0
"""Experiment descriptors: every message and method of the public API is the same on the wire as in the official SDK."""
import os
import re
import subprocess
import sys

import _prove

claims = _prove.Claims()
TEST = os.path.join(_prove.TOP, "tests", "integration", "api_descriptors_test.py")
run = subprocess.run([sys.executable, TEST], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
lines = run.stdout.strip().splitlines()
counts = next((line for line in lines if re.match(r"\d+ messages, ", line)), "nothing was compared")
for line in lines[:-1]:
    _prove.say(line)
claims.holds("ours and the SDK's are the same", run.returncode == 0 and "methods" in counts, lines[-1] if lines else "")
claims.end(counts)
