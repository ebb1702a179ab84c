# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""Experiment recordings: what was recorded of the reference, replayed against ours: invocations (two sidecars, one sidecar,
targets without a sidecar), topics, announcements of mDNS, certificates."""
import os
import re
import subprocess
import sys

import _prove

claims = _prove.Claims()
PROGRAMS = {
    "mesh_recordings_test.py": "invocations between two sidecars",
    "invoke_recordings_test.py": "invocations of its own application and of targets without a sidecar",
    "publish_recordings_test.py": "publishing, and what the application is given",
    "pubsub_golden_test.py": "streams of Redis, written and read",
    "outbox_test.py": "the outbox: keys, events, deliveries",
    "mdns_test.py": "announcements, questions and answers of mDNS",
    "sentry_test.py": "certificates of the authority",
}


def run(name, what):
    """How many checks passed, and what the replay counted."""
    path = os.path.join(_prove.TOP, "tests", "integration", name)
    done = subprocess.run([sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = done.stdout.strip().splitlines() or [""]
    counts = re.match(r"(\d+) passed, (\d+) failed", lines[-1])
    if done.returncode != 0:
        print(done.stdout[-6000:])
    counted = [line.strip() for line in lines if re.match(r" +\d+ same, ", line)]
    claims.holds(what, done.returncode == 0 and counts and int(counts.group(1)) > 0, "; ".join([*counted, lines[-1]]))
    return sum(int(re.match(r"(\d+) same", line).group(1)) for line in counted)


same = [run(name, what) for name, what in PROGRAMS.items()]
claims.end(f"{sum(same)} recorded exchanges are repeated as they were; what differs on purpose has its reason in the tests")
