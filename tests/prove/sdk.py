# SPDX-License-Identifier: Apache-2.0
"""Experiment sdk: programs that know only the official SDK run against the sidecar, and so do the recorded calls."""
import os
import re
import subprocess
import sys

import _prove

claims = _prove.Claims()


def run(name, what):
    """How many checks passed."""
    path = os.path.join(_prove.TOP, "tests", "integration", name)
    done = subprocess.run([sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    counts = re.match(r"(\d+) passed, (\d+) failed", last)
    if done.returncode != 0:
        print(done.stdout[-6000:])
    claims.holds(what, done.returncode == 0 and counts and int(counts.group(1)) > 0, last)
    return int(counts.group(1)) if counts else 0


sdk = run("sdk_python_test.py", "the Python SDK, unmodified")
recorded = run("grpc_recordings_test.py", "recorded calls are answered as recorded")
claims.end(f"{sdk} checks of the Python SDK, {recorded} recorded calls")
