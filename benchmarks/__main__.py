"""Runs benchmarks by name, or all of them: `python -m benchmarks [latency] [idle] … [--small]`."""

from __future__ import annotations

import argparse
import importlib

from benchmarks.report import print_report, write_results

NAMES = ("latency", "idle")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which; all when none is named")
    parser.add_argument("--small", action="store_true", help="a short run that only shows that it works")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/<date>.json")
    options = parser.parse_args()
    figures = []
    for name in options.names or NAMES:
        figures += importlib.import_module(f"benchmarks.{name}").measure(small=options.small)
        print_report(figures)
    if options.write:
        print(f"written: {write_results(figures)}")


if __name__ == "__main__":
    main()
