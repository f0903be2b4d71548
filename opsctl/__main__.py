"""``python -m opsctl``."""

from __future__ import annotations

import sys

from opsctl.cli import main

if __name__ == "__main__":
    sys.exit(main())
