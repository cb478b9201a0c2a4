"""``python -m fuzz``: generated cases for some minutes, or of one seed."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from fuzz.kinds import KINDS
from fuzz.runner import Run


def main() -> int:
    """Run cases and say what came of them; 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, help="for how long; cases that have begun are ended")
    parser.add_argument("--cases", type=int, metavar="N", help="how many of each kind, instead of minutes")
    parser.add_argument("--seed", type=int, help="of the first case of each kind; from the clock if not given")
    parser.add_argument(
        "--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS), metavar="KIND", help=", ".join(KINDS)
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes side by side")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="for failures and messages")
    options = parser.parse_args()
    if (options.minutes is None) == (options.cases is None):
        parser.error("give --minutes or --cases")
    seed = int(time.time()) if options.seed is None else options.seed
    folder = options.folder.absolute() / str(seed)
    print(f"kinds {' '.join(options.kinds)}, first seed {seed}; failures and messages go to {folder}", flush=True)
    run = Run(
        {name: KINDS[name] for name in options.kinds},
        seed=seed,
        folder=folder,
        workers=options.workers,
        cases=None if options.cases is None else dict.fromkeys(options.kinds, options.cases),
        minutes=options.minutes,
        tell=lambda text: print(text, flush=True),
    )
    run.run()
    if options.cases == 1:
        print(run.messages(), flush=True)
    print(run.summary(), flush=True)
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
