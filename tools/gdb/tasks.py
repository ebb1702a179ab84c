# SPDX-License-Identifier: Apache-2.0
"""Tasks in gdb: who waits where, since when, and how it got there. Works on processes and core dumps.

    (gdb) source tools/gdb/tasks.py
    (gdb) tasks                     every task of every worker
    (gdb) tasks EXPRESSION          of one worker: a struct worker or a pointer to one
    (gdb) task-bt ADDRESS           the calls of a parked task (address as printed by `tasks`)
    (gdb) task-bt all               of all of them

A parked task's registers are in a jump buffer that libc scrambles, so the way back goes along the frame pointers
(-fno-omit-frame-pointer): functions and lines, no variables.
"""
import gdb

FRAMES_MAX = 200
NO_DEADLINE = 2**64 - 1
# Functions found at the bottom of a thread's or a task's stack, with the variable that leads to the worker.
KNOWS_WORKER = {"worker_run": "worker", "worker_turn": "worker", "task_wait_at": "t", "trampoline": "t"}


def members(head, type_name, link):
    """The structs of a list, by the name of their link member."""
    struct = gdb.lookup_type("struct " + type_name)
    offset = next(f.bitpos // 8 for f in struct.fields() if f.name == link)
    node = head["next"]
    while node != head.address:
        yield (node.cast(gdb.lookup_type("char").pointer()) - offset).cast(struct.pointer())
        node = node["next"]


def as_worker(text):
    value = gdb.parse_and_eval(text)
    return value.dereference() if value.type.strip_typedefs().code == gdb.TYPE_CODE_PTR else value


def worker_of_thread(thread):
    """The worker whose loop is on this thread's stack; a thread stopped inside a task has the task's stack instead."""
    thread.switch()
    frame = gdb.newest_frame()
    while frame is not None:
        parameter = KNOWS_WORKER.get(frame.name())
        if parameter is not None:
            value = frame.read_var(parameter)
            if not value.is_optimized_out:
                return (value["worker"] if parameter == "t" else value).dereference()
        frame = frame.older()
    try:
        current = gdb.parse_and_eval("'worker.c'::current")  # needs thread-local storage of this thread
        return current.dereference() if int(current) != 0 else None
    except gdb.error:
        return None


def all_workers():
    found = {}
    selected, frame = gdb.selected_thread(), gdb.selected_frame()
    try:
        for thread in gdb.selected_inferior().threads():
            worker = worker_of_thread(thread)
            if worker is not None:
                found[int(worker.address)] = worker
    finally:
        selected.switch()
        frame.select()
    return sorted(found.values(), key=lambda w: int(w["index"]))


def string(pointer):
    return pointer.string() if int(pointer) != 0 else ""


def state_of(task):
    return str(task["state"]).replace("TASK_", "").lower()


def describe(task, now_ms):
    where = string(task["wait_function"])
    if where:
        where += ":%d" % int(task["wait_line"])
        where += " for %d ms" % (now_ms - int(task["wait_since_ms"]))
    deadline = int(task["deadline_ms"])
    left = "" if deadline == NO_DEADLINE else ", deadline in %d ms" % (deadline - now_ms)
    cancelled = ", cancelled" if task["is_cancelled"] else ""
    return "%#x %-8s %-24s %s%s%s" % (int(task), state_of(task), string(task["name"]), where, left, cancelled)


def word(address):
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


def place(pc):
    block_name = gdb.block_for_pc(pc)
    while block_name is not None and block_name.function is None:
        block_name = block_name.superblock
    name = block_name.function.name if block_name is not None else "??"
    line = gdb.find_pc_line(pc)
    return "%s (%s:%d)" % (name, line.symtab.filename, line.line) if line.symtab else name


def backtrace(task):
    """From where it parked to the bottom of its stack."""
    frame, top = int(task["frame"]), int(task)
    for number in range(FRAMES_MAX):
        if not int(task["base"]) <= frame < top:
            break
        pc = word(frame + 8)
        if pc == 0:
            break
        print("  #%-3d %#x %s" % (number, frame, place(pc - 1)))
        if "trampoline" in place(pc - 1):
            break
        frame = word(frame)


class Tasks(gdb.Command):
    """List tasks: tasks [WORKER]"""

    def __init__(self):
        super().__init__("tasks", gdb.COMMAND_STACK)

    def invoke(self, text, from_tty):
        for worker in [as_worker(text)] if text else all_workers():
            print("worker %d: %d tasks" % (int(worker["index"]), int(worker["tasks"]["count"])))
            for task in members(worker["tasks"]["all"], "task", "all_link"):
                print("  " + describe(task, int(worker["now_ms"])))


class TaskBacktrace(gdb.Command):
    """Backtrace of a parked task: task-bt ADDRESS | all [WORKER]"""

    def __init__(self):
        super().__init__("task-bt", gdb.COMMAND_STACK)

    def invoke(self, text, from_tty):
        words = gdb.string_to_argv(text)
        if not words:
            raise gdb.GdbError("task-bt ADDRESS, or: task-bt all [WORKER]")
        pointer = gdb.lookup_type("struct task").pointer()
        if words[0] != "all":
            self.show(gdb.parse_and_eval(words[0]).cast(pointer))
            return
        for worker in [as_worker(words[1])] if len(words) > 1 else all_workers():
            for task in members(worker["tasks"]["all"], "task", "all_link"):
                print(describe(task, int(worker["now_ms"])))
                self.show(task)

    @staticmethod
    def show(task):
        if state_of(task) == "running":
            print("  running: use bt on its thread")
        elif not task["has_context"]:
            print("  not started yet")
        else:
            backtrace(task)


Tasks()
TaskBacktrace()
