#!/usr/bin/env python3
"""Compares `truewheel diff --full --json` with diffoscope on pairs of wheels.

    diff.py --truewheel BIN --pairs DIR [--runs 3] [--only a,b] [--no-diffoscope]

DIR/manifest.tsv is what shared/bench/make_pairs.py writes. CPU seconds and peak memory of
each program, with its children, are the operating system's (wait4); the table has medians.
"""
import argparse, csv, json, os, shutil, statistics, subprocess, sys, tempfile

NATIVE = ("b_", "c_", "e_", "e2_", "k")


def run(argv, out):
    """CPU seconds, peak MB and exit code of a program and all that it ran."""
    with open(out, "wb") as f:
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, f.fileno(), 1)])
        _, status, u = os.wait4(pid, 0)
    return u.ru_utime + u.ru_stime, u.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)


def measure(argv, runs, out, good):
    rows = []
    for _ in range(runs):
        cpu, rss, code = run(argv, out)
        if code not in good:
            sys.exit(f"{' '.join(argv)}: exit {code}")
        rows.append((cpu, rss))
    return statistics.median(r[0] for r in rows), max(r[1] for r in rows), os.path.getsize(out)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--truewheel", required=True)
    ap.add_argument("--pairs", required=True)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--only", default="")
    ap.add_argument("--no-diffoscope", action="store_true")
    a = ap.parse_args()
    only = set(filter(None, a.only.split(",")))
    peer = None if a.no_diffoscope else shutil.which("diffoscope") or sys.exit("no diffoscope: make bench-diff installs it")
    head = ["pair", "truewheel CPU s", "MB", "output kB", "diffoscope CPU s", "MB", "output kB", "ratio", "must be"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    missed = 0
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "out")
        for p in csv.DictReader(open(os.path.join(a.pairs, "manifest.tsv")), delimiter="\t"):
            if only and p["id"] not in only:
                continue
            cpu, rss, size = measure([a.truewheel, "diff", "--full", "--json", p["A"], p["B"]], a.runs, out, (0, 3))
            json.load(open(out))
            row = [p["id"], f"{cpu:.3f}", f"{rss:.0f}", f"{size / 1000:.0f}"]
            want = 50 if p["id"].startswith(NATIVE) else 20
            if peer:
                c2, r2, s2 = measure([peer, "--no-progress", "--text", out, p["A"], p["B"]], a.runs, out + ".log", (0, 1))
                s2 = os.path.getsize(out)
                missed += c2 / cpu < want or rss > 300
                row += [f"{c2:.2f}", f"{r2:.0f}", f"{s2 / 1000:.0f}", f"1/{c2 / cpu:.0f}", f"1/{want}"]
            print("| " + " | ".join(row) + " |", flush=True)
    if missed:
        print(f"{missed} pairs are slower or larger than they must be", file=sys.stderr)


main()
