# SPDX-License-Identifier: Apache-2.0
"""Experiment conform: every state plugin and resolver of the tree, and the plugin in Python without our SDK, against the
contract.

`make conform PLUGIN=name` prints a row a requirement; this counts them for all plugins that need no server of the user's."""
import os
import re
import subprocess
import sys

import _prove
import measure
import remora

claims = _prove.Claims()
JUDGE = os.path.join(_prove.TOP, "tests", "conformance", "run")


def judge(name, plugin, *options):
    """Rows passed and failed; what failed is printed."""
    run = subprocess.run([sys.executable, JUDGE, "--build", remora.BUILD, *options, plugin], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    last = (run.stdout.strip().splitlines() or [""])[-1]
    counts = re.match(r"(\d+) passed, (\d+) failed", last)
    claims.holds(f"{name}: {last}", run.returncode == 0 and counts and int(counts.group(1)) > 0)
    if run.returncode != 0:
        print("\n".join(line for line in run.stdout.splitlines() if not line.startswith("ok"))[-3000:])
    return int(counts.group(1)) if counts else 0


total = judge("in-memory", "in-memory") + judge("sqlite", "sqlite")
if measure.have_redis():
    server = measure.plain_redis()
    total += judge("redis", "redis", "-m", f"redisHost=127.0.0.1:{server.port}")
total += judge("a plugin in Python on pynng", os.path.join(_prove.TOP, "tests", "conformance", "python-plugin"))
total += judge("sqlite, name resolution", "sqlite", "-t", "nameresolution.sqlite")
for kind in ("kubernetes", "dns", "nameformat"):
    total += judge(f"names, {kind}", "names", "-t", f"nameresolution.{kind}")
claims.end(f"{total} requirements met by {'eight' if measure.have_redis() else 'seven'} kinds of components")
