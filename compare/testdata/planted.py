#!/usr/bin/env python3
"""Builds the pairs of wheels in planted/: each differs by one planted cause.

    planted.py [ID...]     all pairs and manifest.tsv, or only the named pairs

ID.a.whl is the published wheel, ID.b.whl the rebuilt one. manifest.tsv says which cause
has to be named first, which others may be named as well, and what made the pair. A cause
"-" means that no cause explains the difference: it has to stay unexplained.

Needs Debian 12 as root, its python3.11 with venv and headers, gcc-11, gcc-12, clang, lld,
llvm, binutils, faketime, locales, zip, 7z, openssl, osslsigncode, git, patchelf, unshare;
Go; other Pythons by PLANTED_PYTHONS (a folder with 3.10.13/bin/python, 3.11.7 and 3.12.1).
Python packages are installed by pip as pinned below, once, into PLANTED_TOOLS.
"""
import base64, csv, hashlib, io, json, os, random, re, shutil, stat, subprocess, sys, tempfile, time, uuid, zipfile
from pathlib import Path

OUT = Path(__file__).resolve().parent / "planted"
TOOLS = Path(os.environ.get("PLANTED_TOOLS", "/var/tmp/planted-tools"))
PYTHONS = Path(os.environ.get("PLANTED_PYTHONS", Path.home() / ".pyenv/versions"))
PY, PY311, PY312 = "/usr/bin/python3.11", PYTHONS / "3.11.7/bin/python", PYTHONS / "3.12.1/bin/python"
SRC = Path("/build/src")  # where everything is built, unless the path is the cause
EPOCH = 1700000000  # 2023-11-14 22:13:20 UTC
DIST = "demo-1.0.dist-info/"
PAIRS = []


def pair(id, what, cause=None, also=""):
    """Registers a function that returns A and B: wheels as bytes, or their files."""
    def add(f):
        PAIRS.append((id, cause or id, also, what, f))
        return f
    return add


# ---- tools

def run(*args, cwd=None, stdin=None, **env):
    full = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "TZ": "UTC",
            "SOURCE_DATE_EPOCH": str(EPOCH), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    full = {k: str(v) for k, v in (full | env).items() if v is not None}
    p = subprocess.run([str(a) for a in args], cwd=cwd, env=full, input=stdin, capture_output=True)
    if p.returncode:
        sys.exit(f"{args}: exit {p.returncode}\n{(p.stdout + p.stderr).decode(errors='replace')}")
    return p.stdout


def pip(*wanted):
    """The folder that holds the wanted packages, installed once."""
    target = TOOLS / "+".join(wanted)
    if not target.exists():
        part = Path(f"{target}.part")
        shutil.rmtree(part, ignore_errors=True)
        subprocess.run([PY311, "-m", "pip", "install", "-q", "--target", part, *wanted], check=True)
        part.rename(target)
    return target


def fresh(path=SRC):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write(root, files):
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


def python(code, *prefix, py=PY, **env):
    """What a script prints, run by the real interpreter: what a project's build would generate."""
    return run(*prefix, py, "-S", "-c", code, **env)


# ---- wheels

def digest(data):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def seal(files):
    """The files as bytes, with RECORD as last one."""
    files = {n: d if isinstance(d, bytes) else d.encode() for n, d in files.items() if not n.endswith(".dist-info/RECORD")}
    record = next(n for n in files if n.endswith(".dist-info/METADATA")).replace("METADATA", "RECORD")
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    unlisted = re.compile(r"RECORD\.(jws|p7s)$")
    rows.writerows((n, "", "") if unlisted.search(n) else (n, digest(d), len(d)) for n, d in files.items())
    rows.writerow((record, "", ""))
    return files | {record: out.getvalue().encode()}


def pack(files, epoch=EPOCH, modes={}, level=6, dirs=False, times={}):
    """A zip by Python's zipfile; files are packed as they are."""
    out, seen = io.BytesIO(), set()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as z:
        def entry(name, mode):
            info = zipfile.ZipInfo(name, time.gmtime(times.get(name, epoch))[:6])
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_STORED if level is None else zipfile.ZIP_DEFLATED
            return info
        for name, data in files.items():
            for i in [i for i, c in enumerate(name) if c == "/" and dirs]:
                if name[:i] not in seen:
                    seen.add(name[:i])
                    info = entry(name[:i + 1], 0o40755)
                    info.external_attr |= 0x10
                    info.compress_type = zipfile.ZIP_STORED
                    z.writestr(info, b"")
            z.writestr(entry(name, stat.S_IFREG | modes.get(name, 0o644)), data, compresslevel=level)
    return out.getvalue()


def wheel(files, **how):
    return pack(seal(files), **how)


def unpack(data):
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        return {i.filename: z.read(i) for i in z.infolist()}


def zip_tree(root, names, tz="UTC"):
    """The wheel that zipfile makes of real files: times and modes are the file system's."""
    out, old = io.BytesIO(), os.environ.get("TZ")
    os.environ["TZ"] = tz
    time.tzset()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name in names:
            z.write(root / name, name)
    os.environ.pop("TZ") if old is None else os.environ.update(TZ=old)
    time.tzset()
    return out.getvalue()


def tree(files, root=SRC, umask=0o022):
    """The files written for real, all with one time."""
    before = os.umask(umask)
    write(fresh(root), files)
    os.umask(before)
    for name in files:
        os.utime(root / name, (EPOCH, EPOCH))
    return root


# ---- the project

def table(rows=160):
    r = random.Random(7)
    words = "amber birch cedar delta ember fjord grove heath inlet jetty".split()
    return "id,word,weight\n" + "".join(f"{i},{r.choice(words)},{r.randrange(10000) / 100}\n" for i in range(rows))


PYPROJECT = """\
[build-system]
requires = ["%(requires)s"]
build-backend = "%(backend)s"

[project]
name = "demo"
%(version)s
description = "Weighs words by a table"
readme = "README.md"
requires-python = ">=3.9"
%(license)s
keywords = ["words", "weights"]
authors = [{name = "Ada Example", email = "ada@example.org"}]
classifiers = [
    "Development Status :: 5 - Production/Stable",
    "Intended Audience :: Developers",
    "Programming Language :: Python :: 3",
    "Typing :: Typed",
]
%(dependencies)s

[project.optional-dependencies]
fast = ["numpy>=1.26; python_version >= '3.10'"]

[project.urls]
Homepage = "https://demo.example.org/"
Source = "https://git.example.org/demo"

[project.scripts]
demo = "demo.cli:main"
"""
DEFAULTS = {"version": 'version = "1.0"', "license": 'license = {text = "MIT"}', "dependencies":
            'dependencies = ["click>=8.1", "tomli>=2; python_version < \'3.11\'", "typing-extensions"]'}
BACKENDS = {
    "setuptools": ("setuptools.build_meta", '\n[tool.setuptools.package-data]\ndemo = ["py.typed", "data/*"]\n'),
    "hatchling": ("hatchling.build", '\n[tool.hatch.build.targets.wheel]\npackages = ["src/demo"]\n'),
    "flit_core": ("flit_core.buildapi", ""),
    "poetry-core": ("poetry.core.masonry.api", '\n[tool.poetry]\npackages = [{include = "demo", from = "src"}]\n'),
}
PROJECT = {
    "README.md": """\
# demo

Weighs words by a table.

    >>> from demo import weigh
    >>> weigh(["amber", "cedar"])

The table is in `demo/data/table.csv`; `demo FILE` prints the weight of a file's words.
""",
    "LICENSE": """\
MIT License

Copyright (c) 2023 Ada Example

Permission is hereby granted, free of charge, to any person obtaining a copy of this
software and associated documentation files (the "Software"), to deal in the Software
without restriction. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND.
""",
    "src/demo/__init__.py": '"""Weighs words by a table."""\nfrom .core import Table, weigh\n\n__all__ = ["Table", "weigh"]\n__version__ = "1.0"\n',
    "src/demo/core.py": '''\
"""The table of words and their weights."""
from __future__ import annotations

import csv
from collections import defaultdict
from importlib import resources
from typing import Iterable

LIMIT = 100
MISSING = 0.5


class Table:
    """Mean weights, by word."""

    def __init__(self, rows: Iterable[tuple[str, float]]) -> None:
        found: dict[str, list[float]] = defaultdict(list)
        for word, weight in rows:
            if weight <= LIMIT:
                found[word].append(weight)
        self.weights = {word: sum(ws) / len(ws) for word, ws in found.items()}

    @classmethod
    def load(cls) -> "Table":
        text = resources.files("demo").joinpath("data/table.csv").read_text(encoding="utf-8")
        return cls((row["word"], float(row["weight"])) for row in csv.DictReader(text.splitlines()))

    def __getitem__(self, word: str) -> float:
        return self.weights.get(word, MISSING)


def weigh(words: Iterable[str]) -> float:
    table = Table.load()
    return sum(table[word] for word in words)
''',
    "src/demo/cli.py": '''\
"""The command line."""
import sys

from .core import weigh
from .text import split


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: demo FILE", file=sys.stderr)
        return 2
    with open(sys.argv[1], encoding="utf-8") as f:
        total = weigh(split(f.read()))
    print(f"{total:.2f}")
    return 0
''',
    "src/demo/text.py": '''\
"""Words of a text."""
import re

WORD = re.compile(r"[^\\W\\d_]+")
TAB = "  "
STOP = ["and", "or", "the"]


def split(text: str) -> list[str]:
    """The words of a text, lower case, without stop words."""
    first = [w.lower() for w in WORD.findall(text)]
    return [w for w in first if w not in STOP]


def clean(text: str) -> str:
    text = text.strip()
    text = text.removesuffix(".")
    return text


def indent(text: str) -> str:
    return "".join(TAB + line for line in text.splitlines(True))
''',
    "src/demo/py.typed": "",
    "src/demo/data/table.csv": table(),
}


