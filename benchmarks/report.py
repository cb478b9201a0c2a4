"""How long the report of a run takes to open in Chromium.

    python benchmarks/report.py DIR [--repeats 5]

From the request to the last chart drawn, in a new page each time. There is no other tool to compare with: beside it
stands the time of an empty page.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fpgaml.environment import describe_environment

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="a run")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    options = parser.parse_args()
    page = (options.directory / "report.html").resolve()
    if not page.exists():
        raise SystemExit(f"{page}: not found. `fpgaml report {options.directory}` writes it")
    executable = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if executable is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is installed (Debian: apt install chromium)")

    from playwright.sync_api import sync_playwright

    environment = describe_environment(seed=1, command=" ".join(["python", "benchmarks/report.py", *sys.argv[1:]]))
    print(json.dumps(environment["machine"]))
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        empty = Path(directory) / "empty.html"
        empty.write_text("<!doctype html><html data-drawn><title>empty</title></html>", encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for name, path in (("empty page", empty), ("report", page)):
            seconds = [opening_s(browser, path) for _ in range(options.repeats)]
            low, middle, high = np.min(seconds), np.median(seconds), np.max(seconds)
            print(f"{name}: {path.stat().st_size / 1e6:.2f} MB, {middle:.2f} s ({low:.2f} to {high:.2f})")
        browser.close()


def opening_s(browser: Any, path: Path) -> float:
    """Seconds until everything is drawn."""
    page = browser.new_page(viewport={"width": 1366, "height": 900})
    started = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached", timeout=60_000)
    passed = time.perf_counter() - started
    page.close()
    return passed


if __name__ == "__main__":
    main()
