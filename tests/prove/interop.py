# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""Experiment interop: an independent sidecar and certificate authority (grpcio with stubs and TLS of their own) play the
other side, both ways, unary and streams, in plain text and with certificates of each kind, one worker and three. Where
DAPRD= names a sidecar, the same checks drive that one; where SENTRY= names an authority, both get certificates from it."""
import _prove

import sdk  # noqa: F401  isort: skip

import os
import traceback

import authority
import mesh
import mesh_checks
import remora
import sentries

claims = _prove.Claims()
counts = {}


def run(name, certificates, kind=None, flags=()):
    bed = mesh_checks.Bed(certificates() if certificates else None, kind, flags)
    count = 0
    for check in mesh_checks.CHECKS:
        try:
            check(bed)
            count += 1
        except remora.Skip as reason:
            _prove.say(f"skipped: {check.sentence}: {reason}")
        except Exception:  # the next one may still hold
            traceback.print_exc()
            claims.holds(f"{name}: {check.sentence}", False)
    counts[name] = count
    claims.holds(f"{name}: {count} checks", count > 0)
    bed.end()


COMBINATIONS = [
    ("plain", None, None, ["--workers", "1"]),
    ("plain, three workers", None, None, ["--workers", "3"]),
    ("ECDSA authority", lambda: authority.Authority("ecdsa"), None, ["--workers", "1"]),
    ("Ed25519 authority", lambda: authority.Authority("ed25519"), None, ["--workers", "3"]),
    ("RSA authority", lambda: authority.Authority("rsa"), None, ["--workers", "1"]),
]
if os.environ.get("SENTRY") or sentries.OURS:
    COMBINATIONS.append(("SENTRY=" if os.environ.get("SENTRY") else "remora-sentry", sentries.Sentry, None, []))
if mesh.DAPRD:
    COMBINATIONS += [("DAPRD= plain", None, mesh.Daprd, []),
                     ("DAPRD= with certificates", lambda: authority.Authority("ecdsa"), mesh.Daprd, [])]  # fmt: skip
for name, certificates, kind, flags in COMBINATIONS:
    run(name, certificates, kind, flags)
claims.end(f"{sum(counts.values())} checks hold in {len(counts)} combinations with an independent peer")