def project(backend="setuptools", files=PROJECT, tail="", **values):
    name, more = BACKENDS[backend]
    text = PYPROJECT % (DEFAULTS | {"requires": backend, "backend": name} | values) + more + tail
    return {"pyproject.toml": text} | files


def build(tool, files=None, packages=(), settings=None, root=SRC, prefix=(), py=PY, prepare=None, **env):
    """The wheel of a project by its backend's own hook, e.g. build("hatchling==1.27.0")."""
    backend = tool.partition("==")[0]
    write(fresh(root), files or project(backend))
    if prepare:
        prepare(root)
    code = f"from {BACKENDS[backend][0]} import build_wheel; build_wheel('../dist', {settings!r})"
    fresh(root.parent / "dist")
    path = os.pathsep.join(str(pip(p)) for p in (tool, *packages))
    run(*prefix, py, "-S", "-c", code, cwd=root, PYTHONPATH=path, **env)
    return next((root.parent / "dist").iterdir()).read_bytes()


SETUPTOOLS = "setuptools==80.9.0"
_base = {}


def base(rows=0):
    """The files of the base wheel, built by setuptools; with a longer table for encoders."""
    if not _base:
        _base.update(unpack(build(SETUPTOOLS)))
    return _base | ({"demo/data/table.csv": table(rows).encode()} if rows else {})


def with_file(name, a, b, files=None):
    """Two wheels that hold one file more, with other contents."""
    files = files or base()
    head = {n: d for n, d in files.items() if ".dist-info/" not in n}
    tail = {n: d for n, d in files.items() if ".dist-info/" in n}
    return head | {name: a} | tail, head | {name: b} | tail


def changed(name, *subs, files=None):
    """The base wheel, and it with text replaced in one file."""
    files = files or base()
    data = files[name]
    for old, new in subs:
        assert old.encode() in data, (name, old)
        data = data.replace(old.encode(), new.encode())
    return files, files | {name: data}


# ---- the container

@pair("source-date", "zipfile of Python 3.11: all entry times 2023-11-14 22:13:20 against 2024-02-02 08:00:00")
def _():
    return wheel(base()), wheel(base(), epoch=1706860800)


@pair("file-mtime", "zipfile of Python 3.11 on real files: times of a checkout, each file its own, against one time")
def _():
    files, r = seal(base()), random.Random(3)
    root = tree(files)
    one = zip_tree(root, files)
    for name in files:
        os.utime(root / name, (EPOCH - (when := r.randrange(40000000)), EPOCH - when))
    return zip_tree(root, files), one


@pair("file-mtime-gzip", "gzip 1.12: a packed data file holds its source's time", "file-mtime", "version-from-clock")
def _():
    def one(when):
        path = write(fresh(), {"table.csv": table(40)}) / "table.csv"
        os.utime(path, (when, when))
        run("gzip", "-9", path)
        return Path(f"{path}.gz").read_bytes()
    return with_file("demo/data/table.csv.gz", one(EPOCH - 86400 * 40), one(EPOCH))


@pair("time-zone", "zipfile of Python 3.11 on real files: built at UTC+2 against UTC")
def _():
    files = seal(base())
    root = tree(files)
    return zip_tree(root, files, "Etc/GMT-2"), zip_tree(root, files)


@pair("time-zone-half", "zipfile of Python 3.11 on real files: built in India, UTC+5:30, which goes into the next day, against UTC", "time-zone")
def _():
    files = seal(base())
    root = tree(files)
    return zip_tree(root, files, "IST-5:30"), zip_tree(root, files)


@pair("umask", "zipfile of Python 3.11 on real files: umask 002 against 022")
def _():
    files = seal(base())
    return zip_tree(tree(files, umask=0o002), files), zip_tree(tree(files), files)


@pair("umask-077", "zipfile of Python 3.11 on real files: umask 077 against 022", "umask")
def _():
    files = seal(base())
    return zip_tree(tree(files, umask=0o077), files), zip_tree(tree(files), files)


@pair("exec-bit", "zipfile of Python 3.11: demo/cli.py has mode 0755 against 0644")
def _():
    return wheel(base(), modes={"demo/cli.py": 0o755}), wheel(base())


@pair("entry-order", "zipfile of Python 3.11: the same entries in another order (neither sorted nor a directory's); RECORD as it was")
def _():
    files = seal(base())
    names = list(files)
    random.Random(5).shuffle(names)
    return pack({n: files[n] for n in names}), pack(files)


def walked(files, root, sort):
    """Files in the order in which directories list them, and RECORD so, too; dist-info comes last."""
    write(fresh(root), {n: d for n, d in files.items() if not n.endswith("/RECORD")})
    names = []
    for top, dirs, found in os.walk(root):
        if sort:
            dirs.sort(), found.sort()
        names += [os.path.relpath(os.path.join(top, f), root) for f in found]
    shutil.rmtree(root)
    return {n: files[n] for n in sorted(names, key=lambda n: n.startswith(DIST))}


@pair("readdir", "os.walk of Python 3.11 on tmpfs, as the directories list, against sorted; RECORD follows", also="entry-order,record-order")
def _():
    return walked(base(), Path("/dev/shm/planted"), False), walked(base(), SRC, True)


@pair("readdir-ext4", "os.walk of Python 3.11 on ext4 against sorted; RECORD follows", "readdir", "entry-order,record-order")
def _():
    return walked(base(), SRC, False), walked(base(), SRC, True)


@pair("readdir-both", "os.walk of Python 3.11 on ext4 against tmpfs; RECORD follows", "readdir", "entry-order,record-order")
def _():
    return walked(base(), SRC, False), walked(base(), Path("/dev/shm/planted"), False)


@pair("directory-entries", "zipfile of Python 3.11: entries for directories against none")
def _():
    return wheel(base(), dirs=True), wheel(base())


@pair("record-order", "zipfile of Python 3.11: lines of RECORD sorted against in the order of entries, which is equal")
def _():
    names = list(base())
    random.Random(5).shuffle(names)
    files = seal({n: base()[n] for n in names})
    record = b"".join(sorted(files[DIST + "RECORD"].splitlines(True)))
    return pack(files | {DIST + "RECORD": record}), pack(files)


@pair("line-endings", "by hand: CRLF in all .py files, as of a checkout on Windows, against LF")
def _():
    return {n: d.replace(b"\n", b"\r\n") if n.endswith(".py") else d for n, d in base().items()}, base()


@pair("deflate-encoder", "zipfile of Python 3.11: zlib level 9 against 6")
def _():
    return wheel(base(600), level=9), wheel(base(600))


def encoder(package, module, level=6):
    """The base wheel packed by zipfile with another module in zlib's place."""
    root = tree(seal(base(600)))
    code = f"""
import sys, json, zipfile, zlib, {module} as encoder
if {level} is None:  # zopfli is but a function; zlib's header and sum go
    zopfli, encoder = encoder.compress, zlib
    class Encoder:
        data = b""
        def compress(self, data): self.data += data; return b""
        def flush(self): return zopfli(self.data)[2:-4]
    zlib.compressobj = lambda *args: Encoder()
sys.path.insert(0, {str(OUT.parent)!r})
zipfile.zlib = encoder
from pathlib import Path
import planted
names = json.loads(sys.stdin.read())
sys.stdout.buffer.write(planted.pack({{n: (Path({str(root)!r}) / n).read_bytes() for n in names}}, level={level or 6}))
"""
    return run(PY, "-S", "-c", code, stdin=json.dumps(list(seal(base()))).encode(), PYTHONPATH=pip(package))


@pair("deflate-encoder-zlibng", "zipfile of Python 3.11: zlib-ng (zlib-ng 0.5.1, level 6) against zlib", "deflate-encoder")
def _():
    return encoder("zlib-ng==0.5.1", "zlib_ng.zlib_ng"), wheel(base(600))


@pair("deflate-encoder-isal", "zipfile of Python 3.11: ISA-L (isal 1.7.2, its level 2) against zlib level 6", "deflate-encoder")
def _():
    return encoder("isal==1.7.2", "isal.isal_zlib", 2), wheel(base(600))


@pair("deflate-encoder-zopfli", "zopfli 0.2.3 in headers as zipfile writes them, against zlib level 6", "deflate-encoder")
def _():
    return encoder("zopfli==0.2.3.post1", "zopfli.zlib", None), wheel(base(600))


GO = """package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"time"
)

// The names come on standard input; "raw" writes Go's deflate in headers as Python's.
func main() {
	z := zip.NewWriter(os.Stdout)
	names, _ := io.ReadAll(os.Stdin)
	for _, name := range strings.Fields(string(names)) {
		data, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(0o644)
		if os.Args[1] != "raw" {
			h.Modified = time.Unix(%d, 0).UTC()
			w, _ := z.CreateHeader(h)
			w.Write(data)
			continue
		}
		var b bytes.Buffer
		f, _ := flate.NewWriter(&b, flate.DefaultCompression)
		f.Write(data)
		f.Close()
		h.CRC32, h.UncompressedSize64, h.CompressedSize64 = crc32.ChecksumIEEE(data), uint64(len(data)), uint64(b.Len())
		h.CreatorVersion, h.ReaderVersion = 3<<8|20, 20
		h.ModifiedDate, h.ModifiedTime = %d, %d
		w, _ := z.CreateRaw(h)
		w.Write(b.Bytes())
	}
	z.Close()
}
"""


