"""`python -m glan_core` is `glan`."""

import sys

from glan_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
