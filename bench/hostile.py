#!/usr/bin/env python3
"""Shows what pip, uv and `python -m zipfile` do with each hostile wheel: writes docs/hostile.md.

usage: hostile.py --uv UV PYTHON...
The first PYTHON's pip is asked; all Pythons' zipfile.
"""
import argparse
import json
import os
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HONEST = {"demo/__init__.py", "demo/text.txt"}


def files(where):
    found = {}
    for top, _, names in os.walk(where):
        for name in names:
            full = os.path.join(top, name)
            found[os.path.relpath(full, where)] = full
    return found


def outcome(argv, target, before):
    try:
        code = subprocess.run(argv, capture_output=True, timeout=120, cwd=before).returncode
    except subprocess.TimeoutExpired:
        return "hangs"
    got = {n: f for n, f in files(target).items() if ".dist-info" not in n and not n.endswith(".lock") and "__pycache__" not in n}
    outside = [n for n in files(before) if not os.path.join(before, n).startswith(target)]
    if outside:
        return "**writes outside**: " + outside[0]
    if code:
        return "refuses" if not got else "fails half-way"
    more, less = sorted(set(got) - HONEST), sorted(HONEST - set(got))
    words = "takes it"
    if more:
        words += ", with " + ", ".join(repr(n) for n in more[:2])
    if less:
        words += ", without " + ", ".join(less)
    links = [n for n, f in got.items() if os.path.islink(f)]
    if links:
        words += ", a link"
    executable = [n for n, f in got.items() if not os.path.islink(f) and os.stat(f).st_mode & 0o111]
    if executable:
        words += ", executable"
    return words


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uv", required=True)
    parser.add_argument("pythons", nargs="+")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        cases = os.path.join(work, "cases")
        lines = subprocess.run(["go", "run", "./bench/hostile", cases], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        version = lambda argv: subprocess.run(argv, capture_output=True, text=True).stdout.split()[1]
        pip, uv = version([args.pythons[0], "-m", "pip", "--version"]), version([args.uv, "--version"])
        pythons = [version([p, "--version"]) for p in args.pythons]
        with open(os.path.join(ROOT, "docs", "hostile.md"), "w") as f:
            print("# Hostile wheels\n", file=f)
            print("Each is one honest wheel with one thing wrong (`internal/hostile`). *refused*: truewheel does not read it; *not inert*: it is", file=f)
            print("read, and can never be proven by an envelope; *flagged*: it is read, and said to lie. Made by `make hostile` (bench/hostile.py);", file=f)
            print("tests hold truewheel's column. Where the others disagree with each other, one file is two wheels.\n", file=f)
            print("| case | what is wrong | truewheel | pip " + pip + " | uv " + uv + " | " + " | ".join(f"zipfile {v}" for v in pythons) + " |", file=f)
            print("|---" * (5 + len(pythons)) + "|", file=f)
            for line in lines:
                case = json.loads(line)
                wheel = os.path.join(cases, case["name"], "demo-1.0-py3-none-any.whl")
                row = [case["name"], case["why"], case["want"]]
                commands = [
                    lambda t: [args.pythons[0], "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--target", t, wheel],
                    lambda t: [args.uv, "pip", "install", "-q", "--no-deps", "--no-index", "--offline", "--no-cache", "--python", args.pythons[0], "--target", t, wheel],
                ] + [lambda t, p=p: [p, "-m", "zipfile", "-e", wheel, t] for p in args.pythons]
                for command in commands:
                    with tempfile.TemporaryDirectory(dir=work) as before:
                        target = os.path.join(before, "in", "target")
                        os.makedirs(target)
                        row.append(outcome(command(target), target, before))
                text = " | ".join(row).encode("ascii", "backslashreplace").decode()
                print(f"| {text} |", file=f)


main()
