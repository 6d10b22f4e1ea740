"""What a staging process gives up before it sees a row.

Linux only, through ctypes; each function either does its whole job or raises, none is undone.

* :func:`harden`: dies with its parent; no core dump; invisible to debuggers of the same user; no
  privileges through exec; cannot write a byte to any file.
* :func:`limit_memory`: address space.
* :func:`restrict_files`: Landlock.  Afterwards the process can read the one source and the kernel's
  /proc and /sys, and open nothing else, write nothing, bind or connect no TCP socket, signal
  no process outside.  Only the calling thread and its later children are confined, so there must
  be one thread.
* :func:`restrict_calls`: a seccomp filter without sockets, exec, new processes, tracing or mounts.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38

# linux/landlock.h; the numbers are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""ABI → number of file-system rights that exist; later ABIs add none."""
_NET_RIGHTS = 0b11  # bind and connect TCP, since ABI 4
_SCOPES = 0b11  # abstract Unix sockets and signals, since ABI 6

LANDLOCK_ABI = 1
"""Oldest sufficient ABI (Linux 5.13): reading and writing of files is confined."""


class NotConfined(Exception):
    """A protection could not be put in place."""


def harden(parent: int) -> None:
    """Give up what the process never needs. Before anything else is imported.

    Args:
        parent: process id of the expected parent.

    Raises:
        NotConfined: one of the calls failed, or the parent is gone already.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        raise NotConfined("orphaned")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # Not dumpable also keeps core_pattern pipes away, which RLIMIT_CORE does not.
    _prctl(_PR_SET_DUMPABLE, 0)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))


def limit_memory(size: int) -> None:
    """Cap the address space at ``size`` bytes."""
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def landlock_abi() -> int:
    """Version of Landlock in this kernel; 0 when it has none or it is switched off."""
    found = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)
    return max(int(found), 0)


def restrict_files(readable: Sequence[str]) -> int:
    """Confine this thread to reading ``readable`` (files or folders).

    Returns:
        The Landlock ABI that is enforced.

    Raises:
        NotConfined: no Landlock here, more than one thread, or a path that cannot be opened.
    """
    if len(os.listdir("/proc/self/task")) != 1:
        raise NotConfined("other threads would escape")
    abi = landlock_abi()
    if abi < LANDLOCK_ABI:
        raise NotConfined("no Landlock")
    rights = (1 << _FS_RIGHTS.get(abi, max(_FS_RIGHTS.values()))) - 1
    attributes = struct.pack("=Q", rights)
    if abi >= 4:
        attributes += struct.pack("=Q", _NET_RIGHTS)
    if abi >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for path in readable:
            _allow_reading(ruleset, path)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return abi


def _allow_reading(ruleset: int, path: str) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        raise NotConfined("a path cannot be opened") from None
    try:
        rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


# --- seccomp -------------------------------------------------------------------------------------

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

_ARCHITECTURES = {
    # machine: (audit number, clone, {denied system calls})
    "x86_64": (
        0xC000003E,
        56,
        (
            *(41, 42, 43, 49, 50, 53, 288),  # socket connect accept bind listen socketpair accept4
            *(57, 58, 59, 322),  # fork vfork execve execveat
            *(101, 310, 311, 438),  # ptrace process_vm_readv/writev pidfd_getfd
            *(165, 166, 272, 308, 428, 429, 430, 442),  # mount umount unshare setns, mount API
            *(321, 323, 425),  # bpf userfaultfd io_uring_setup
        ),
    ),
    "aarch64": (
        0xC00000B7,
        220,
        (
            *(198, 199, 200, 201, 202, 203, 242),
            *(221, 281),
            *(117, 270, 271, 438),
            *(40, 39, 97, 268, 428, 429, 430, 442),
            *(280, 282, 425),
        ),
    ),
}
_CLONE3 = 435


def restrict_calls() -> bool:
    """Refuse the system calls that a computation over one open file does not need.

    Returns:
        Whether the filter is in force; False on machines whose call numbers are not listed here,
        or where the kernel has no seccomp.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return False
    program = _program(*known)
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(filter_, len(filter_))
    return int(_libc().prctl(_PR_SET_SECCOMP, 2, ctypes.byref(pointer), 0, 0)) == 0


def _program(audit: int, clone: int, denied: Sequence[int]) -> bytes:
    """Classic BPF over struct seccomp_data: nr at 0, arch at 4, first argument at 16."""
    load, equal, at_least, bit_set, give = 0x20, 0x15, 0x35, 0x45, 0x06
    refuse = _ERRNO | _EPERM
    code = [
        (load, 0, 0, 4),
        (equal, 1, 0, audit),
        (give, 0, 0, _KILL),  # another architecture's numbers on the same kernel
        (load, 0, 0, 0),
        (at_least, 0, 1, _X32),
        (give, 0, 0, refuse),
        (equal, 0, 1, _CLONE3),
        (give, 0, 0, _ERRNO | _ENOSYS),  # flags behind a pointer: libc falls back to clone
    ]
    for number in denied:
        code += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    code += [
        (equal, 0, 3, clone),  # threads yes, processes no
        (load, 0, 0, 16),
        (bit_set, 1, 0, _CLONE_THREAD),
        (give, 0, 0, refuse),
        (give, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in code)


# --- calls ---------------------------------------------------------------------------------------


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise NotConfined("a process attribute was refused")


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        raise NotConfined("a system call was refused")
    return result
