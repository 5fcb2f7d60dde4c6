"""Become another program whose every fsync and fdatasync waits for somebody else's answer.

Run as a script, as leash.py is:

    python -I -S sync_gate.py SOCKET PROGRAM [ARGUMENT...]

The kernel's seccomp filter holds those two calls back, in all threads and children, and tells of them through a file
descriptor. It is sent to whoever listens at SOCKET, an abstract Unix address, before the program begins. No privilege
is needed, nothing is compiled, and the program is the unchanged one.
"""

import ctypes
import os
import platform
import socket
import sys
from typing import NamedTuple

PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER = 1
NEW_LISTENER = 8
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
CALL_NUMBER_OFFSET, MACHINE_OFFSET = 0, 4
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000


class Machine(NamedTuple):
    """The kernel's numbers for a kind of processor."""

    audit: int
    seccomp: int
    fsync: int
    fdatasync: int


MACHINES = {
    "x86_64": Machine(0xC000003E, seccomp=317, fsync=74, fdatasync=75),
    "aarch64": Machine(0xC00000B7, seccomp=277, fsync=82, fdatasync=83),
}


class Instruction(ctypes.Structure):
    """The kernel's sock_filter."""

    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class Filter(ctypes.Structure):
    """The kernel's sock_fprog."""

    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction)))


def machine() -> Machine:
    """Return this machine's numbers; leave with the reason if it cannot do this."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        sys.exit(f"syncs can be held back on Linux with {' or '.join(MACHINES)} only")
    return MACHINES[platform.machine()]


def hold_syncs(numbers: Machine) -> int:
    """Hold back this process's syncs from now on; return the file descriptor that tells of them."""
    steps = [
        (LOAD, 0, 0, MACHINE_OFFSET),
        (JUMP_IF_EQUAL, 0, 4, numbers.audit),
        (LOAD, 0, 0, CALL_NUMBER_OFFSET),
        (JUMP_IF_EQUAL, 1, 0, numbers.fsync),
        (JUMP_IF_EQUAL, 0, 1, numbers.fdatasync),
        (RETURN, 0, 0, NOTIFY),
        (RETURN, 0, 0, ALLOW),
    ]
    program = (Instruction * len(steps))(*(Instruction(*step) for step in steps))
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    filter_ = Filter(len(steps), program)
    notices: int = kernel.syscall(numbers.seccomp, SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(filter_))
    if notices < 0:
        sys.exit(f"the kernel does not let syncs be held back (seccomp): {os.strerror(ctypes.get_errno())}")
    return notices


def main(arguments: list[str]) -> None:
    """Hold back the syncs, hand over the notices, become the program."""
    address, *program = arguments
    with socket.socket(socket.AF_UNIX) as listener:
        listener.connect(f"\0{address}")
        socket.send_fds(listener, [b"\0"], [hold_syncs(machine())])
    os.execvp(program[0], program)  # noqa: S606 - replacing this process is the purpose; there is no shell


if __name__ == "__main__":
    main(sys.argv[1:])
