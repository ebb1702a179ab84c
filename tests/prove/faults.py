# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""Experiment faults: a sidecar that is killed, frozen, slow, cut off, behind a path that loses, cuts, refuses or forgets its
connections, packets dropped by nftables between two machines, a resolver's process killed: again and again, plain and
with mutual TLS, one worker and three. Every call ends within its deadline with the right code, and service returns by
itself each time. (netem needs a kernel module that few machines have; delays come from the relay.)"""
import _prove

import sdk  # noqa: F401  isort: skip

import traceback

import authority
import mesh_faults
import remora
from _prove import by_length

TURNS = by_length(1, 2, 10)
CUTS = by_length(5, 40, 400)
claims = _prove.Claims()
counts = {"faults": 0}


def holds(name, function, *words):
    try:
        function(*words)
        counts["faults"] += 1
        claims.holds(name, True)
    except remora.Skip as reason:
        claims.holds(name, True, f"skipped: {reason}")
    except Exception:  # the next one may still hold
        traceback.print_exc()
        claims.holds(name, False)


for certificates in (None, authority.Authority("ecdsa")):
    how = "mTLS" if certificates else "plain"
    for workers in ("1", "3"):
        bed = mesh_faults.Bed(certificates, ["--workers", workers])
        for turn in range(TURNS):
            for name, fault in mesh_faults.FAULTS.items():
                if name == "cut":
                    holds(f"{how}, {workers} workers: {CUTS} cuts", fault, bed, CUTS, _prove.SEED + turn)
                else:
                    holds(f"{how}, {workers} workers: {name}", fault, bed)
        bed.end()
holds("packets dropped between two machines", mesh_faults.packets)
claims.end(f"{counts['faults']} faults: every call ended in time, service returned each time")
