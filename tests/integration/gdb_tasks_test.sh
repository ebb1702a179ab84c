# SPDX-License-Identifier: Apache-2.0
# tools/gdb/tasks.py lists tasks and the calls of a parked one, in a process and in a core dump.
# timeout: 180
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
program=${REMORA_BUILD:-$top/build}/tests/unit/async/task_test
passed=0 failed=0 skipped=0

done_with_it() {
    if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else
        echo "$passed passed, $failed failed"; fi
    exit $((failed > 0))
}
expect() { # what is tested, pattern, text
    if grep -Eq -- "$2" <<<"$3"; then passed=$((passed + 1)); else
        failed=$((failed + 1)); echo "$1: no line matches $2 in:"; echo "$3"; fi
}
in_gdb() { gdb -q -nx -batch -iex 'set debuginfod enabled off' -ex "source $top/tools/gdb/tasks.py" "$@" 2>&1; }

# A sanitizer's address space is too large for a core dump.
if ! command -v gdb >/dev/null || [ ! -x "$program" ] ||
    nm "$program" | grep -Eq '__(asan|tsan)_init' || ! in_gdb -ex 'start' "$program" | grep -q 'main (argc'; then
    echo "no gdb, no plain program, or no permission to trace"
    skipped=1
    done_with_it
fi
core=$(mktemp -d)/core
trap 'rm -rf "$(dirname "$core")"' EXIT
live=$(in_gdb -ex 'break on_task' -ex 'run every_task' -ex 'tasks worker' -ex 'task-bt all worker' \
    -ex "generate-core-file $core" "$program")
expect "a live process" ' parked +waiter +wait_plainly:[0-9]+ for [0-9]+ ms' "$live"
expect "a task that has not run" ' ready +fresh' "$live"
expect "a live backtrace" '#1 .*wait_plainly \(.*task_test.c:[0-9]+\)' "$live"
dead=$(in_gdb -ex 'tasks worker' -ex 'task-bt all worker' "$program" "$core")
expect "a core dump" ' parked +waiter +wait_plainly:[0-9]+' "$dead"
expect "a backtrace of a core dump" '#1 .*wait_plainly \(.*task_test.c:[0-9]+\)' "$dead"
done_with_it
