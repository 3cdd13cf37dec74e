"""python -m deploy.cli is the corral command."""

from deploy.cli import main

main()
