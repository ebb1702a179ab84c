#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Experiment fuzz: every parser under libFuzzer and sanitizers, a few seconds a target (LONG=1: a minute).
#
# A finding is written to the target's regressions, where `make check` replays it from then on.
set -euo pipefail
cd "$(dirname "$0")/../.."
each=3
[ "${LONG:-}" = 1 ] && each=60
exec make --no-print-directory fuzz SECONDS=$each
