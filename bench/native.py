#!/usr/bin/env python3
"""Locks native projects and builds each twice under different conditions.

usage: bench/native.py --truewheel BIN [--work DIR] [--by-hand] [NAME...]

The first build runs as the caller, with all processors, from the store that
the lock was made with. The second runs as another user without privileges, on
one processor, under load, with another umask, host name, time zone and
language, at another time, in an empty store that is filled from the bundle.
--by-hand also runs the same commands in the same root without a cage.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PROJECTS = {
    "markupsafe": ["markupsafe==3.0.3"],
    "msgpack": ["msgpack==1.1.2"],
    "pyyaml": ["pyyaml==6.0.3", "--deb", "libyaml-dev"],
    "cffi": ["cffi==2.0.0", "--deb", "libffi-dev", "--deb", "pkg-config"],
    "levenshtein": ["levenshtein==0.27.3"],  # scikit-build-core
    "maturin": [str(HERE / "native" / "demo"), "--suite", "trixie", "--deb", "cargo", "--deb", "rustc", "--deb", "librust-pyo3-dev"],
    "numpy": ["numpy==2.4.6"],
    "scikit-learn": ["scikit-learn==1.9.1", "-C", "build-dir=build"],
}


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode:
        sys.exit("%s\nended with %d\n%s%s" % (" ".join(map(str, command)), done.returncode, done.stdout[-2000:], done.stderr[-4000:]))
    return done.stdout


def build(bin, work, name, extra, prefix=(), env=None, umask=None):
    out = work / name
    text = run([*prefix, str(bin), "build", "--json", "--out", str(out), *extra], env=env, preexec_fn=(lambda: os.umask(umask)) if umask is not None else None)
    return json.loads(text)


def second(bin, work, bundle, source):
    """The same lock, and everything else different."""
    other = work / "other"
    other.mkdir()
    mine = other / "truewheel"
    shutil.copy(bin, mine)
    shutil.copy(bundle, other / "inputs.bundle")
    if source:
        shutil.copytree(source, other / "source")
    for path in [other, *other.rglob("*")]:
        os.chown(path, 1234, 1234, follow_symlinks=False)
    prefix = ["taskset", "-c", "0", "unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh",
              "setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(other), "TZ": "Pacific/Chatham", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "17",
           "SOURCE_DATE_EPOCH": "1", "CFLAGS": "-O0"}
    load = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2)]
    try:
        args = [str(other / "source")] if source else []
        return build(mine, other, "out", ["--bundle", str(other / "inputs.bundle"), "--offline", "--cache-dir", str(other / "store"), *args],
                     prefix, env, 0o077)
    finally:
        for p in load:
            p.kill()


def by_hand(store, work, lock, record):
    """Seconds of the hooks in a chroot of the root, as one would type them."""
    import tomllib
    data = tomllib.loads(lock.read_text())
    root = store / "roots" / data["environment"]["root"] / "root"
    source = next((store / "links").glob("*/" + data["source"]["filename"]), None) or store / "files" / data["source"]["sha256"][:2] / data["source"]["sha256"]
    script = work / "by-hand.sh"
    settings = {k: v[0] if len(v) == 1 else v for k, v in data["build"].get("config-settings", {}).items()}
    python = "python" + ".".join(data["python"]["version"].split(".")[:2])
    uv = next((store / "tools").glob("*/uv"))
    wheels = " ".join(str(store / "links" / w["sha256"] / w["filename"]) for w in data["requirements"]["wheels"])
    script.write_text(f"""set -e
