#!/usr/bin/env python3
"""The survey of native wheels: docs/survey.md and docs/survey.json.

    bench/survey.py --truewheel bin/truewheel --work DIR [RELEASE ...]
    bench/survey.py --work DIR --write

Rebuilds the releases of bench/native/survey.tsv, or those that are named, one
after the other, and keeps each report in DIR. A release whose report is there
is not built again, unless it is named. --write makes the two files of what
is in DIR.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"


def releases():
    lines = (HERE / "native" / "survey.tsv").read_text().splitlines()[1:]
    return [line.split("\t") for line in lines if line]


def rebuild(truewheel, work, release, language, timeout):
    out = work / release
    started = time.monotonic()
    p = subprocess.run(
        [truewheel, "rebuild", "--json", "--timeout", timeout, "--max-memory", str(12 << 30), "--max-disk", str(10 << 30), "--out", str(out), release],
        capture_output=True, text=True,
    )
    seconds = time.monotonic() - started
    try:
        report = json.loads(p.stdout)
    except ValueError:
        report = {"verdict": "failed", "failure": {"class": "fetch", "detail": p.stderr.strip()[-500:]}}
    row = {"release": release, "language": language, "seconds": round(seconds, 1), "commit": commit(truewheel), "report": report}
    (work / (release + ".json")).write_text(json.dumps(row))
    for wheel in out.glob("*.whl"):
        wheel.unlink()
    print(f"{release:32} {report['verdict']:10} {seconds:6.1f} s", flush=True)


def commit(truewheel):
    """The last commit before the program was built."""
    made = str(int(pathlib.Path(truewheel).stat().st_mtime))
    return subprocess.run(["git", "-C", str(HERE), "rev-list", "-1", "--abbrev-commit", "--before=" + made, "HEAD"], capture_output=True, text=True).stdout.strip()


def condense(row):
    """What the table needs of a report."""
    r = row["report"]
    native = r.get("native") or {}
    causes, unexplained = collections.Counter(), 0
    for d in r.get("differences") or []:
        if d["cause"] == "":
            unexplained += 1
        elif d["cause"] != "consequence":
            causes[d["cause"]] += 1
    touched = {d["member"] for d in r.get("differences") or [] if d["cause"] == "" and d["member"]}
    failure = r.get("failure") or {}
    return {
        "release": row["release"], "language": row["language"], "commit": row["commit"], "seconds": row["seconds"],
        "file": (r.get("subject") or {}).get("filename", ""), "sha256": (r.get("subject") or {}).get("sha256", ""),
        "verdict": r["verdict"], "failure": failure.get("class", ""), "detail": failure.get("detail", "").strip().split("\n")[0][:200],
        "members": r.get("members", 0), "equal": r.get("equal", 0), "unexplained": unexplained, "unexplained_members": len(touched),
        "modules": native.get("modules", 0), "functions": native.get("functions", 0), "same": native.get("same", 0), "start": native.get("start", 0),
        "image": native.get("image", ""), "suite": native.get("suite", ""), "near": native.get("near", ""),
        "causes": sorted(causes), "tries": len(r.get("tries") or []),
        "build_seconds": round((r.get("timings") or {}).get("build", 0), 1),
    }


def share(a, b):
    return f"{100 * a / b:.1f} %" if b else "–"


def write(work):
    order = [r for r, _ in releases()]
    rows = [condense(json.loads((work / (r + ".json")).read_text())) for r in order if (work / (r + ".json")).exists()]
    (DOCS / "survey.json").write_text(json.dumps({"schema": "truewheel.survey/1", "rows": rows}, indent=1) + "\n")
    built = [r for r in rows if r["verdict"] != "failed"]
    verdicts = collections.Counter(r["verdict"] for r in rows)
    causes = collections.Counter(c for r in built for c in r["causes"])
    failures = collections.Counter(r["failure"] for r in rows if r["verdict"] == "failed")
    text = (HERE / "native" / "survey.head.md").read_text()
    text += "\n## Verdicts\n\n"
    text += "| | releases |\n|---|---:|\n"
    for v in ("reproduced", "replayed", "differs", "failed"):
        text += f"| {v} | {verdicts[v]} |\n"
    text += f"| all | {len(rows)} |\n\n"
    members, equal = sum(r["members"] for r in built), sum(r["equal"] for r in built)
    functions, same, start = (sum(r[k] for r in built) for k in ("functions", "same", "start"))
    modules = sum(r["modules"] for r in built)
    nothing = sum(1 for r in built if r["unexplained"] == 0)
    text += f"Of the {len(built)} that were built: {equal} of {members} members are equal ({share(equal, members)}); "
    text += f"of {functions} functions in the compiled members that differ {same} are the same, instruction by instruction ({share(same, functions)}), and {start} of the others are the C library's start files. "
    text += f"Nothing is unexplained in {nothing}.\n\n"
    near = [r for r in built if r["functions"] and "another major" not in r["near"]]
    far = [r for r in built if r["functions"] and "another major" in r["near"]]
    text += "| compiler here | releases | functions | the same |\n|---|---:|---:|---:|\n"
    for name, some in (("same major version of GCC as the published one", near), ("another major version", far)):
        text += f"| {name} | {len(some)} | {sum(r['functions'] for r in some)} | {share(sum(r['same'] for r in some), sum(r['functions'] for r in some))} |\n"
    text += "\n"
    alike = sum(1 for r in built if r["functions"] and r["same"] + r["start"] >= r["functions"])
    text += f"In {alike} releases every function of the project itself is the same; what is left is what the compiler, the linker and the C library write of themselves.\n\n"
    text += "By language:\n\n| language | built | members equal | functions the same |\n|---|---:|---:|---:|\n"
    for lang in sorted({r["language"] for r in rows}):
        mine = [r for r in built if r["language"] == lang]
        everyone = sum(1 for r in rows if r["language"] == lang)
        text += f"| {lang} | {len(mine)} of {everyone} | {share(sum(r['equal'] for r in mine), sum(r['members'] for r in mine))} | {share(sum(r['same'] for r in mine), sum(r['functions'] for r in mine))} |\n"
    text += "\n## Causes\n\nIn how many of the releases that were built each cause shows ([causes.md](causes.md)):\n\n| cause | releases |\n|---|---:|\n"
    for c, n in sorted(causes.items(), key=lambda x: (-x[1], x[0])):
        text += f"| {c} | {n} |\n"
    toolchain = {"compiler", "compiler-flags", "link-target", "linker", "strip", "debug"}
    having = lambda *names: [r for r in built if set(names) & set(r["causes"])]
    only = [r for r in having("compiler") if set(r["causes"]) <= toolchain and r["unexplained"] == 0]
    checkout = having("missing-from-sdist", "extra-from-checkout", "scm-version")
    vendored = having("vendored-library", "sbom")
    rust = [r for r in rows if r["verdict"] == "failed" and r["language"] == "Rust"]
    text += "\n## What would help most\n\n| what | releases |\n|---|---:|\n"
    text += f"| the image that the wheel was built in: another compiler is among the causes | {len(having('compiler'))} |\n"
    text += f"| … and nothing else but what goes with it | {len(only)} |\n"
    text += f"| the repository's commit: files or versions that the sdist has not | {len(checkout)} |\n"
    text += f"| the libraries that were vendored, in their versions | {len(vendored)} |\n"
    text += f"| a newer rustc than Debian's: Rust that did not build | {len(rust)} |\n"
    if failures:
        text += "\nWhy others failed:\n\n| class | releases |\n|---|---:|\n"
        for c, n in sorted(failures.items(), key=lambda x: (-x[1], x[0])):
            text += f"| {c} | {n} |\n"
    text += "\n## All\n\nFunctions: the same / all, of the members whose code differs. Any row again: `make survey SURVEY=RELEASE`, or `truewheel rebuild RELEASE`.\n\n"
    text += "| release | wheel | verdict | members equal | functions | unexplained | nearest | s |\n|---|---|---|---:|---:|---:|---|---:|\n"
    for r in rows:
        tag = "-".join(r["file"].removesuffix(".whl").split("-")[2:]).split(".")[0] if r["file"] else ""
        verdict = r["verdict"] + (f": {r['failure']}, {r['detail']}" if r["verdict"] == "failed" else "")
        counts = (f"{r['equal']} / {r['members']}", f"{r['same']} / {r['functions']}", str(r["unexplained"])) if r["verdict"] != "failed" else ("", "", "")
        text += f"| {r['release']} | {tag} | {verdict.replace('|', ' ')} | {' | '.join(counts)} | {r['suite'] or '–'} | {r['seconds']:.0f} |\n"
    (DOCS / "survey.md").write_text(text)
    print(f"{len(rows)} rows, {len(built)} built")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--truewheel", default="truewheel")
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--timeout", default="20m")
    p.add_argument("--write", action="store_true")
    p.add_argument("release", nargs="*")
    args = p.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.write:
        return write(args.work)
    known = dict(releases())
    for name in args.release:
        if name not in known:
            sys.exit(f"{name} is not in the list")
    for release, language in releases():
        if args.release and release not in args.release or not args.release and (args.work / (release + ".json")).exists():
            continue
        rebuild(args.truewheel, args.work, release, language, args.timeout)


if __name__ == "__main__":
    main()
