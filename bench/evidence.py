#!/usr/bin/env python3
"""What `truewheel inspect` reads off native wheels, beside what other tools read: the table of docs/evidence.md.

    bench/evidence.py --truewheel bin/truewheel [--write] [RELEASE ...]

For each release: `inspect --json` of one wheel; the same wheel unpacked and
asked by hand: readelf (.comment, DW_AT_producer, symbol versions, RUNPATH),
strings (Cython's and CPython's versions), and what Python's own `packaging`
(which `pip debug` prints) says of its tags. Exit 1 when they disagree.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
RELEASES = """markupsafe==3.0.3 msgpack==1.1.2 pyyaml==6.0.3 numpy==2.4.6 scikit-learn==1.9.1 cffi==2.1.1 lxml==6.1.3 psutil==7.2.2
cryptography==50.0.2 orjson==3.13.0 rpds-py==2026.9.1 regex==2026.11.15 multidict==7.2.1 aiohttp==3.14.5 greenlet==3.5.6 kiwisolver==1.5.1
contourpy==1.4.0 pyzmq==27.3.0 charset-normalizer==3.5.2 zstandard==0.25.0""".split()


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, errors="replace").stdout


def newest(versions):
    return max(versions, key=lambda v: [int(x) for x in v.split(".")], default="")


def modules(root):
    for f in sorted(root.rglob("*")):
        rel = f.relative_to(root).as_posix()
        if f.is_file() and re.search(r"\.(so|pyd)$", f.name) and not rel.split("/")[0].endswith(".libs"):
            yield f


def by_hand(wheel, python):
    found = {k: set() for k in ("compiler", "flags", "cython", "python", "rpath")}
    glibc = set()
    dwarf = False
    with tempfile.TemporaryDirectory() as tmp:
        root = pathlib.Path(tmp)
        with zipfile.ZipFile(wheel) as z:
            z.extractall(root)
        for f in modules(root):
            for line in run("readelf", "-p", ".comment", str(f)).splitlines():
                m = re.match(r"\s*\[\s*[0-9a-f]+\]\s+(.*)", line)
                if m and not m.group(1).startswith("Linker:"):
                    found["compiler"].add(m.group(1).strip())
            # The first entry of each unit is its compilation unit; depth 1 is that.
            for line in run("readelf", "--debug-dump=info", "--dwarf-depth=1", str(f)).splitlines():
                m = re.search(r"DW_AT_producer\s*: (?:\([^)]*\): )?(.*)", line)
                if m:
                    dwarf = True
                    found["flags"].add(m.group(1).strip())
            for line in run("readelf", "-W", "--dyn-syms", str(f)).splitlines():
                m = re.search(r" UND .*@GLIBC_([0-9.]+)", line)
                if m:
                    glibc.add(m.group(1))
            for line in run("readelf", "-W", "-d", str(f)).splitlines():
                m = re.search(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", line)
                if m:
                    found["rpath"].add(m.group(1))
            text = run("strings", "-a", "-n", "6", str(f))
            found["cython"].update(v.replace("_", ".") for v in re.findall(r"_cython_(\d+(?:_\d+)+)", text))
            found["python"].update(re.findall(r"cpython-(3\.\d+\.\d+)[/\\]", text))
    tags = subprocess.run(
        [python, "-c", "import sys\nfrom pip._vendor.packaging.utils import parse_wheel_filename as p\nprint(' '.join(sorted({t.platform for t in p(sys.argv[1])[3]})))", pathlib.Path(wheel).name],
        capture_output=True, text=True,
    ).stdout.split()
    return {
        "policy": set(tags), "compiler": found["compiler"], "flags": found["flags"] if dwarf else set(),
        "glibc": {newest(glibc)} - {""}, "cython": found["cython"], "python": found["python"], "rpath": found["rpath"],
    }


def ours(native):
    values = lambda kind: {m["value"] for m in native if m["kind"] == kind}
    return {
        "policy": {p for v in values("policy") for p in v.split()},
        "compiler": values("compiler"),
        "flags": values("flags"),
        "glibc": {v.removeprefix("GLIBC ") for v in values("libc") if v.startswith("GLIBC ")},
        "cython": {v.removeprefix("Cython ") for v in values("tool") if v.startswith("Cython ")},
        "python": values("python"),
        "rpath": values("rpath"),
    }


def cell(values, most=2):
    values = sorted(values)
    text = ", ".join(values[:most]) + (f" and {len(values) - most} more" if len(values) > most else "")
    return text.replace("|", "\\|") or "–"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--truewheel", default="truewheel")
    p.add_argument("--store", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "truewheel")
    p.add_argument("--write", action="store_true")
    p.add_argument("release", nargs="*", default=[])
    args = p.parse_args()
    wrong, rows = 0, []
    for release in args.release or RELEASES:
        inspected = json.loads(run(args.truewheel, "inspect", "--json", release))
        with tempfile.TemporaryDirectory() as tmp:
            wheel = pathlib.Path(tmp) / inspected["filename"]
            sha = inspected["sha256"]
            stored = next(f for f in args.store.rglob(sha) if f.is_file())
            wheel.write_bytes(stored.read_bytes())
            hand = by_hand(wheel, sys.executable)
        mine = ours(inspected["native"])
        bad = [k for k in hand if hand[k] != mine[k]]
        wrong += len(bad)
        print(f"{release:28} {'agrees' if not bad else 'DIFFERS in ' + ', '.join(bad)}", flush=True)
        for k in bad:
            print(f"    {k}: by hand only {sorted(hand[k] - mine[k])[:5]}, ours only {sorted(mine[k] - hand[k])[:5]}")
        extra = {m["value"] for m in inspected["native"] if m["kind"] in ("repair",)}
        rows.append((release, mine, extra, inspected.get("place") or {}, not bad))
    if args.write:
        text = (HERE / "native" / "evidence.head.md").read_text()
        text += "\n| wheel of | compiler | flags of most units | CPython | Cython | glibc | repaired by | nearest | agrees |\n|---|---|---|---|---|---|---|---|---|\n"
        for release, mine, extra, place, same in rows:
            flags = {re.sub(r"^.*?(?= -)", "", f).strip() for f in mine["flags"]}
            near = " ".join(x for x in (place.get("image", ""), "; " + place["suite"] + ": " + place["near"] if place.get("suite") else place.get("near", "")) if x)
            text += f"| {release} | {cell(mine['compiler'])} | {cell(flags, 1)} | {cell(mine['python'])} | {cell(mine['cython'])} | {cell(mine['glibc'])} | {cell(extra, 1)} | {near} | {'yes' if same else 'no'} |\n"
        (HERE.parent / "docs" / "evidence.md").write_text(text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
