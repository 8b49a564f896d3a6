"""Run the `glan` command line with `python -m glan_core`."""

import sys

from glan_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
