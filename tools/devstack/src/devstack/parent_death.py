"""Become another program that dies with the process that started it.

Run as a script, so that nothing needs to happen between fork and exec in a process that may have threads:

    python -I -S parent_death.py PARENT_PID SIGNAL UID GID PROGRAM [ARGUMENT...]

UID and GID are -1 to stay who we are. Linux sends SIGNAL when the thread that started us ends, however it ends;
elsewhere the program starts without that protection.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
STAY = -1


def become(user_id: int, group_id: int) -> None:
    """Give up root for another account, for good."""
    os.setgroups([])
    os.setresgid(group_id, group_id, group_id)
    os.setresuid(user_id, user_id, user_id)


def die_with(parent_pid: int, signal_number: int) -> None:
    """Ask the kernel for a signal when the parent dies; leave at once if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the parent is gone")


def main(arguments: list[str]) -> None:
    """Drop privileges, tie the leash, become the program."""
    parent_pid, signal_number, user_id, group_id = (int(word) for word in arguments[:4])
    program = arguments[4:]
    # A change of account clears the death signal, so the account comes first.
    if user_id != STAY:
        become(user_id, group_id)
    die_with(parent_pid, signal_number)
    os.execvp(program[0], program)  # noqa: S606 - replacing this process is the purpose; there is no shell


if __name__ == "__main__":
    main(sys.argv[1:])
