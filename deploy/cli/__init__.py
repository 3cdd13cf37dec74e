"""The corral command."""

import sys


def main() -> None:
    """Runs it. Ctrl-C while it still loads ends it as quietly as later on."""
    try:
        from deploy.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


__all__ = ["main"]