def golang(how):
    files = seal(base(600))
    root = tree(files)
    y, m, d, hh, mm, ss = time.gmtime(EPOCH)[:6]
    (root / "main.go").write_text(GO % (EPOCH, (y - 1980) << 9 | m << 5 | d, hh << 11 | mm << 5 | ss // 2))
    return run("go", "run", "main.go", how, cwd=root, stdin="\n".join(files).encode(), GOCACHE="/var/tmp/planted-go", GOFLAGS="-mod=mod")


@pair("deflate-encoder-go", "compress/flate of Go 1.26 in headers as zipfile writes them, against zlib level 6", "deflate-encoder")
def _():
    return golang("raw"), wheel(base(600))


@pair("zip-writer-go", "archive/zip of Go 1.26 (data descriptors, extended times, its own encoder) against zipfile", "zip-writer", "deflate-encoder")
def _():
    return golang("plain"), wheel(base(600))


def external(*args):
    """The wheel that a program packs; the names are on its standard input, and in ../names."""
    files = seal(base(600))
    root, names = tree(files), "\n".join(files).encode() + b"\n"
    write(root.parent, {"names": names})
    run(*args, cwd=root, stdin=names)
    return (root / "out.whl").read_bytes()


@pair("zip-writer", "Info-ZIP zip 3.0 (version 3.0, extra fields UT and ux, its own encoder) against zipfile", also="deflate-encoder")
def _():
    return external("zip", "-q", "-@", "out.whl"), wheel(base(600))


@pair("zip-writer-plain", "Info-ZIP zip 3.0 with -X, no extra fields, against zipfile", "zip-writer", "deflate-encoder")
def _():
    return external("zip", "-q", "-X", "-@", "out.whl"), wheel(base(600))


@pair("zip-writer-7z", "7-Zip 26.02 (its own order, times as NTFS extra field, its own encoder) against zipfile", "zip-writer", "deflate-encoder,entry-order,directory-entries,readdir")
def _():
    return external("7z", "a", "-tzip", "-bd", "out.whl", "@../names"), wheel(base(600))


@pair("zip-writer-stored", "zipfile of Python 3.11: entries stored against deflated", "zip-writer", "deflate-encoder")
def _():
    return wheel(base(), level=None), wheel(base())


# ---- metadata

@pair("generator-version", "setuptools 75.1.0 against 80.9.0 on one project (licence moves, Metadata-Version 2.1 to 2.4)", also="metadata-version,license-files,metadata-writer,entry-order,record-order")
def _():
    return build("setuptools==75.1.0"), build(SETUPTOOLS)


@pair("generator-version-near", "setuptools 80.8.0 against 80.9.0: only the Generator differs", "generator-version")
def _():
    return build("setuptools==80.8.0"), build(SETUPTOOLS)


@pair("generator-version-wheel", "setuptools 69.5.1 with wheel 0.43.0 against wheel 0.44.0", "generator-version", "metadata-writer")
def _():
    return tuple(build("setuptools==69.5.1", packages=[f"wheel=={v}"]) for v in ("0.43.0", "0.44.0"))


@pair("generator-version-hatchling", "hatchling 1.26.3 against 1.27.0 (Metadata-Version 2.3 to 2.4)", "generator-version", "metadata-version,license-files,metadata-writer")
def _():
    return build("hatchling==1.26.3"), build("hatchling==1.27.0")


def flit():
    return {n.replace("src/demo", "demo"): d for n, d in project("flit_core").items()}


@pair("generator-version-flit", "flit_core 3.9.0 against 3.12.0", "generator-version", "metadata-version,license-files,metadata-writer")
def _():
    return build("flit_core==3.9.0", flit()), build("flit_core==3.12.0", flit())


@pair("generator-version-poetry", "poetry-core 2.0.1 against 2.1.3", "generator-version", "metadata-version,license-files,metadata-writer")
def _():
    return build("poetry-core==2.0.1"), build("poetry-core==2.1.3")


@pair("generator-other", "hatchling 1.27.0 against setuptools 80.9.0: another backend", "generator-version", "metadata-version,license-files,metadata-writer,entry-order,record-order,directory-entries,deflate-encoder,extra-from-checkout")
def _():
    return build("hatchling==1.27.0"), build(SETUPTOOLS)


@pair("metadata-writer", "METADATA written by hatchling 1.27.0 against setuptools 80.9.0, for one project; by hand put into otherwise equal wheels")
def _():
    spdx = {"license": 'license = "MIT"\nlicense-files = ["LICENSE"]'}
    meta = [unpack(build(t, project(t.partition("==")[0], **spdx)))[DIST + "METADATA"] for t in ("hatchling==1.27.0", SETUPTOOLS)]
    return tuple(base() | {DIST + "METADATA": m} for m in meta)


@pair("metadata-version", "by hand: Metadata-Version 2.1 against 2.4, nothing else")
def _():
    return changed(DIST + "METADATA", ("Metadata-Version: 2.4", "Metadata-Version: 2.1"))[::-1]


@pair("license-files", "by hand: the licence in dist-info (as before PEP 639) against in dist-info/licenses")
def _():
    files = base()
    return {n.replace("licenses/LICENSE", "LICENSE"): d for n, d in files.items()}, files


@pair("another-release", "setuptools 80.9.0: version 1.1 of the project, with a changed module, against 1.0; the code stays unexplained", "another-release")
def _():
    a = project(version='version = "1.1"')
    name = next(n for n in a if n.endswith("core.py"))
    return build(SETUPTOOLS, a | {name: a[name] + "\n\ndef added():\n    return 1\n"}), build(SETUPTOOLS)


@pair("license-files-more", "setuptools 80.9.0: AUTHORS is taken for a licence file, against a tree without it", "license-files", "missing-from-sdist")
def _():
    return build(SETUPTOOLS, project() | {"AUTHORS": "Ada Example <ada@example.org>\n"}), build(SETUPTOOLS)


def git(root, *commits):
    """A repository with one commit after another: files, then a tag or ""."""
    who = {f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in
           {"NAME": "Ada Example", "EMAIL": "ada@example.org", "DATE": f"{EPOCH} +0000"}.items()}
    run("git", "init", "-q", "-b", "main", cwd=root)
    for files, tag in commits:
        write(root, files)
        run("git", "add", "-A", cwd=root)
        run("git", "commit", "-q", "-m", "change", cwd=root, **who)
        if tag:
            run("git", "tag", tag, cwd=root)


@pair("scm-version", "setuptools-scm 8.3.1 and setuptools 80.9.0: built at the tag v1.0 against one commit later (version and dist-info's name follow)", also="metadata-version")
def _():
    scm = project(version='dynamic = ["version"]', tail='\n[tool.setuptools_scm]\nversion_file = "src/demo/_version.py"\nversion_scheme = "no-guess-dev"\n')
    scm["src/demo/__init__.py"] = PROJECT["src/demo/__init__.py"].replace('__version__ = "1.0"', "from ._version import __version__")
    scm[".gitignore"] = "_version.py\n*.egg-info/\nbuild/\n"
    later = ({".github/dependabot.yml": "version: 2\n"}, "")
    return tuple(build(SETUPTOOLS, scm, packages=["setuptools-scm==8.3.1"], prepare=lambda r: git(r, ({}, "v1.0"), *more))
                 for more in ((), (later,)))


CLOCK = "from setuptools import setup\nimport time\nsetup(version=time.strftime('1.0.%Y%m%d'))\n"


@pair("version-from-clock", "setuptools 80.9.0: setup.py makes the version of the day, 1.0.20251123 against 1.0.20260114 (faketime 0.9.10)", also="scm-version")
def _():
    files = project(version='dynamic = ["version"]') | {"setup.py": CLOCK}
    return tuple(build(SETUPTOOLS, files, prefix=("faketime", day)) for day in ("2025-11-23 12:00:00", "2026-01-14 12:00:00"))


@pair("version-from-clock-build", "a script of the build writes the time into _build.py (Python 3.11, faketime 0.9.10)", "version-from-clock", "scm-version,source-date")
def _():
    code = "import datetime; print(f'BUILD_TIME = \"{datetime.datetime.utcnow().isoformat()}\"\\nBUILD_NUMBER = {datetime.date.today():%Y%m%d}')"
    a, b = (python(code, "faketime", "-f", day) for day in ("2025-11-23 12:00:00.25", "2026-01-14 07:31:09.5"))
    return with_file("demo/_build.py", a, b)


@pair("metadata-requires", "setuptools 80.9.0: a requirement was raised, click>=8.1 against click>=8.2")
def _():
    return build(SETUPTOOLS), build(SETUPTOOLS, project(dependencies=DEFAULTS["dependencies"].replace("8.1", "8.2")))


@pair("metadata-description", "setuptools 80.9.0: README.md changed by one line")
def _():
    more = {"README.md": PROJECT["README.md"] + "\nRead the documentation at https://demo.example.org/docs/.\n"}
    return build(SETUPTOOLS, project() | more), build(SETUPTOOLS)


@pair("python-tag", "setuptools 80.9.0: --python-tag py2.py3 against py3", also="metadata-writer")
def _():
    return build(SETUPTOOLS, settings={"--build-option": ["--python-tag", "py2.py3"]}), build(SETUPTOOLS)


# ---- generated text

@pair("missing-from-sdist", "setuptools 80.9.0: data files were in the publisher's tree, and are not in the sdist")
def _():
    more = {"src/demo/data/units.json": '{"g": 1, "kg": 1000}\n', "src/demo/data/de/table.csv": table(20), "src/demo/data/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>\n"}
    files = project(tail='"demo.data" = ["*"]\n"demo.data.de" = ["*"]\n')
    return build(SETUPTOOLS, files | more), build(SETUPTOOLS, files)


@pair("extra-from-checkout", "by hand: stray files of a checkout in the published wheel", also="missing-from-sdist,pyc")
def _():
    stray = {"demo/.gitignore": "*.pyc\n", "demo/.DS_Store": b"\0\0\0\1Bud1\0\0\x10\0" + bytes(400), "demo/core.py.orig": PROJECT["src/demo/core.py"].replace("100", "99"),
             "demo/__pycache__/text.cpython-311.pyc": compiled(PROJECT["src/demo/text.py"]), ".github/workflows/ci.yml": "on: push\njobs: {}\n",
             "tests/test_core.py": "from demo import weigh\n\n\ndef test_weigh():\n    assert weigh([]) == 0\n"}
    return stray | base(), base()


@pair("extra-from-checkout-tests", "hatchling 1.27.0: a checkout's tests and CI files are packed, against the sdist without them", "extra-from-checkout", "missing-from-sdist")
def _():
    files = project("hatchling", tail="\n[tool.hatch.build.targets.wheel.force-include]\n\"tests\" = \"tests\"\n\".github\" = \".github\"\n")
    stray = {"tests/test_core.py": "from demo import weigh\n\n\ndef test_weigh():\n    assert weigh([]) == 0\n", "tests/__init__.py": "", ".github/workflows/ci.yml": "on: push\njobs: {}\n"}
    return build("hatchling==1.27.0", files | stray), build("hatchling==1.27.0")


def compiled(text, py=PY, mtime=EPOCH, path="demo/text.py", root=SRC, **env):
    """Byte code by the real py_compile, with the source's time in its header."""
    write(fresh(root), {path: text})
    os.utime(root / path, (mtime, mtime))
    run(py, "-c", f"import py_compile as p; p.compile({path!r}, 'out.pyc', doraise=True, invalidation_mode=p.PycInvalidationMode.TIMESTAMP)", cwd=root, **env)
    return (root / "out.pyc").read_bytes()


@pair("pyc", "py_compile of Python 3.11.2: the source's time in the header of byte code differs")
def _():
    text = PROJECT["src/demo/text.py"]
    return with_file("demo/__pycache__/text.cpython-311.pyc", compiled(text), compiled(text, mtime=EPOCH + 86500))


@pair("build-path-pyc", "py_compile of Python 3.11.2: the source's path in byte code, /tmp/build-abc/src against /build/src", "build-path", "pyc")
def _():
    text, (a, b) = PROJECT["src/demo/text.py"], (Path("/tmp/build-abc/src"), SRC)
    return with_file("demo/__pycache__/text.cpython-311.pyc", *(compiled(text, path=f"{r}/demo/text.py", root=r) for r in (a, b)))


FEATURES = "names = {'avx', 'csv', 'json', 'locale', 'mmap', 'sqlite', 'threads', 'zlib'}\n"


@pair("hash-seed", "a script of the build writes a set's repr (Python 3.11, PYTHONHASHSEED 1 against 2)")
def _():
    code = FEATURES + "print('# generated\\nFEATURES =', names)"
    return with_file("demo/_features.py", *(python(code, PYTHONHASHSEED=s) for s in (1, 2)))


@pair("hash-seed-lines", "a script of the build writes lines in a set's order (Python 3.11, PYTHONHASHSEED 1 against 2)", "hash-seed")
def _():
    code = FEATURES + "print('# generated\\nFEATURES = {')\nfor n in names: print(f'    {n!r}: True,')\nprint('}')"
    return with_file("demo/_features.py", *(python(code, PYTHONHASHSEED=s) for s in (1, 2)))


@pair("hash-seed-pyc", "py_compile of Python 3.10.13: a frozenset among the constants of byte code (PYTHONHASHSEED 1 against 2)", "hash-seed", "pyc")
def _():
    text = "def known(word):\n    return word in {'amber', 'birch', 'cedar', 'delta', 'ember', 'fjord'}\n"
    return with_file("demo/__pycache__/text.cpython-310.pyc", *(compiled(text, PYTHONS / "3.10.13/bin/python", PYTHONHASHSEED=s) for s in (1, 2)), base() | {"demo/text.py": text})


@pair("hash-seed-requires", "setuptools 80.9.0: setup.py takes requirements out of a set (Python 3.11, PYTHONHASHSEED 1 against 2)", "hash-seed", "metadata-writer")
def _():
    files = project(dependencies='dynamic = ["dependencies"]') | {"setup.py": "from setuptools import setup\nsetup(install_requires=list({'click>=8.1', 'attrs', 'tomli>=2', 'typing-extensions', 'rich'}))\n"}
    return tuple(build(SETUPTOOLS, files, PYTHONHASHSEED=s) for s in (1, 2))


def locales():
    """Real locales, compiled from Debian's sources."""
    root = TOOLS / "locales"
    root.mkdir(parents=True, exist_ok=True)
    for name in ("en_US", "de_DE"):
        if not (root / f"{name}.UTF-8").exists():
            subprocess.run(["localedef", "-i", name, "-f", "UTF-8", root / f"{name}.UTF-8"], check=True)
    return root


@pair("locale", "sort of coreutils 9.1 under LC_ALL=en_US.UTF-8 against C, into a generated list")
def _():
    names = "\n".join("README Zone alpha Beta _gamma data-1 data_2 dataA delta Émile eta Table table.csv".split()).encode()
    return with_file("demo/data/names.txt", *(run("sort", stdin=names, LOCPATH=locales(), LC_ALL=l) for l in ("en_US.UTF-8", "C")))


@pair("locale-month", "a script of the build writes a month's name and a number by locale (Python 3.11, de_DE.UTF-8 against C)", "locale")
def _():
    code = ("import locale, time; locale.setlocale(locale.LC_ALL, '')\n"
            "print(f'RELEASED = \"{time.strftime(\"%A, %d %B %Y\", time.gmtime(1709500000))}\"')\nprint('SIZE = \"' + locale.format_string('%.2f', 1234.5) + ' kB\"')")
    return with_file("demo/_build.py", *(python(code, LOCPATH=locales(), LC_ALL=l) for l in ("de_DE.UTF-8", "C")))


@pair("hostname", "a script of the build writes host and user (Python 3.11; unshare --uts with hostname runner-7 against build-host-2)")
def _():
    code = "import getpass, platform; print(f'BUILT_ON = \"{platform.node()}\"\\nBUILT_BY = \"{getpass.getuser()}@{platform.node()}\"')"
    return with_file("demo/_build_info.py", *(python(code, "unshare", "--uts", "sh", "-c", f'hostname {h}; exec "$@"', "sh", LOGNAME=u)
                                              for h, u in (("runner-7", "runner"), ("build-host-2", "ada"))))


@pair("random", "a script of the build writes a uuid4 and random hex digits; by hand, as fixed random numbers")
def _():
    def text(seed):
        r = random.Random(seed)
        return f'BUILD_ID = "{uuid.UUID(int=r.getrandbits(128), version=4)}"\nSALT = "{r.randbytes(16).hex()}"\n'
    return with_file("demo/_build_id.py", text(1), text(2))


@pair("random-tempfile", "the name of a temporary directory, as tempfile of Python 3.11 makes it, in a generated file; by hand, as fixed names", "random", "build-path")
def _():
    return with_file("demo/_grammar.py", *(f'# generated from /tmp/{n}/demo.gram\nTOKENS = ["NAME", "NUMBER", "STRING"]\n' for n in ("tmp1x_k2v9q", "tmpz07wjb4e")))


@pair("build-path", "setuptools 80.9.0: setup.py writes its folder into config.py, /tmp/build-abc/src against /build/src")
def _():
    files = project() | {"setup.py": "import os\nfrom setuptools import setup\nwith open('src/demo/config.py', 'w') as f:\n    f.write(f'PREFIX = {os.getcwd()!r}\\nDATA = {os.getcwd() + \"/data\"!r}\\nDEBUG = False\\n')\nsetup()\n"}
    return tuple(build(SETUPTOOLS, files, root=r) for r in (Path("/tmp/build-abc/src"), SRC))


@pair("cpu", "a script of the build writes the number of CPUs; by hand: 8 against 2")
def _():
    return with_file("demo/_config.py", *(f"# generated by setup.py\nMAX_WORKERS = {n}\nBUILD_JOBS = {n + 1}\n" for n in (8, 2)))


@pair("cpu-features", "a script of the build writes the CPU's features; by hand: a machine with AVX-512 against one without", "cpu")
def _():
    common = ["sse", "sse2", "sse3", "ssse3", "sse4_1", "sse4_2", "popcnt", "f16c", "fma", "avx", "avx2"]
    return with_file("demo/_cpu.py", *(f"CPU_FEATURES = {common + more!r}\n" for more in (["avx512f", "avx512bw", "avx512vl"], [])))


@pair("python-version", "a script of the build writes sys.version and pip's name (Python 3.11.7 against 3.12.1)", also="compiler,version-from-clock")
def _():
    code = "import sys; print(f'BUILT_WITH = {sys.version!r}\\nPIP = \"pip{sys.version_info[0]}.{sys.version_info[1]}\"')"
    return with_file("demo/_config.py", *(python(code, py=p) for p in (PY311, PY312)))


@pair("pyc-magic", "py_compile of Python 3.11.7 against 3.12.1: byte code of another magic number, at one name", "python-version", "pyc")
def _():
    return with_file("demo/_text.pyc", *(compiled(PROJECT["src/demo/text.py"], py=p) for p in (PY311, PY312)))


@pair("pyc-cache", "py_compile of Python 3.11.7 against 3.12.1: __pycache__ names the version", "python-version", "pyc,missing-from-sdist,extra-from-checkout")
def _():
    text, cache = PROJECT["src/demo/text.py"], "demo/__pycache__/text.cpython-%s.pyc"
    return (with_file(cache % v, data := compiled(text, py=p), data)[0] for v, p in (("311", PY311), ("312", PY312)))


def sbom(serial, when):
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1,
                       "metadata": {"timestamp": when, "component": {"type": "library", "name": "demo", "version": "1.0", "bom-ref": "demo@1.0"}},
                       "components": [{"type": "library", "name": "foo", "version": "1.2.0", "bom-ref": "foo@1.2.0"}]}, indent=2) + "\n"


