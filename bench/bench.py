#!/usr/bin/env python3
"""Rebuilds the releases of lists and writes bench/results.tsv and docs/bench.md.

usage: bench.py [--truewheel bin/truewheel] [--time LIST] [--sample SEED...] LIST...
A list is TSV with the columns name, version and filename. --time names the list whose
times are compared with `pip wheel --no-deps` and `uv build --wheel` of the same
sdists in the same run, one after the other. --sampler and --sample draw lists that
nobody has tuned to. Standard library only; pip is the one of this Python, uv the one
that truewheel fetched.
"""
import argparse
import collections
import csv
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
VERDICTS = ("reproduced", "replayed", "differs", "failed")


def read(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f, delimiter="\t"))


def run(argv, env=None):
    """Runs argv; gives exit code, output, seconds, and the process's own peak memory (bytes)."""
    started = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    peak = [0]

    def watch():
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status") as f:
                    for line in f:
                        if line.startswith("VmHWM"):
                            peak[0] = max(peak[0], int(line.split()[1]) * 1024)
            except (OSError, ValueError):
                return
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out = process.communicate()[0]
    seconds = time.monotonic() - started
    watcher.join()
    return process.returncode, out, seconds, peak[0]


def rebuild(args, row):
    argv = [args.truewheel, "rebuild", "--json", "--file", row["filename"], f"{row['name']}=={row['version']}"]
    code, out, seconds, peak = run(argv)
    try:
        report = json.loads(out)
    except ValueError:
        report = {"verdict": "failed", "failure": {"class": "error", "detail": f"exit {code}"}, "differences": [], "tries": [], "timings": {}}
    report.update(row=row, seconds=seconds, peak=peak)
    return report


def cause(report):
    if report["verdict"] in ("reproduced", "replayed"):
        return ""
    if report.get("failure"):
        return report["failure"]["class"]
    named = collections.Counter(d["cause"] for d in report["differences"] if d["cause"] not in ("", "consequence"))
    parts = [name for name, _ in named.most_common()]
    if report.get("unexplained"):
        parts.append(f"{report['unexplained']} unexplained")
    return ", ".join(parts)


def peers(args, uv, report):
    """Seconds of pip wheel and uv build for the same sdist; None for a build that failed."""
    source = (report.get("source") or {}).get("sha256")
    cache = args.cache
    links = glob.glob(os.path.join(cache, "files", "??", source or "none"))
    if not links:
        return None, None
    with tempfile.TemporaryDirectory() as work:
        sdist = os.path.join(work, report["source"]["filename"])
        shutil.copyfile(links[0], sdist)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check", "-w", os.path.join(work, "p"), sdist]
        build = [uv, "build", "--quiet", "--wheel", "--python", sys.executable, "-o", os.path.join(work, "u"), sdist]
        times = []
        for argv in (pip, build):
            code, _, seconds, _ = run(argv)
            times.append(seconds if code == 0 else None)
        return tuple(times)


