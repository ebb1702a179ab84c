# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""Experiment sdk: programs that know only an official SDK run against the sidecar, and so do the recorded calls."""
import os
import re
import subprocess
import sys

import _prove

claims = _prove.Claims()
PROGRAMS = {
    "sdk_python_test.py": "the Python SDK, unmodified",
    "sdk_programs_test.py": "programs of the JavaScript SDK and of Python's asynchronous client",
    "sdk_invoke_test.py": "applications and callers of both SDKs, through the sidecar",
    "sdk_topics_test.py": "topics of their applications, published by their clients, and over streams",
    "sdk_health_test.py": "the health checks of their gRPC applications",
    "grpc_recordings_test.py": "recorded calls are answered as recorded",
}


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


counts = {name: run(name, what) for name, what in PROGRAMS.items()}
recorded = counts.pop("grpc_recordings_test.py")
claims.end(f"{sum(counts.values())} checks of the SDKs, {recorded} recorded calls")
