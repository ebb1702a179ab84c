#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `make demo` runs once everything is built, as the README's first command promises it."""
import subprocess

from remora import BUILD, TOP, equal, main, need, test


@test("an order is kept through kills of plugin and sidecar and a restart", "README")
def demo():
    done = subprocess.run([f"{TOP}/tools/demo", BUILD], capture_output=True, text=True, timeout=120)
    need(done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:])
    equal(done.stdout.count("->  200  {\"id\": 1, \"item\": \"coral, brain\", \"total\": 19.90"), 4, "the order is read back")
    need("The order is still there" in done.stdout, done.stdout[-2000:])


if __name__ == "__main__":
    main()
