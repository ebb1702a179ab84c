/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls no plugin needs, refused by seccomp: looking into other processes, changing what the
 * machine is, the large attack surfaces of the operating system, and sockets the manifest does not
 * ask for. A list of what is forbidden rather than of what is allowed, because plugins come in any
 * language. The program is written instruction by instruction; decisions for most calls depend on
 * the number alone, so Linux keeps them as a bitmap and the hot path costs nothing.
 */
#include "exec.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Not <sched.h>: these are wanted as one mask. mount, cgroup, uts, ipc, user, pid, net. */
#define CLONE_NEW_ANY 0x7e020000u
#define X32_BIT 0x40000000u
#define IOCTL_TIOCSTI 0x5412u
#define IOCTL_TIOCLINUX 0x541cu

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

enum { INSTRUCTIONS_MAX = 400 };

#ifdef ARCH

struct program {
    struct sock_filter code[INSTRUCTIONS_MAX];
    unsigned short count;
};

static const int forbidden[] = {
    /* Other processes. */
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    438, /* pidfd_getfd */
    /* The file system as a whole. */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_swapon,
    SYS_swapoff,
    SYS_quotactl,
    443, /* quotactl_fd */
    428,
    429,
    430,
    431,
    432,
    433, /* open_tree, move_mount, fsopen, fsconfig, fsmount, fspick */
    442,
    467, /* mount_setattr, open_tree_attr */
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_fanotify_init,
    /* Namespaces. */
    SYS_unshare,
    SYS_setns,
    /* The machine. */
    SYS_reboot,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_acct,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_syslog,
    SYS_vhangup,
    SYS_personality,
    /* Large attack surfaces. */
    SYS_bpf,
    SYS_perf_event_open,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_userfaultfd,
    425,
    426,
    427, /* io_uring_setup, _enter, _register: they also pass this filter by */
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef __x86_64__
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS_uselib,
    SYS_ustat,
    SYS_sysfs,
    SYS__sysctl,
    SYS_create_module,
    SYS_get_kernel_syms,
    SYS_query_module,
    SYS_nfsservctl,
#endif
};

static void
emit(struct program *program, struct sock_filter instruction)
{
    if (program->count == INSTRUCTIONS_MAX)
        die(EXEC_EXIT_SETUP, "the system call filter is too long", "");
    program->code[program->count++] = instruction;
}

static void
emit_load(struct program *program, size_t offset)
{
    emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void
emit_return(struct program *program, uint32_t action)
{
    emit(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Skips `count` instructions unless the loaded value is `value`. */
static void
emit_unless_equal_skip(struct program *program, uint32_t value, unsigned char count)
{
    emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count));
}

/* The low half of an argument; what is compared here is an int for Linux, too. */
static size_t
argument(unsigned index)
{
    return offsetof(struct seccomp_data, args) + index * sizeof(uint64_t);
}

static void
emit_machine(struct program *program)
{
    emit_load(program, offsetof(struct seccomp_data, arch));
    emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
    emit_return(program, SECCOMP_RET_KILL_PROCESS); /* 32-bit calls have other numbers */
    emit_load(program, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
    emit_return(program, SECCOMP_RET_KILL_PROCESS);
#endif
}

static void
emit_socket(struct program *program, int call, bool has_network)
{
    static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
    unsigned char count = has_network ? 4 : 1;
    emit_unless_equal_skip(program, (uint32_t)call, (unsigned char)(2 + 2 * count));
    emit_load(program, argument(0));
    for (unsigned i = 0; i < count; i++) {
        emit_unless_equal_skip(program, (uint32_t)families[i], 1);
        emit_return(program, SECCOMP_RET_ALLOW);
    }
    emit_return(program, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
}

static void
emit_clone(struct program *program)
{
    emit_unless_equal_skip(program, SYS_clone, 4);
    emit_load(program, argument(0));
    emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEW_ANY, 0, 1));
    emit_return(program, SECCOMP_RET_ERRNO | EPERM);
    emit_return(program, SECCOMP_RET_ALLOW);
    emit_unless_equal_skip(program, 435, 1); /* clone3: its flags are in memory; libc takes clone */
    emit_return(program, SECCOMP_RET_ERRNO | ENOSYS);
}

/* Typing into, or reprogramming, the terminal the kernel was started from. */
static void
emit_ioctl(struct program *program)
{
    emit_unless_equal_skip(program, SYS_ioctl, 6);
    emit_load(program, argument(1));
    emit_unless_equal_skip(program, IOCTL_TIOCSTI, 1);
    emit_return(program, SECCOMP_RET_ERRNO | EPERM);
    emit_unless_equal_skip(program, IOCTL_TIOCLINUX, 1);
    emit_return(program, SECCOMP_RET_ERRNO | EPERM);
    emit_return(program, SECCOMP_RET_ALLOW);
}

static int
load(const struct program *program)
{
    struct sock_fprog prog = {
        .len = program->count,
        .filter = (struct sock_filter *)(uintptr_t)program->code, /* not written to */
    };
    /* Without the flag older kernels switch a slow speculation guard on. */
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog) == 0)
        return 0;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0)
        return 0;
    return errno;
}

void
seccomp_apply(const struct spec *spec, struct report *report)
{
    static struct program program;
    emit_machine(&program);
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        emit_unless_equal_skip(&program, (uint32_t)forbidden[i], 1);
        emit_return(&program, SECCOMP_RET_ERRNO | EPERM);
    }
    emit_clone(&program);
    emit_socket(&program, SYS_socket, spec->has_network);
    emit_socket(&program, SYS_socketpair, spec->has_network);
    emit_ioctl(&program);
    emit_return(&program, SECCOMP_RET_ALLOW);
    int error = load(&program);
    if (error != 0) {
        report_missing(report, "seccomp", strerror(error));
        return;
    }
    report_active(report, "seccomp");
    if (!spec->has_network)
        report_active(report, "no-network");
    report->has_syscalls = true;
}

#else

void
seccomp_apply(const struct spec *spec, struct report *report)
{
    (void)spec;
    report_missing(report, "seccomp", "no filter for this architecture");
}

#endif
