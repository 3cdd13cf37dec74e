"""The last step before a server: runs in the child, becomes who the server shall be, ties it to its parent, and turns into it.

    python -I -S launch.py '{"parent": 123, "signal": 2, "unroot": ["/home/..."], "files": true}' program argument ...

Only the standard library is at hand here (-I -S: it starts in some 15 ms). A script of its own, and no preexec_fn, because
code between fork and exec in a process with threads may hang.

Postgres refuses to run as root. So that root needs no further user and opens no folder to others, the child makes a user
namespace in which root's files belong to the uid 65534, and is that. Where the kernel refuses namespaces, the folders named in `unroot`
are handed to nobody, and the server becomes nobody with one capability, to pass through root's folders on its way to them.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
import time

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION_3 = 0x20080522
LINUX = sys.platform == "linux"


def main() -> None:
    order = json.loads(sys.argv[1])
    command = sys.argv[2:]
    os.umask(0o077)
    if order.get("files"):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folders = order.get("unroot")
    if folders is not None and os.geteuid() == 0:
        stop_being_root(folders, namespace=order.get("namespace", True) and LINUX and namespaces_work())
    if not LINUX or order.get("watch"):
        sys.exit(run_watched(command, order["parent"], order["signal"]))
    # After the change of user, which would clear it.
    prctl(PR_SET_PDEATHSIG, order["signal"])
    if os.getppid() != order["parent"]:
        sys.exit("the parent died before its server began")
    os.execv(command[0], command)


def stop_being_root(folders: list[str], *, namespace: bool) -> None:
    for folder in folders:
        give(folder, 0 if namespace else NOBODY)
    if namespace:
        enter_namespace()
        return
    if LINUX:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    if LINUX:
        keep_passage()


def namespaces_work() -> bool:
    """Tried in a child of its own: a process whose map was refused halfway could no longer become anybody."""
    child = os.fork()
    if child == 0:
        try:
            enter_namespace()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def enter_namespace() -> None:
    if libc().unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} 0 1"), ("gid_map", f"{NOBODY} 0 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def give(folder: str, uid: int) -> None:
    """Hands a whole tree to a user, if it is not theirs already."""
    if os.lstat(folder).st_uid == uid:
        return
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.lchown(os.path.join(parent, name), uid, uid)
        os.lchown(parent, uid, uid)  # the top last: an interrupted walk is then done again


def keep_passage() -> None:
    """Keeps, over the exec, the right to read through folders of others; containers often have only the stronger one."""
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        mask = 1 << capability
        header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
        data = struct.pack("6I", mask, mask, mask, 0, 0, 0)
        if libc().capset(header, data) == 0 and libc().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0:
            return
    # Without either it still works where every folder on the way may be entered by all.


def run_watched(command: list[str], parent: int, farewell: int) -> int:
    """Where the kernel doesn't tell of a parent's death: stays between the two and looks twice a second."""
    child = os.fork()
    if child == 0:
        os.execv(command[0], command)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, lambda received, _: os.kill(child, received))
    said = 0.0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if os.getppid() != parent:
            if not said:
                os.kill(child, farewell)
                said = time.monotonic()
            elif time.monotonic() - said > 30:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.05 if said else 0.5)


def prctl(option: int, value: int) -> None:
    if libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    main()
