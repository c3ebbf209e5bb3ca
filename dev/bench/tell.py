"""What people watch meanwhile; results go to stdout."""

import sys


def tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
