# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""What happens between two sidecars when the other one dies, freezes, is slow, or the bytes between them are lost: every call
ends in time with the right error, and service comes back by itself. The experiment `faults` has the long form."""

import sdk  # noqa: F401  isort: skip

import mesh_faults
from remora import main, test

BED = mesh_faults.Bed()
SENTENCES = {
    "killed": "calls of a sidecar that dies fail; when it is back they are served",
    "frozen": "calls of a frozen sidecar end at their deadlines",
    "slow": "a slow path makes calls slow and leaves them right",
    "half-open": "calls on a path that loses everything end at their deadlines",
    "cut": "connections cut anywhere lose no call and mix up none",
    "resolver killed": "a resolver's death is not noticed by calls",
    "one of two dies": "of two instances the one that lives gets the calls",
}
for name, sentence in SENTENCES.items():
    test(sentence, "INV-10 INV-54 INV-05")(lambda name=name: mesh_faults.FAULTS[name](BED))

test("dropped packets are waited for as long as a policy says", "INV-10 INV-54")(mesh_faults.packets)

if __name__ == "__main__":
    main()