@pair("sbom", "CycloneDX 1.6 in dist-info/sboms: other serialNumber and timestamp; by hand", also="random,version-from-clock")
def _():
    return with_file(DIST + "sboms/demo.cdx.json", sbom("3e671687-395b-41f5-a30f-a58921a69b79", "2025-11-23T12:00:00Z"), sbom("c0ffee00-8a1f-4c52-9d3e-0f5a6b7c8d9e", "2026-01-14T07:31:09Z"))


# ---- no cause

@pair("none-code", "by hand: one changed line of code in core.py", "-")
def _():
    return changed("demo/core.py", ("if weight <= LIMIT:", "if weight < LIMIT:"))


@pair("none-swapped", "by hand: two lines of code change places; same lines, another meaning", "-")
def _():
    return changed("demo/text.py", ('    text = text.strip()\n    text = text.removesuffix(".")\n', '    text = text.removesuffix(".")\n    text = text.strip()\n'))


@pair("none-number", "by hand: a number of the code changes", "-")
def _():
    return changed("demo/core.py", ("MISSING = 0.5", "MISSING = 0.25"))


@pair("none-behind-path", "by hand: a generated file holds the path of the build, and a line of code differs, too", "-", "build-path")
def _():
    return with_file("demo/config.py", "PREFIX = '/tmp/build-abc/src'\nTIMEOUT = 30\nVERIFY = True\n", "PREFIX = '/build/src'\nTIMEOUT = 30\nVERIFY = False\n")


