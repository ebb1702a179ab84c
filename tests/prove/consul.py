# SPDX-License-Identifier: Apache-2.0
"""Experiment consul: the resolver against a real Consul agent. CONSUL names one; otherwise it is built from its Go module
(about ten minutes on one core, kept in the build folder), which needs Go and its module proxy. The test is the one of
`make check`, which has a fake agent where there is no real one."""
import os
import re
import shutil
import subprocess
import sys

import _prove
import remora

MODULE = "github.com/hashicorp/consul"
VERSION = "v1.21.0"
TEST = os.path.join(_prove.TOP, "tests", "integration", "resolver_consul_test.py")
claims = _prove.Claims()


def build():
    """Its path, or None."""
    folder = os.path.join(remora.BUILD, "consul")
    program = os.path.join(folder, "consul")
    if os.path.exists(program):
        return program
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not os.path.exists(go):
        return None
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "tools.go"), "w") as f:
        f.write(f'//go:build tools\n\npackage tools\n\nimport _ "{MODULE}"\n')
    environment = dict(os.environ, GOFLAGS="-mod=mod")
    for words in (["mod", "init", "consul.test"], ["get", f"{MODULE}@{VERSION}"], ["build", "-p", "1", "-o", "consul", MODULE]):
        if words[0] == "mod" and os.path.exists(os.path.join(folder, "go.mod")):
            continue
        print("go", *words, flush=True)
        done = subprocess.run([go, *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            print(done.stderr[-2000:])
            return None
    return program


program = os.environ.get("CONSUL") or shutil.which("consul") or build()
if program is None:
    print("skipped: no consul, and none can be built here\n0 passed, 0 failed, 1 skipped")
    sys.exit(0)
version = subprocess.run([program, "version"], capture_output=True, text=True).stdout.splitlines()[0]
environment = dict(os.environ, CONSUL=program, PYTHONPATH=os.path.join(_prove.TOP, "tests", "lib"))
run = subprocess.run([sys.executable, TEST], env=environment, capture_output=True, text=True)
last = (run.stdout.strip().splitlines() or [""])[-1]
counts = re.match(r"(\d+) passed, (\d+) failed", last)
if run.returncode != 0:
    print(run.stdout[-4000:], run.stderr[-2000:], sep="")
claims.holds(f"the test with {version}: {last}", run.returncode == 0 and counts and int(counts.group(1)) > 0)
claims.end(f"{counts.group(1) if counts else 0} tests with {version}")