def table(reports):
    count = collections.Counter(r["verdict"] for r in reports)
    n = len(reports)
    proven = count["reproduced"] + count["replayed"]
    cells = [str(count[v]) for v in VERDICTS]
    return f"{n} | " + " | ".join(cells) + f" | {100 * count['reproduced'] / n:.1f} % | **{100 * proven / n:.1f} %**"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--truewheel", default=os.path.join(ROOT, "bin", "truewheel"))
    parser.add_argument("--time", default="", help="the list whose times are measured")
    parser.add_argument("--sampler", default="", help="program that draws a list: SEED COUNT")
    parser.add_argument("--sample", nargs="*", default=[], metavar="SEED")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("lists", nargs="*", metavar="LIST")
    args = parser.parse_args()
    args.truewheel = os.path.abspath(args.truewheel)
    out = subprocess.run([args.truewheel, "cache", "size"], capture_output=True, text=True, check=True).stdout
    args.cache = out.splitlines()[0]

    lists = [(os.path.basename(path), read(path)) for path in args.lists]
    for seed in args.sample:
        drawn = subprocess.run([sys.executable, args.sampler, seed, str(args.count)], capture_output=True, text=True, check=True)
        sys.stderr.write(drawn.stderr)
        lists.append((f"sample, seed {seed}", list(csv.DictReader(drawn.stdout.splitlines(), delimiter="\t"))))

    results = {}
    for name, rows in lists:
        with ThreadPoolExecutor(2) as pool:
            results[name] = list(pool.map(lambda row: rebuild(args, row), rows))
        print(f"{name}: {table(results[name])}", flush=True)

    timed = []
    if args.time:
        uv = glob.glob(os.path.join(args.cache, "tools", "uv-*", "uv"))[0]
        for row in read(args.time):
            report = rebuild(args, row)  # warm: it was built above
            if report["verdict"] != "failed":
                timed.append((report, *peers(args, uv, report)))
                print(row["name"], f"{report['seconds']:.2f}", *timed[-1][1:], flush=True)

    with open(os.path.join(HERE, "results.tsv"), "w") as f:
        f.write("list\tname\tversion\tfilename\tverdict\ttries\tcause\tseconds\tpeak_mb\n")
        for name, reports in results.items():
            for r in reports:
                row = r["row"]
                cells = (name, row["name"], row["version"], row["filename"], r["verdict"], len(r["tries"]), cause(r), f"{r['seconds']:.2f}", f"{r['peak'] / 1e6:.0f}")
                f.write("\t".join(map(str, cells)) + "\n")
    with open(os.path.join(ROOT, "docs", "bench.md"), "w") as f:
        page(f, results, timed)


def page(f, results, timed):
    say = lambda text="": print(text, file=f)
    say("# Figures\n")
    say("Made by `make bench` (bench/bench.py); each line of bench/results.tsv is one release. All builds caged.")
    say("`reproduced` holds no value per entry; `replayed` needs the envelope. Proven is both.\n")
    say("| list | releases | reproduced | replayed | differs | failed | reproduced | proven |")
    say("|---|---|---|---|---|---|---|---|")
    for name, reports in results.items():
        say(f"| {name} | {table(reports)} |")
    say("\nThe samples were drawn at the very end, and nothing was tuned after they were.\n")
    if timed:
        say("## Time\n")
        say("Seconds for one sdist to one wheel, whole commands, one after the other in the same run; store and index caches warm;")
        say("environment, hooks and build really run, all tries included, caged. pip and uv use one Python and the newest build requirements.\n")
        say("| | median | mean | builds |")
        say("|---|---|---|---|")
        columns = {"truewheel rebuild": [t[0]["seconds"] for t in timed], "pip wheel --no-deps": [t[1] for t in timed if t[1]], "uv build --wheel": [t[2] for t in timed if t[2]]}
        for name, times in columns.items():
            say(f"| {name} | {statistics.median(times):.2f} | {statistics.mean(times):.2f} | {len(times)} |")
        mine = statistics.median(columns["truewheel rebuild"])
        pip, uv = (statistics.median(columns[k]) for k in ("pip wheel --no-deps", "uv build --wheel"))
        say(f"\nRatio of medians: {mine / pip:.2f} of pip wheel, {mine / uv:.2f} of uv build.")
    peaks = [r["peak"] for reports in results.values() for r in reports]
    say(f"\nPeak memory of truewheel itself over all {len(peaks)} rebuilds: median {statistics.median(peaks) / 1e6:.0f} MB, most {max(peaks) / 1e6:.0f} MB.\n")
    say("## What is left unproven\n")
    say("| list | wheel | verdict | cause |")
    say("|---|---|---|---|")
    for name, reports in results.items():
        for r in reports:
            if r["verdict"] not in ("reproduced", "replayed"):
                detail = cause(r)
                if r.get("failure"):
                    first = (r["failure"].get("detail") or "").strip().replace("\n", " ").replace("|", "\\|")
                    detail += f": {first[:160]}"
                say(f"| {name} | {r['row']['filename']} | {r['verdict']} | {detail} |")


main()