@pair("none-tmp", "by hand: a line of code that names /tmp changes, the path doesn't", "-")
def _():
    return with_file("demo/lock.py", *(f'def lock():\n    return open("/tmp/demo.lock"{mode})\n' for mode in ("", ', "w"')))


@pair("none-entry-point", "by hand: entry_points.txt names another function", "-")
def _():
    return changed(DIST + "entry_points.txt", ("demo.cli:main", "demo.cli:run"))


@pair("none-pyc", "py_compile of Python 3.11.2: byte code of another source, with the shipped source's time and size in its header", "-", "pyc")
def _():
    text = PROJECT["src/demo/text.py"]
    other = text.replace('"the"]', '"for"]')
    return with_file("demo/__pycache__/text.cpython-311.pyc", compiled(text), compiled(other))


@pair("none-version-line", "by hand: _version.py holds the same version, and a line of code more", "-", "scm-version")
def _():
    text = "__version__ = version = '1.0'\n__version_tuple__ = version_tuple = (1, 0)\n"
    return with_file("demo/_version.py", text + "import os; os.environ.setdefault('DEMO', version)\n", text)


@pair("none-sbom", "CycloneDX 1.6 in dist-info/sboms: timestamps differ, and the version of a component, too; by hand", "-", "sbom")
def _():
    a, b = (sbom("3e671687-395b-41f5-a30f-a58921a69b79", t) for t in ("2025-11-23T12:00:00Z", "2026-01-14T07:31:09Z"))
    return with_file(DIST + "sboms/demo.cdx.json", a, b.replace("1.2.0", "1.3.0"))


@pair("none-behind-crlf", "by hand: CRLF in all .py files against LF, and a line of core.py differs, too", "-", "line-endings")
def _():
    a, b = changed("demo/core.py", ("LIMIT = 100", "LIMIT = 1000"))
    return {n: d.replace(b"\n", b"\r\n") if n.endswith(".py") else d for n, d in a.items()}, b


@pair("none-behind-set", "a script of the build writes lines in a set's order (Python 3.11, PYTHONHASHSEED 1 against 2), and one has another value", "-", "hash-seed")
def _():
    code = FEATURES + "print('# generated\\nFEATURES = {')\nfor n in names: print(f'    {n!r}: True,')\nprint('}')"
    return with_file("demo/_features.py", python(code, PYTHONHASHSEED=1), python(code, PYTHONHASHSEED=2).replace(b"'avx': True", b"'avx': False"))


@pair("none-data", "by hand: one number of a data file differs", "-")
def _():
    files = base()
    lines = files["demo/data/table.csv"].split(b"\n")
    lines[40] = lines[40].rpartition(b",")[0] + b",12.34"
    return files, files | {"demo/data/table.csv": b"\n".join(lines)}


# ---- native code

LIB = r"""
#include <stddef.h>
#include <string.h>

#ifndef SEED
#define SEED 5381u
#endif

static const char *const names[] = {"amber", "birch", "cedar", "delta", "ember", "fjord"};

/* The hash of a word. */
unsigned demo_hash(const char *word, size_t n)
{
	unsigned h = SEED;
	for (size_t i = 0; i < n; i++)
		h = h * 33u ^ (unsigned char)word[i];
	return h;
}

/* Where a word stands in the table, or -1. */
int demo_find(const char *word)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], word) == 0)
			return (int)i;
	return -1;
}

/* The weighed sum of two rows. */
double demo_sum(const double *a, const double *w, size_t n)
{
	double s = 0;
	for (size_t i = 0; i < n; i++)
		s += a[i] * w[i];
	return s;
}

void demo_scale(float *restrict a, const float *restrict b, float f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		a[i] = a[i] * f + b[i];
}

void demo_copy(char *to, const char *from, size_t n)
{
	char buffer[256];
	memcpy(buffer, from, n < sizeof buffer ? n : sizeof buffer);
	memcpy(to, buffer, n < sizeof buffer ? n : sizeof buffer);
}
#ifdef EXTRA
EXTRA
#endif
"""
EXT = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
""" + LIB + r"""
static PyObject *fast_hash(PyObject *self, PyObject *args)
{
	const char *word;
	Py_ssize_t n;
	if (!PyArg_ParseTuple(args, "s#", &word, &n))
		return NULL;
	return PyLong_FromUnsignedLong(demo_hash(word, (size_t)n));
}

static PyObject *fast_find(PyObject *self, PyObject *args)
{
	const char *word;
	if (!PyArg_ParseTuple(args, "s", &word))
		return NULL;
	return PyLong_FromLong(demo_find(word));
}

