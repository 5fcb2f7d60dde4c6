"""Launcher that runs a program and ends it when the parent process dies.

It runs as a script, so that no code runs between fork and exec in a parent that may have threads:

    python -I -S parent_death.py PARENT_PID SIGNAL UID GID PROGRAM [ARGUMENT...]

UID and GID are -1 to keep the user. Linux sends SIGNAL when the parent's thread that started the launcher ends.
Other systems start the program without this protection.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
SAME_USER = -1


def drop_privileges(user_id: int, group_id: int) -> None:
    """Switch from root to another account for good."""
    os.setgroups([])
    os.setresgid(group_id, group_id, group_id)
    os.setresuid(user_id, user_id, user_id)


def die_with(parent_pid: int, signal_number: int) -> None:
    """Ask the kernel for a signal on the parent's death. Exits if the parent is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the parent process has ended")


def main(arguments: list[str]) -> None:
    """Drop privileges, set the death signal, and execute the program."""
    parent_pid, signal_number, user_id, group_id = (int(word) for word in arguments[:4])
    program = arguments[4:]
    # A change of user clears the death signal, so it comes first.
    if user_id != SAME_USER:
        drop_privileges(user_id, group_id)
    die_with(parent_pid, signal_number)
    os.execvp(program[0], program)  # noqa: S606 - replacing this process is the purpose; there is no shell


if __name__ == "__main__":
    main(sys.argv[1:])
