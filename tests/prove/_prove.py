# SPDX-License-Identifier: Apache-2.0
"""What experiments share: claims with limits, a figure as the last line, an exit code, and the seed that makes a run
replayable (SEED=n). SHORT=1 is the form that runs in `make check`, LONG=1 the long one."""
import os
import random
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "tests", "lib"), os.path.join(TOP, "tests", "bench")]
os.environ.setdefault("REMORA_BUILD", os.path.join(TOP, "build"))

import remora  # noqa: E402

SHORT = os.environ.get("SHORT") == "1"
LONG = os.environ.get("LONG") == "1"
SEED = int(os.environ.get("SEED", "1"))
rng = random.Random(SEED)
# The short form runs beside other tests, perhaps under sanitizers, on machines that may stop for seconds: figures that
# depend on the machine are then judged only for being in the right region, and memory not at all under sanitizers.
SANITIZED = remora.SLOW > 1
PATIENCE = 20 * remora.SLOW if SHORT else 1


def by_length(short, usual, long_form):
    return short if SHORT else long_form if LONG else usual


class Claims:
    """Each claim is printed as it is judged; end() prints the figure and ends the program."""

    def __init__(self):
        self.missed = []

    def judge(self, is_met, name, got, wanted):
        print(f"{'ok   ' if is_met else 'SHORT'} {name}: {got}{' (' + wanted + ')' if wanted else ''}", flush=True)
        if not is_met:
            self.missed.append(name)

    def at_least(self, name, value, limit, unit="", digits=2):
        self.judge(value >= limit, name, f"{value:.{digits}f}{unit}", f"wanted ≥ {limit:.{digits}f}")

    def at_most(self, name, value, limit, unit="", digits=2):
        self.judge(value <= limit, name, f"{value:.{digits}f}{unit}", f"wanted ≤ {limit:.{digits}f}")

    def holds(self, name, condition, detail=""):
        self.judge(bool(condition), name, "yes" if condition else "no", detail)

    def end(self, figure):
        remora.end_all()
        print(f"{figure}{'' if not self.missed else '; falls short: ' + ', '.join(self.missed)}", flush=True)
        sys.exit(1 if self.missed else 0)


def stop(sidecar):
    """Ends the sidecar in peace; what it said last is the explanation if it did not."""
    status = sidecar.stop()
    remora.need(status == 0, f"exit status {status}; the end of its log:\n" + sidecar.log()[-6000:] if status else "")


def say(text):
    print(f"      {text}", flush=True)