static PyMethodDef methods[] = {
	{"hash", fast_hash, METH_VARARGS, "The hash of a word."},
	{"find", fast_find, METH_VARARGS, "Where a word stands."},
	{NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", "Fast words.", -1, methods};

PyMODINIT_FUNC PyInit__fast(void)
{
	return PyModule_Create(&module);
}
"""
INCLUDE = "-I/usr/include/python3.11"
NAME = "demo/_fast.cpython-311-x86_64-linux-gnu.so"
LINUX = "cp311-cp311-linux_x86_64"


def native(data, name=NAME, tag=LINUX, more={}):
    """The base wheel with a native file, tagged for a platform."""
    text = base()[DIST + "WHEEL"].replace(b"Purelib: true", b"Purelib: false").replace(b"py3-none-any", tag.encode())
    return with_file(name, data, data, base() | {DIST + "WHEEL": text} | more)[0]


def shared(source, *flags, cc="gcc-12", link=(), root=SRC, absolute=False, **env):
    """A shared library: compiled to an object, then linked, both in root."""
    write(fresh(root), {"src/fast.c": source})
    run(*cc.split(), "-fPIC", "-O2", *flags, "-c", root / "src/fast.c" if absolute else "src/fast.c", "-o", "fast.o", cwd=root, **env)
    run(*cc.split(), "-shared", *(f for f in flags if f.startswith(("-flto", "-O", "-m"))), "fast.o", "-o", "fast.so", "-Wl,--build-id=none", *link, cwd=root, **env)
    return (root / "fast.so").read_bytes()


def after(data, *args):
    """A file after a program has changed it in place."""
    path = write(fresh(), {"fast.so": data}) / "fast.so"
    run(*args, path)
    return path.read_bytes()


def natives(a, b, **how):
    return native(a, **how), native(b, **how)


ABC = Path("/tmp/build-abc/src")
SHA1 = ("-Wl,--build-id=sha1",)
HERE = r'-DEXTRA=const char *demo_where(void) { return __FILE__ ": no such word"; }'
G11, G12, CLANG = "gcc-11 11.3.0", "gcc-12 12.2.0", "clang 14.0.6"


@pair("build-path-dwarf", f"{G12} -g -O2 at /tmp/build-abc/src against /build/src: path in DWARF; the build id follows", "build-path", "build-id")
def _():
    return natives(*(shared(LIB, "-g", link=SHA1, root=r) for r in (ABC, SRC)))


@pair("build-path-dwarf-absolute", f"{G12} -g -O2 with absolute file names, at /tmp/build-abc/src against /tmp/build-xyz/src (equal lengths), no build id", "build-path")
def _():
    return natives(*(shared(LIB, "-g", root=r, absolute=True) for r in (ABC, Path("/tmp/build-xyz/src"))))


@pair("build-path-dwarf-compressed", f"{G12} -g -gz -O2 at /tmp/build-abc/src against /build/src: path in compressed DWARF", "build-path")
def _():
    return natives(*(shared(LIB, "-g", "-gz", link=("-Wl,--compress-debug-sections=zlib",), root=r) for r in (ABC, SRC)))


@pair("build-path-assert", f"{G12} -O2, __FILE__ in .rodata, /tmp/build-abc/src against /build/src: strings of other lengths move what follows", "build-path")
def _():
    return natives(*(shared(EXT, INCLUDE, HERE, root=r, absolute=True) for r in (ABC, SRC)))


@pair("build-path-assert-same", f"{G12} -O2, __FILE__ in .rodata, /tmp/build-abc/src against /tmp/build-xyz/src: equal lengths; the build id follows", "build-path", "build-id")
def _():
    return natives(*(shared(EXT, INCLUDE, HERE, root=r, absolute=True, link=SHA1) for r in (ABC, Path("/tmp/build-xyz/src"))))


@pair("build-path-rpath", f"{G12}: RUNPATH /tmp/build-abc/src/lib against /build/src/lib", "build-path", "link-target")
def _():
    return natives(*(shared(EXT, INCLUDE, link=[f"-Wl,-rpath,{r}/lib"]) for r in (ABC, SRC)))


@pair("date-macro", f"{G12} -O2, __DATE__ and __TIME__ by SOURCE_DATE_EPOCH of the compiler, no DWARF", also="version-from-clock,source-date")
def _():
    flag = r'-DEXTRA=const char *demo_built(void) { return "built " __DATE__ " at " __TIME__; }'
    return natives(*(shared(EXT, INCLUDE, flag, SOURCE_DATE_EPOCH=e) for e in (1763899200, 1768375869)))


@pair("build-id", f"{G12} and ld.bfd 2.40: --build-id of 20 given bytes, nothing else")
def _():
    return natives(*(shared(EXT, INCLUDE, link=[f"-Wl,--build-id=0x{hashlib.sha1(s).hexdigest()}"]) for s in (b"a", b"b")))


@pair("build-id-none", f"{G12} and ld.bfd 2.40: --build-id=sha1 against none; addresses move", "build-id", "compiler-flags,linker")
def _():
    return natives(shared(EXT, INCLUDE, link=SHA1), shared(EXT, INCLUDE))


@pair("compiler", f"{G11} against {G12}, -O2", also="compiler-flags")
def _():
    return natives(*(shared(EXT, INCLUDE, cc=cc) for cc in ("gcc-11", "gcc-12")))


@pair("compiler-clang", f"{CLANG} against {G12}, -O2", "compiler", "compiler-flags")
def _():
    return natives(*(shared(EXT, INCLUDE, cc=cc) for cc in ("clang", "gcc-12")))


@pair("compiler-stripped", f"{G11} against {G12}, -O3, stripped: .comment tells", "compiler", "compiler-flags")
def _():
    return natives(*(after(shared(EXT, INCLUDE, "-O3", cc=cc), "strip") for cc in ("gcc-11", "gcc-12")))


@pair("compiler-comment", f"{G11} against {G12}: a library of equal code, only .comment differs", "compiler")
def _():
    return natives(*(shared("int demo_one(int x) { return x + 1; }\n", cc=cc) for cc in ("gcc-11", "gcc-12")))


@pair("compiler-dwarf", f"{G11} against {G12}, -g -O2: DW_AT_producer tells", "compiler", "compiler-flags")
def _():
    return natives(*(shared(LIB, "-g", cc=cc) for cc in ("gcc-11", "gcc-12")))


@pair("linker", f"{G12} with ld.gold 1.16 against ld.bfd 2.40", also="compiler,compiler-flags")
def _():
    return natives(*(shared(EXT, INCLUDE, link=[f"-fuse-ld={l}"]) for l in ("gold", "bfd")))


@pair("linker-lld", f"{G12} with ld.lld 14.0.6 against ld.bfd 2.40", "linker", "compiler,compiler-flags")
def _():
    return natives(*(shared(EXT, INCLUDE, link=[f"-fuse-ld={l}"]) for l in ("lld", "bfd")))


@pair("compiler-flags", f"{G12} -g: -O3 against -O2; DW_AT_producer shows it")
def _():
    return natives(*(shared(LIB, "-g", o) for o in ("-O3", "-O2")))


@pair("compiler-flags-plain", f"{G12} -O3 against -O2 without -g: nothing but code shows it", "compiler-flags", "compiler")
def _():
    return natives(*(shared(EXT, INCLUDE, o) for o in ("-O3", "-O2")))


@pair("compiler-flags-march", f"{G12} -g -O3 -march=haswell against -O3", "compiler-flags", "cpu")
def _():
    return natives(*(shared(LIB, "-g", "-O3", *m) for m in (["-march=haswell"], [])))


@pair("compiler-flags-lto", f"{G12} -O2 -flto against -O2", "compiler-flags", "compiler,strip")
def _():
    return natives(after(shared(EXT, INCLUDE, "-flto", "-frandom-seed=1"), "strip"), after(shared(EXT, INCLUDE, "-frandom-seed=1"), "strip"))


@pair("compiler-flags-hardening", f"{G12} -O2 -fstack-protector-all -D_FORTIFY_SOURCE=2 against -O2: __stack_chk_fail is imported", "compiler-flags", "link-target")
def _():
    return natives(*(shared(EXT, INCLUDE, *f) for f in (["-fstack-protector-all", "-D_FORTIFY_SOURCE=2"], [])))


@pair("compiler-flags-relro", f"{G12} and ld.bfd 2.40: -z now -z relro against the default (lazy binding)", "compiler-flags", "linker,link-target")
def _():
    return natives(*(shared(EXT, INCLUDE, link=l) for l in (["-Wl,-z,now", "-Wl,-z,relro"], [])))


@pair("compiler-flags-recorded", f"{G12} -frecord-gcc-switches: -fno-strict-aliasing against without, which changes no code; .GCC.command.line shows it", "compiler-flags")
def _():
    return natives(*(shared(EXT, INCLUDE, "-frecord-gcc-switches", *f) for f in (["-fno-strict-aliasing"], [])))


@pair("cpu-native", f"{G12} -g -O3 with -march=skylake-avx512 against -march=haswell, as -march=native does on two machines", "compiler-flags", "cpu")
def _():
    return natives(*(shared(LIB, "-g", "-O3", f"-march={m}") for m in ("skylake-avx512", "haswell")))


def foo(version, root, code="return 1;", *flags, soname=None):
    """libfoo, built into root/lib."""
    write(root, {"foo.c": f"int foo_version(void) {{ {code} }}\n"})
    (root / "lib").mkdir(exist_ok=True)
    soname = soname or f"libfoo.so.{version.partition('.')[0]}"
    run("gcc-12", "-O2", *flags, "-shared", "-fPIC", "-Wl,--build-id=none", f"-Wl,-soname,{soname}", "foo.c", "-o", f"lib/{soname}", cwd=root)
    if not (root / "lib/libfoo.so").exists():
        (root / "lib/libfoo.so").symlink_to(soname)


FOO = "-DEXTRA=extern int foo_version(void); int demo_foo(void) { return foo_version(); }"


@pair("link-target", f"{G12}: linked with libm.so.6, though it isn't used, against without")
def _():
    return natives(*(shared(EXT, INCLUDE, link=["-Wl,--no-as-needed", *l]) for l in (["-lm"], [])))


@pair("link-target-soname", f"{G12}: linked with libfoo.so.1 against libfoo.so.2 of the build machine", "link-target")
def _():
    def one(version):
        shutil.rmtree(lib := SRC.parent / "foo", ignore_errors=True)
        foo(version, write(lib, {"foo.c": ""}))
        return shared(EXT, INCLUDE, FOO, link=[f"-L{lib}/lib", "-lfoo"])
    return natives(one("1.0"), one("2.0"))


@pair("link-target-symbol", f"{G12}: memcpy@GLIBC_2.2.5 against memcpy@GLIBC_2.14, as on an older and a newer system", "link-target")
def _():
    return natives(*(shared(f'__asm__(".symver memcpy,memcpy@GLIBC_{v}");\n' + EXT, INCLUDE, "-fno-builtin") for v in ("2.2.5", "2.14")))


def repaired(code, *flags):
    """A wheel after the real auditwheel, which takes libfoo in and names it by its hash."""
    lib = fresh(SRC.parent / "foo")
    foo("1.0", lib, code, *flags)
    so = shared(EXT, INCLUDE, FOO, link=[f"-L{lib}/lib", "-lfoo"])
    write(fresh(SRC.parent / "dist"), {"demo-1.0-cp311-cp311-linux_x86_64.whl": wheel(native(so))})
    audit = pip("auditwheel==6.4.2", "pyelftools==0.32", "packaging==25.0")
    run(PY, "-S", "-m", "auditwheel", "repair", "-w", "../out", "demo-1.0-cp311-cp311-linux_x86_64.whl", cwd=SRC.parent / "dist",
        PYTHONPATH=audit, LD_LIBRARY_PATH=lib / "lib")
    made = sorted((SRC.parent / "out").iterdir())
    data = made[0].read_bytes()
    shutil.rmtree(SRC.parent / "out")
    return data


@pair("vendored-library", "auditwheel 6.4.2 with patchelf 0.14.3: libfoo of another version, so demo.libs/libfoo-HASH.so.1 and the NEEDED entry have other names", also="sbom,build-id,link-target")
def _():
    return repaired("return 1;"), repaired("return 2;")


@pair("vendored-library-build", f"auditwheel 6.4.2 with patchelf 0.14.3: libfoo of the same source with debug information against without ({G12})", "vendored-library", "sbom,debug,strip,build-path,link-target")
def _():
    return repaired("return 1;", "-g"), repaired("return 1;")


@pair("strip", f"{G12}: not stripped against stripped by strip 2.40 (.symtab, .strtab)")
def _():
    so = shared(EXT, INCLUDE)
    return natives(so, after(so, "strip"))


@pair("debug", f"{G12} -O2 with -g against without: debug sections, the code is equal", also="strip,compiler-flags")
def _():
    return natives(shared(LIB, "-g"), shared(LIB))


@pair("debug-strip", f"{G12} -g: debug sections and symbols against strip 2.40 -g (symbols stay)", "debug", "strip")
def _():
    so = shared(LIB, "-g")
    return natives(so, after(so, "strip", "-g"))


@pair("debug-link", f"{G12}: stripped, with .gnu_debuglink to a debug file, against stripped without", "debug", "strip")
def _():
    so = shared(LIB, "-g")
    def linked():
        root = write(fresh(), {"fast.so": so})
        run("objcopy", "--only-keep-debug", "fast.so", "fast.debug", cwd=root)
        run("strip", "fast.so", cwd=root)
        run("objcopy", "--add-gnu-debuglink=fast.debug", "fast.so", cwd=root)
        return (root / "fast.so").read_bytes()
    return natives(linked(), after(so, "strip"))


@pair("python-version-ext", f"{G12} with the headers of Python 3.11 against 3.12: names and tags follow", "python-version", "python-tag,missing-from-sdist,extra-from-checkout")
def _():
    def one(v, include):
        return native(shared(EXT, f"-I{include}"), NAME.replace("311", v), LINUX.replace("311", v))
    return one("311", PYTHONS / "3.11.7/include/python3.11"), one("312", PYTHONS / "3.12.1/include/python3.12")


NUMPY = r"""
#define PY_SSIZE_T_CLEAN
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>
static PyObject *total(PyObject *self, PyObject *arg)
{
	PyArrayObject *a = (PyArrayObject *)PyArray_FROM_OTF(arg, NPY_DOUBLE, NPY_ARRAY_IN_ARRAY);
	double s = 0;
	if (!a)
		return NULL;
	for (npy_intp i = 0; i < PyArray_SIZE(a); i++)
		s += ((double *)PyArray_DATA(a))[i];
	Py_DECREF(a);
	return PyFloat_FromDouble(s);
}
static PyMethodDef methods[] = {{"total", total, METH_O, "The sum."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", "Fast sums.", -1, methods};
PyMODINIT_FUNC PyInit__fast(void)
{
	import_array();
	return PyModule_Create(&module);
}
"""


@pair("numpy-version", f"{G12} with the headers of numpy 1.26.4 against 2.2.6, stripped", also="compiler,compiler-flags")
def _():
    def one(version, where):
        return after(shared(NUMPY, f"-I{pip(f'numpy=={version}')}/numpy/{where}/include", INCLUDE), "strip")
    return natives(one("1.26.4", "core"), one("2.2.6", "_core"))


@pair("numpy-version-config", "a script of the build writes numpy's version into __config__.py (numpy 1.26.4 against 2.2.6)", "numpy-version")
def _():
    code = "import numpy; print(f'# built against numpy\\nNUMPY_BUILD_VERSION = \"{numpy.__version__}\"')"
    return with_file("demo/__config__.py", *(python(code, PYTHONPATH=pip(f"numpy=={v}")) for v in ("1.26.4", "2.2.6")))


PYX = "def weigh(double a, double b):\n    return a * b\n"


def cython(version):
    """The C code of a module by the real Cython."""
    root = write(fresh(), {"demo/__init__.py": "", "demo/_fast.pyx": PYX})
    run(PY, "-S", "-m", "cython", "-3", "demo/_fast.pyx", "-o", "_fast.c", cwd=root, PYTHONPATH=pip(f"cython=={version}"))
    return (root / "_fast.c").read_text()


@pair("cython-version", f"Cython 3.0.12 against 3.1.3, compiled by {G12} -O1, stripped", also="compiler-flags,compiler")
def _():
    return natives(*(after(shared(cython(v), INCLUDE, "-O1"), "strip") for v in ("3.0.12", "3.1.3")))


@pair("cython-version-c", "Cython 3.0.12 against 3.1.3: the generated C file is shipped", "cython-version")
def _():
    return with_file("demo/_fast.c", cython("3.0.12"), cython("3.1.3"))


@pair("build-path-cython", "cythonize of Cython 3.1.3 with build_dir at /tmp/build-abc/src against /build/src: the shipped C file's metadata comment holds the path", "build-path")
def _():
    def one(root):
        write(fresh(root), {"demo/__init__.py": "", "demo/_fast.pyx": PYX})
        code = f"from Cython.Build import cythonize; cythonize('{root}/demo/_fast.pyx', build_dir='../c', language_level=3)"
        run(PY, "-S", "-c", code, cwd=root, PYTHONPATH=pip("cython==3.1.3"))
        made = next((root.parent / "c").rglob("_fast.c")).read_bytes()
        shutil.rmtree(root.parent / "c")
        return made
    return with_file("demo/_fast.c", one(ABC), one(SRC))


def certificate():
    """A self-signed certificate, made once."""
    root = TOOLS / "certificate"
    if not root.exists():
        root.mkdir(parents=True)
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500", "-subj", "/CN=demo.example.org", "-keyout", "key.pem", "-out", "cert.pem", cwd=root)
    return root


@pair("signature", "openssl 3.0 cms: RECORD.p7s in dist-info, signed at two times (faketime)", also="random,version-from-clock")
def _():
    def one(when):
        root = write(fresh(), {"RECORD": seal(base())[DIST + "RECORD"]})
        c = certificate()
        run("faketime", "-f", when, "openssl", "smime", "-sign", "-binary", "-in", "RECORD", "-signer", c / "cert.pem", "-inkey", c / "key.pem", "-outform", "DER", "-out", "RECORD.p7s", cwd=root)
        return (root / "RECORD.p7s").read_bytes()
    return with_file(DIST + "RECORD.p7s", one("2027-01-23 12:00:00"), one("2027-02-14 07:31:09"))


@pair("signature-jws", "RECORD.jws in the published wheel, none in the rebuilt one; by hand", "signature", "missing-from-sdist,extra-from-checkout")
def _():
    return with_file(DIST + "RECORD.jws", '{"payload": "eyJoYXNoIjoic2hhMjU2PWFiYyJ9", "signatures": [{"header": {"alg": "Ed25519"}, "signature": "' + base64.urlsafe_b64encode(bytes(range(64))).decode() + '"}]}\n', "")[0], base()


# ---- Mach-O and PE

MAC, WIN = "cp311-cp311-macosx_11_0_arm64", "cp311-cp311-win_amd64"


def zig(target, source, *flags, root=SRC, **env):
    write(fresh(root), {"src/fast.c": source})
    path = pip("ziglang==0.13.0")
    cc = [PY, "-S", "-m", "ziglang", "cc", "-target", target]
    env = {"PYTHONPATH": path, "HOME": "/var/tmp", "ZIG_GLOBAL_CACHE_DIR": "/var/tmp/planted-zig", "ZIG_LOCAL_CACHE_DIR": "/var/tmp/planted-zig"} | env
    run(*cc, "-fno-sanitize=undefined", "-O2", *flags, "-c", root / "src/fast.c", "-o", "fast.o", cwd=root, **env)
    run(*cc, "-shared", "fast.o", "-o", "fast.out", *(f for f in flags if f.startswith(("-g", "-s"))), cwd=root, **env)
    return (root / "fast.out").read_bytes()


def macs(a, b):
    return natives(a, b, name="demo/_fast.cpython-311-darwin.so", tag=MAC)


@pair("macho-compiler-flags", "zig cc 0.13.0 (clang 18), aarch64-macos: -O3 -fno-vectorize against -O2", "compiler-flags", "compiler,build-id,signature")
def _():
    return macs(zig("aarch64-macos", LIB, "-O3", "-fno-vectorize", "-g0"), zig("aarch64-macos", LIB, "-g0"))


@pair("macho-build-path", "zig cc 0.13.0, aarch64-macos: __FILE__ at /tmp/build-abc/src against /build/src", "build-path", "build-id,signature")
def _():
    return macs(*(zig("aarch64-macos", LIB, HERE, "-g0", root=r) for r in (ABC, SRC)))


@pair("macho-uuid", "zig cc 0.13.0, x86_64-macos (not signed): LC_UUID only; changed by hand", "build-id")
def _():
    data = zig("x86_64-macos", LIB, "-g0")
    at, count = 32, int.from_bytes(data[16:20], "little")
    for _ in range(count):
        kind, size = (int.from_bytes(data[at + i:at + i + 4], "little") for i in (0, 4))
        if kind == 0x1B:
            break
        at += size
    other = data[:at + 8] + uuid.UUID(int=random.Random(9).getrandbits(128), version=4).bytes + data[at + 24:]
    return natives(data, other, name="demo/_fast.cpython-311-darwin.so", tag="cp311-cp311-macosx_11_0_x86_64")


@pair("macho-strip", "zig cc 0.13.0, x86_64-macos: with local symbols against llvm-strip 14.0.6 -x", "strip", "build-id")
def _():
    data = zig("x86_64-macos", LIB, "-g0")
    return natives(data, after(data, "llvm-strip-14", "-x"), name="demo/_fast.cpython-311-darwin.so", tag="cp311-cp311-macosx_11_0_x86_64")


@pair("macho-fat", "zig cc 0.13.0 and llvm-lipo 14.0.6, arm64 and x86_64: -O3 against -O2 in the x86_64 half only", "compiler-flags", "compiler,build-id,signature")
def _():
    def fat(*flags):
        parts = [zig(t, LIB, *f, "-g0") for t, f in (("aarch64-macos", ()), ("x86_64-macos", flags))]
        root = write(fresh(), {"a": parts[0], "b": parts[1]})
        run("llvm-lipo-14", "-create", "a", "b", "-output", "fat", cwd=root)
        return (root / "fat").read_bytes()
    return natives(fat("-O3", "-march=haswell"), fat(), name="demo/_fast.cpython-311-darwin.so", tag="cp311-cp311-macosx_10_9_universal2")


FREESTANDING = "static int same(const char *a, const char *b) { while (*a && *a == *b) a++, b++; return *a - *b; }\n" + \
    re.sub("#include.*", "", LIB[:LIB.index("void demo_copy")]).replace("size_t", "unsigned long long").replace("strcmp", "same")


def dll(*flags, link=(), root=SRC):
    """A DLL without a C library, by clang and lld-link."""
    write(fresh(root), {"src/fast.c": "__declspec(dllexport) int _fltused;\n" + FREESTANDING})
    run("clang", "-target", "x86_64-pc-windows-msvc", "-ffreestanding", "-O2", *flags, "-c", root / "src/fast.c", "-o", "fast.obj", cwd=root)
    run("lld-link", "/dll", "/noentry", "/nodefaultlib", "/export:demo_hash", "/export:demo_find", "/export:demo_sum", "/export:demo_scale",
        "/timestamp:1700000000", *link, "/out:fast.pyd", "fast.obj", cwd=root)
    return (root / "fast.pyd").read_bytes()


def pes(a, b):
    return natives(a, b, name="demo/_fast.cp311-win_amd64.pyd", tag=WIN)


@pair("macho-signature", f"{CLANG} and ld64.lld 14.0.6, arm64: with an ad hoc signature against without", "signature", "linker")
def _():
    def one(flag):
        write(fresh(), {"src/fast.c": FREESTANDING})
        run("clang", "-target", "arm64-apple-macos11", "-ffreestanding", "-O2", "-c", "src/fast.c", "-o", "fast.o", cwd=SRC)
        run("ld64.lld-14", "-arch", "arm64", "-platform_version", "macos", "11.0", "11.0", "-dylib", "-undefined", "dynamic_lookup", flag, "fast.o", "-o", "fast.out", cwd=SRC)
        return (SRC / "fast.out").read_bytes()
    return macs(one("-adhoc_codesign"), one("-no_adhoc_codesign"))


@pair("pe-timestamp", f"{CLANG} and lld-link 14.0.6: /timestamp differs, in the COFF header only", "link-time", "source-date,date-macro")
def _():
    return pes(dll(link=["/timestamp:1763899200"]), dll(link=["/timestamp:1768375869"]))


@pair("pe-build-path", f"{CLANG} -gcodeview and lld-link 14.0.6 /debug at /tmp/build-abc/src against /build/src: the PDB's path, and its GUID", "build-path", "build-id")
def _():
    return pes(*(dll("-gcodeview", link=["/debug", f"/pdb:{r}/fast.pdb", "/pdbsourcepath:/"], root=r) for r in (ABC, SRC)))


@pair("pe-compiler-flags", f"{CLANG} and lld-link 14.0.6: -O3 -march=haswell against -O2", "compiler-flags", "compiler,cpu")
def _():
    return pes(dll("-O3", "-march=haswell"), dll())


@pair("pe-signature", "osslsigncode 2.9: a signed DLL against the unsigned one", "signature", "strip")
def _():
    data, c = dll(), certificate()
    root = write(fresh(), {"fast.pyd": data})
    run("osslsigncode", "sign", "-certs", c / "cert.pem", "-key", c / "key.pem", "-h", "sha256", "-time", str(EPOCH), "-in", "fast.pyd", "-out", "signed.pyd", cwd=root)
    return pes((root / "signed.pyd").read_bytes(), data)


@pair("pe-zig", "zig cc 0.13.0, x86_64-windows-gnu: -O3 -mcpu=haswell against -O2", "compiler-flags", "compiler,build-id,link-time")
def _():
    return pes(zig("x86_64-windows-gnu", LIB, "-O3", "-mcpu=haswell", "-g0", "-s"), zig("x86_64-windows-gnu", LIB, "-g0", "-s"))


@pair("none-native", f"{G12} -O2: another constant in C code", "-")
def _():
    return natives(*(shared(EXT, INCLUDE, f"-DSEED={s}") for s in ("5381u", "5387u")))


@pair("none-native-id", f"{G12} -O2 with a build id, which follows: another line of C code", "-", "build-id")
def _():
    return natives(*(shared(EXT.replace("h * 33u ^", f"h * 33u {op}"), INCLUDE, link=SHA1) for op in "^+"))


@pair("none-native-path", f"{G12} -O2: the path of the build in .rodata, and another line of C code", "-", "build-path")
def _():
    return natives(*(shared(EXT.replace("h * 33u ^", f"h * 33u {op}"), INCLUDE, HERE, root=r, absolute=True) for op, r in (("^", ABC), ("+", SRC))))


@pair("none-native-data", f"{G12} -O2: another string of the program in .rodata", "-")
def _():
    return natives(shared(EXT, INCLUDE), shared(EXT.replace('"delta"', '"dunes"'), INCLUDE))


@pair("none-behind-strip", f"{G12} -O2: not stripped against stripped, and another constant in C code", "-", "strip")
def _():
    return natives(shared(EXT, INCLUDE), after(shared(EXT, INCLUDE, "-DSEED=5387u"), "strip"))


@pair("none-pe", f"{CLANG} and lld-link 14.0.6: another constant in C code", "-")
def _():
    return pes(dll(), dll("-DSEED=5387u"))


@pair("none-macho", "zig cc 0.13.0, aarch64-macos: another constant in C code; LC_UUID and the signature follow", "-", "build-id,signature")
def _():
    return macs(zig("aarch64-macos", LIB, "-g0"), zig("aarch64-macos", LIB, "-g0", "-DSEED=5387u"))


# ---- the pairs' files

def check(id, data):
    """Is it a valid wheel: nothing before the entries, RECORD right, the three files there?"""
    assert data.startswith(b"PK\3\4"), id
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        assert z.testzip() is None
        names = [n for n in z.namelist() if not n.endswith("/")]
        info = {n.split("/")[0] for n in names if n.split("/")[0].endswith(".dist-info")}
        assert len(info) == 1 and len(set(names)) == len(names), (id, info)
        info = info.pop()
        assert {f"{info}/{n}" for n in ("METADATA", "WHEEL", "RECORD")} <= set(names), id
        rows = {r[0]: r for r in csv.reader(z.read(f"{info}/RECORD").decode().splitlines())}
        assert set(rows) == set(names), (id, set(rows) ^ set(names))
        for n in names:
            assert rows[n][1:] == ["", ""] if "/RECORD" in n else rows[n][1:] == [digest(z.read(n)), str(len(z.read(n)))], (id, n)


def main():
    OUT.mkdir(exist_ok=True)
    wanted = set(sys.argv[1:])
    for id, _, _, _, f in PAIRS:
        if wanted and id not in wanted:
            continue
        a, b = (w if isinstance(w, bytes) else wheel(w) for w in f())
        assert a != b, f"{id}: no difference"
        for side, data in (("a", a), ("b", b)):
            check(id, data)
            (OUT / f"{id}.{side}.whl").write_bytes(data)
        print(id, len(a), len(b), flush=True)
    with open(OUT / "manifest.tsv", "w", newline="") as f:
        f.write("id\tcause\talso\twhat\n")
        f.writelines(f"{i}\t{c}\t{a}\t{w}\n" for i, c, a, w, _ in PAIRS)


if __name__ == "__main__":
    main()
