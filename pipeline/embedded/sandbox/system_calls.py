"""A filter of system calls (seccomp) for what student code never needs: others' memory, the kernel's rarer doors.

A short program for the kernel's classic packet filter: the wrong architecture ends the process, a listed call fails
with EPERM, everything else passes. linux/seccomp.h, linux/bpf_common.h and the two tables of numbers are the sources.
"""

from __future__ import annotations

import errno
import struct

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
X32 = 0x40000000
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET"""
CLONE3 = 435
"""Its flags lie in memory that a filter cannot read; glibc takes clone when it is told that there is no such call."""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
SOCKET = {"x86_64": 41, "aarch64": 198}
FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, INET, INET6, NETLINK. Not all others belong to a network namespace: a virtual machine's vsock does not."""
DENIED = {
    # ptrace, process_vm_readv, process_vm_writev, kcmp, perf_event_open, bpf, userfaultfd, keyctl, add_key,
    # request_key, kexec_load, kexec_file_load, init_module, finit_module, delete_module, mount, umount2, pivot_root,
    # chroot, unshare, setns, name_to_handle_at, open_by_handle_at, quotactl, swapon, swapoff, reboot, acct, syslog,
    # memfd_create and shmget (memory that no process need show), and of x86_64 iopl, ioperm
    "x86_64": (
        *(101, 310, 311, 312, 298, 321, 323, 250, 248, 249, 246, 320, 175, 313, 176, 165, 166, 155, 161, 272),
        *(308, 303, 304, 179, 167, 168, 169, 163, 103, 319, 29, 172, 173),
    ),
    "aarch64": (
        *(117, 270, 271, 272, 241, 280, 282, 219, 217, 218, 104, 294, 105, 273, 106, 40, 39, 41, 51, 97),
        *(268, 264, 265, 60, 224, 225, 142, 89, 116, 279, 194),
    ),
}
# io_uring_setup, _enter, _register, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, pidfd_getfd,
# process_madvise, mount_setattr, memfd_secret
DENIED_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 440, 442, 447)


def filter_of_calls(machine: str) -> bytes:
    """The program for bubblewrap's --seccomp; empty for a machine whose numbers are not known here."""
    if machine not in ARCHITECTURES:
        return b""
    program = [
        step(LOAD, ARCHITECTURE_AT),
        step(EQUAL, ARCHITECTURES[machine], then=1),
        step(RETURN, KILL),
        step(LOAD, NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [step(AT_LEAST, X32, otherwise=1), step(RETURN, ERROR | errno.ENOSYS)]
    program += [step(EQUAL, CLONE3, otherwise=1), step(RETURN, ERROR | errno.ENOSYS)]
    for number in (*DENIED[machine], *DENIED_EVERYWHERE):
        program += [step(EQUAL, number, otherwise=1), step(RETURN, ERROR | errno.EPERM)]
    program += [
        step(EQUAL, CLONE[machine], otherwise=3),
        step(LOAD, FIRST_ARGUMENT_AT),
        step(ANY_BIT, NEW_NAMESPACES, otherwise=1),
        step(RETURN, ERROR | errno.EPERM),
        step(LOAD, NUMBER_AT),
        step(EQUAL, SOCKET[machine], otherwise=2 + len(FAMILIES)),
        step(LOAD, FIRST_ARGUMENT_AT),
        *(step(EQUAL, family, then=len(FAMILIES) - at) for at, family in enumerate(FAMILIES)),
        step(RETURN, ERROR | errno.EAFNOSUPPORT),
        step(RETURN, ALLOW),
    ]
    return b"".join(program)


def step(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; `then` and `otherwise` are how many to leap over."""
    return struct.pack("=HBBI", code, then, otherwise, value)
