"""The command line: one file a verb.

Exit codes: 0 done, 1 failed with a clear message (a traceback only with `--debug`), 2 wrong usage, 130 stopped by
Ctrl-C.
Results go to standard output, everything else (progress, notes, errors) to standard error.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; the entry point `zhiyin`."""
    from zhiyin.cli._app import app
    from zhiyin.cli._terminal import fail
    from zhiyin.errors import ZhiyinError

    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except ZhiyinError as error:
        if debug:
            raise
        fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        fail("stopped; nothing was left half-written", code=130)
