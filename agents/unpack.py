"""__main__ of the agent in one file: unpacks it beside what the agent remembers, where it is compiled once, and runs it from there.

Read by whatever Python a machine has, to say that it is too old: so nothing newer than Python 3.6 stands here.
"""

import hashlib
import os
import shutil
import sys
import zipfile

if sys.version_info < (3, 11):  # noqa: UP036 - not of ours
    sys.exit("Corral: the agent needs Python 3.11 or later; this is {}.{}".format(*sys.version_info))


def unpacked(file: str) -> str:
    """-> the folder with the packages; there once for each file, whole or not at all."""
    with open(file, "rb") as packed:
        content = hashlib.sha256(packed.read()).hexdigest()[:16]
    home = os.path.expanduser(os.environ.get("CORRAL_HOME") or "~/.corral")
    folder = os.path.join(os.path.abspath(home), "agent-code", content)
    if not os.path.isdir(folder):
        half = f"{folder}.{os.getpid()}"
        shutil.rmtree(half, ignore_errors=True)  # a start that died in the middle left it: in a container all have the same number
        os.makedirs(half, 0o700)
        with zipfile.ZipFile(file) as packages:
            packages.extractall(half)
        try:
            os.rename(half, folder)
        except OSError:  # another start was faster
            shutil.rmtree(half)
            if not os.path.isdir(folder):
                raise
    return folder


if __name__ == "__main__":
    sys.path[0] = unpacked(sys.path[0])
    from agents.main import main  # found where it was unpacked

    main()