mount -t tmpfs tmpfs {work}
mkdir {work}/up {work}/w {work}/root
mount -t overlay overlay -o lowerdir={root},upperdir={work}/up,workdir={work}/w {work}/root
cd {work}/root
mkdir -p truewheel/env/bin truewheel/env/lib/{python}/site-packages truewheel/wheels build/dist
mount -t proc proc proc; mount --rbind /dev dev
printf 'home = /usr/bin\\ninclude-system-site-packages = false\\nversion = {data["python"]["version"]}\\n' > truewheel/env/pyvenv.cfg
ln -s /usr/bin/{python} truewheel/env/bin/python
cp {uv} truewheel/uv; cp {wheels} truewheel/wheels
chroot . /truewheel/uv pip install -q --offline --no-index --no-deps --no-cache --python /truewheel/env/bin/python $(ls truewheel/wheels/*.whl | sed s,^,/,)
tar -xzf {source} -C build --no-same-owner
cat > build/hook.py <<'END'
import importlib, tomllib, time, os, sys, subprocess, json
os.chdir(sys.argv[1])
try:
    system = tomllib.load(open("pyproject.toml", "rb")).get("build-system", {{}})
except FileNotFoundError:
    system = {{}}
sys.path[:0] = system.get("backend-path", [])
name, _, attr = system.get("build-backend", "setuptools.build_meta:__legacy__").partition(":")
backend = importlib.import_module(name)
backend = getattr(backend, attr) if attr else backend
settings = json.loads(sys.argv[2]) or None
start = time.time()
sys.argv[1:] = []
if hasattr(backend, "get_requires_for_build_wheel"):
    backend.get_requires_for_build_wheel(settings)
wheel = backend.build_wheel("/build/dist", settings)
subprocess.run([sys.executable, "-m", "auditwheel", "repair", "-w", "/build/dist/r", "/build/dist/" + wheel], check=True)
print("SECONDS", time.time() - start)
END
chroot . /usr/bin/env -i PATH=/truewheel/env/bin:/usr/bin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 HOME=/build SOURCE_DATE_EPOCH={data["build"]["source-date-epoch"]} \\
  /truewheel/env/bin/python /build/hook.py $(ls -d build/*/ | grep -v dist | head -1 | sed s,^,/,) '{json.dumps(settings)}'
""")
    moved = pathlib.Path(tempfile.mkdtemp()) / "by-hand.sh"
    shutil.move(script, moved)
    text = run(["unshare", "--mount", "--propagation", "private", "bash", str(moved)])
    return float(text.rsplit("SECONDS", 1)[1].split()[0])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--truewheel", required=True)
    p.add_argument("--work")
    p.add_argument("--by-hand", action="store_true")
    p.add_argument("--keep", help="directory for locks and both records and logs")
    p.add_argument("names", nargs="*")
    o = p.parse_args()
    bin = pathlib.Path(o.truewheel).resolve()
    if os.geteuid():
        sys.exit("bench/native.py becomes another user: run it as root")
    print("| project | first sha256 | second | env ready, s | build, s | second, s | by hand, s | ratio |\n|---|---|---|---|---|---|---|---|")
    bad = 0
    store = pathlib.Path(o.work or tempfile.mkdtemp(prefix="native-"))
    store.mkdir(parents=True, exist_ok=True)
    for name in o.names or PROJECTS:
        args = PROJECTS[name]
        source = args[0] if os.path.isdir(args[0]) else None
        work = pathlib.Path(tempfile.mkdtemp(prefix="native-"))
        os.chmod(work, 0o755)
        lock, bundle = work / "truewheel.lock", work / "inputs.bundle"
        try:
            run([str(bin), "lock", *args, "-o", str(lock), "--bundle", str(bundle), "--cache-dir", str(store)])
            first = build(bin, work, "first", ["--lock", str(lock), "--cache-dir", str(store), *([source] if source else [])])
            hand = ratio = ""
            if o.by_hand and not source:
                at = work / "hand"
                at.mkdir()
                hand = by_hand(store, at, lock, first)
                ratio = "%.2f" % (first["build_s"] / hand)
                hand = "%.1f" % hand
            other = second(bin, work, bundle, source)
            same = first["wheel"] == other["wheel"]
            bad += not same
            print("| %s | %s | %s | %.1f | %.1f | %.1f | %s | %s |" % (
                name, first["wheel"]["sha256"][:16], "same" if same else "DIFFERS " + other["wheel"]["sha256"][:16],
                first["ready_s"], first["build_s"], other["build_s"], hand, ratio), flush=True)
            if o.keep:
                keep = pathlib.Path(o.keep) / name
                shutil.rmtree(keep, ignore_errors=True)
                keep.mkdir(parents=True)
                shutil.copy(lock, keep)
                shutil.copytree(work / "first" / "provenance", keep / "first")
                shutil.copytree(work / "other" / "out" / "provenance", keep / "second")
            if not same:
                kept = pathlib.Path(tempfile.mkdtemp(prefix="native-differs-"))
                for d, at in (("first", work / "first"), ("second", work / "other" / "out")):
                    shutil.copytree(at, kept / d)
                print("kept in", kept, flush=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    sys.exit(bad > 0)


main()
