# SPDX-License-Identifier: Apache-2.0
"""Experiment vault: the secret store against a real Vault server. VAULT_SERVER names one (called with an address, and for TLS a
certificate and a key); otherwise one is built of Vault's Go module: its core, its HTTP API and its key/value engine, in memory,
with the few lines of tests/servers/vault. That takes some 25 minutes of one core, is kept in the build folder, and needs Go and
its module proxy. The test is the one of `make check`, which has a fake where there is no real one."""
import os
import re
import shutil
import subprocess
import sys

import _prove
import remora

MODULE, VERSION = "github.com/hashicorp/vault", "v1.21.4"
# The module builds with the SDK beside it in its repository, which as a module of its own has this version.
SDK = "github.com/hashicorp/vault/sdk=github.com/hashicorp/vault/sdk@v0.20.0"
TEST = os.path.join(_prove.TOP, "tests", "integration", "secrets_vault_test.py")
claims = _prove.Claims()


def build():
    """Its path, or None."""
    folder = os.path.join(remora.BUILD, "vault")
    program = os.path.join(folder, "vaultd")
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if os.path.exists(program):
        return program
    if not os.path.exists(go):
        return None
    os.makedirs(folder, exist_ok=True)
    shutil.copyfile(os.path.join(_prove.TOP, "tests", "servers", "vault", "main.go"), os.path.join(folder, "main.go"))
    environment = dict(os.environ, GOFLAGS="-mod=mod")
    for words in (["mod", "init", "vault.test"], ["get", f"{MODULE}@{VERSION}"], ["mod", "edit", "-replace", SDK],
                  ["build", "-p", "1", "-o", "vaultd", "."]):
        if words[1] == "init" and os.path.exists(os.path.join(folder, "go.mod")):
            continue
        print("go", *words, flush=True)
        done = subprocess.run([go, *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            print(done.stderr[-2000:])
            return None
    return program


program = os.environ.get("VAULT_SERVER") or build()
if program is None:
    print("skipped: no vault, and none can be built here\n0 passed, 0 failed, 1 skipped")
    sys.exit(0)
environment = dict(os.environ, VAULT_SERVER=program, PYTHONPATH=os.path.join(_prove.TOP, "tests", "lib"))
run = subprocess.run([sys.executable, TEST], env=environment, capture_output=True, text=True)
last = (run.stdout.strip().splitlines() or [""])[-1]
counts = re.match(r"(\d+) passed, (\d+) failed", last)
if run.returncode != 0:
    print(run.stdout[-4000:], run.stderr[-2000:], sep="")
claims.holds(f"the test with Vault {VERSION}: {last}", run.returncode == 0 and counts and int(counts.group(1)) > 0)
claims.end(f"{counts.group(1) if counts else 0} tests with Vault {VERSION}")
