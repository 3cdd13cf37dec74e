"""python -m deploy.cli is the corral command."""

from deploy.cli.app import main

main()
