"""Tests the actions with `act`: `scripts/test-action` calls this with what it needs."""

import argparse
import sys
import unittest
from pathlib import Path

import chains
import runner
import scenarios
from host import Tools


def main():
    parser = argparse.ArgumentParser(prog="tests/act", description=__doc__)
    path = {"type": Path, "required": True, "metavar": "PATH"}
    parser.add_argument("--act", **path)
    parser.add_argument("--action", **path, help="the action, with its program in dist/bin")
    parser.add_argument("--node20", **path, help="the program")
    parser.add_argument("--node24", **path, help="the program")
    parser.add_argument("--rustup-home", **path)
    parser.add_argument("--toolchain", required=True, metavar="NAME")
    parser.add_argument("only", nargs="*", metavar="WORDS", help="run only tests with this in their names")
    args = parser.parse_args()

    scenarios.Action.tools = chains.Chain.tools = Tools(
        act=args.act,
        action=args.action,
        program=args.action / "dist/bin/runner-cache",
        nodes={"20": args.node20, "24": args.node24},
        toolchain=args.toolchain,
        rustup_home=args.rustup_home,
    )
    runner.adopt_orphans()

    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{words}*" for words in args.only] or None
    suite = unittest.TestSuite(map(loader.loadTestsFromModule, [scenarios, chains]))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    return 0 if result.wasSuccessful() and result.testsRun else 1


sys.exit(main())
