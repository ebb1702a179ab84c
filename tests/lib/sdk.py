# SPDX-License-Identifier: Apache-2.0
"""Import first: goes on in the Python environment that has the official SDK (build/venv-sdk), which wants another
protobuf than the other tests."""

import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_VENV = os.path.join(TOP, "build", "venv-sdk")

if os.path.realpath(sys.prefix) != os.path.realpath(_VENV):
    if not os.path.exists(os.path.join(_VENV, "bin", "python")):
        print("skipped: build/venv-sdk is not here, `make deps-test` makes it")
        print("0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    _python = os.path.join(_VENV, "bin", "python")
    # Generated modules of this tree would stand in front of the SDK's.
    # Forks here only execute: gRPC's handlers would close descriptors in them that are somebody else's by now.
    _env = dict(os.environ, PYTHONPATH=os.path.join(TOP, "tests", "lib"), GRPC_VERBOSITY="ERROR",
                GRPC_ENABLE_FORK_SUPPORT="false")
    os.execve(_python, [_python, *sys.argv], _env)
