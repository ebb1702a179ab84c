# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""Our sidecar and an independent one (grpcio, its own stubs, its own TLS and certificate authority) call each other's
applications, both ways, in plain text and with mutual TLS. The experiment of the same name has the long form."""

import sdk  # noqa: F401  isort: skip

import authority
import mesh_checks
from remora import equal, main, test

PLAIN = mesh_checks.Bed()
MUTUAL = mesh_checks.Bed(authority.Authority("ecdsa"))

for check in mesh_checks.CHECKS:
    for bed, how in ((PLAIN, ""), (MUTUAL, " (mutual TLS)")):
        test(check.sentence + how, "INV-10 INV-11 INV-U06 INV-53" if how else "INV-10 INV-11 INV-U06")(
            lambda check=check, bed=bed: check(bed)
        )


@test("each end knows who the other is by its certificate", "INV-53")
def _():
    equal(set(MUTUAL.peer.callers()), {authority.spiffe_id("front")})
    equal(set(MUTUAL.caller(MUTUAL.back).callees()), {authority.spiffe_id("back")})
    # One that had no answer in time asks again.
    equal({request.id for request in MUTUAL.authority.requests}, {"back", "front", "gback"})
    request = MUTUAL.authority.requests[0]
    equal((request.namespace, request.token, request.trust_domain, request.token_validator), ("default", "", "", 0))


if __name__ == "__main__":
    main()
