#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The template of a plugin builds from the installed header and library alone, and conforms.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${REMORA_BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/prefix/include" "$dir/prefix/lib"
cp sdk-plugin/c/include/*.h "$dir/prefix/include"
cp "$build/lib/libremora-plugin.a" "$dir/prefix/lib"
cp -r sdk-plugin/c/template "$dir/plugin"
flags="-O2 -g -Wall -Wextra -Werror"
# A sanitized library wants a sanitized program. Not `grep -q`: it would end nm early, which pipefail calls a failure.
sanitized=$(nm "$dir/prefix/lib/libremora-plugin.a" 2>/dev/null | grep -c __asan_init || true)
if [ "$sanitized" -gt 0 ]; then flags="$flags -fsanitize=address,undefined"; fi
make -s -C "$dir/plugin" PREFIX="$dir/prefix" CFLAGS="$flags"
tests/conformance/run --build "$build" "$dir/plugin"
