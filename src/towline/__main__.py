# SPDX-License-Identifier: GPL-2.0-only
"""`python -m towline`: the same as the command `towline`."""

import sys

from towline.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
