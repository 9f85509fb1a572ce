"""``python -m distillcse_kit`` is the command ``distillcse``. In a fresh checkout nothing else can start it yet."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - pip refuses an older Python, but a checkout starts without pip
    found = ".".join(map(str, sys.version_info[:3]))
    print(f"distillcse: The kit needs Python 3.11 or later, and this is {found}; name another.", file=sys.stderr)
    sys.exit(2)

from distillcse_kit.command.main import main

sys.exit(main())
