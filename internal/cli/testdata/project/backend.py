"""An in-tree build backend: packs the package demo/ of its source."""
import base64
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import time
import zipfile

with open("project.json") as f:
    PROJECT = json.load(f)
PUBLISHER = os.environ.get("PUBLISHER") == "1"


def build_wheel(out, config_settings=None, metadata_directory=None):
    trap = PROJECT.get("trap")
    if trap == "broken" and not PUBLISHER:
        print("what the backend said before it gave up")
        raise SystemExit(7)
    if trap == "network" and not PUBLISHER:
        import socket
        socket.create_connection(("127.0.0.1", PROJECT["port"]), timeout=5)
    if trap == "slow" and not PUBLISHER:
        while True:
            pass
    stem = "%s-%s" % (PROJECT["name"], PROJECT["version"])
    info = stem + ".dist-info"
    members = {}
    for name in sorted(n for n in os.listdir("demo") if not os.path.isdir(os.path.join("demo", n))):
        with open(os.path.join("demo", name), "rb") as f:
            members["demo/" + name] = f.read()
    if trap == "checkout" and PUBLISHER:
        members["demo/only_in_checkout.py"] = b"x = 1\n"
        members = dict(sorted(members.items()))
    if trap == "module" and PUBLISHER:
        members["demo/inner.py"] = b"y = 2\n"
        members = dict(sorted(members.items()))
    elif trap == "module" and os.path.exists("demo/sub/demo/inner.py"):
        members.pop("demo/sub", None)
        with open("demo/sub/demo/inner.py", "rb") as f:
            members["demo/inner.py"] = f.read()
        members = dict(sorted(members.items()))
    if trap == "export":
        members["demo/version.txt"] = b"from git" if os.path.isdir(".git") else b"no git"
    if trap == "mono":
        described = PROJECT["name"] + "-v1.0"
        if not PUBLISHER:
            import subprocess
            described = subprocess.run(["git", "describe", "--tags", "--dirty"], stdout=subprocess.PIPE).stdout.decode().strip()
            if not os.path.isdir("../.git"):
                described = "not below the repository's top"
        members["demo/version.txt"] = described.encode()
    if trap == "clock":
        members["demo/built.txt"] = time.strftime("%Y-%m-%d\n").encode()
    if trap == "home" and not PUBLISHER:
        members["demo/home.txt"] = json.dumps([os.path.expanduser("~"), sorted(os.environ)]).encode()
    if trap == "unknown" and PUBLISHER:
        members["demo/__init__.py"] += b"\nevil = 1\n"
    if trap == "scm":
        described = "v1.0"
        if not PUBLISHER and os.path.isdir(".git"):
            import subprocess
            described = subprocess.check_output(["git", "describe", "--tags", "--dirty"]).decode().strip()
        elif not PUBLISHER:
            described = "unknown"
        members["demo/version.txt"] = described.encode()
    metadata = "Metadata-Version: 2.1\nName: %(name)s\nVersion: %(version)s\n" % PROJECT
    for url in PROJECT.get("urls") or []:
        metadata += "Project-URL: %s\n" % url
    members[info + "/METADATA"] = metadata.encode()
    members[info + "/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: hand 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = ""
    for name, data in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        record += "%s,sha256=%s,%d\n" % (name, digest, len(data))
    members[info + "/RECORD"] = (record + info + "/RECORD,,\n").encode()
    name = stem + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(out, name), "w", zipfile.ZIP_DEFLATED) as z:
        for n, (member, data) in enumerate(members.items()):
            when = (2020, 2, 2, 0, 0, 0)
            if trap == "times" and PUBLISHER:
                when = (2021, 3, 4, 5, n, 0)
            entry = zipfile.ZipInfo(member, when)
            entry.external_attr = 0o100644 << 16
            if trap == "mode" and PUBLISHER and member == "demo/__init__.py":
                entry.external_attr = 0o100755 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(entry, data)
    return name


def build_sdist(out, config_settings=None):
    """As setuptools with setuptools-scm does: what is tracked, and metadata."""
    trap = PROJECT.get("trap")
    stem = "%(name)s-%(version)s" % PROJECT
    info = PROJECT["name"] + ".egg-info/"
    metadata = "Metadata-Version: 2.1\nName: %(name)s\nVersion: %(version)s\n" % PROJECT
    for url in PROJECT.get("urls") or []:
        metadata += "Project-URL: %s\n" % url
    files = {}
    for top, dirs, names in os.walk("."):
        dirs[:] = sorted(d for d in dirs if d not in (".git", "__pycache__", "docs"))
        for name in names:
            path = os.path.relpath(os.path.join(top, name), ".")
            if path != ".gitignore":
                with open(path, "rb") as f:
                    files[path] = f.read()
    files["PKG-INFO"] = files[info + "PKG-INFO"] = metadata.encode()
    files[info + "top_level.txt"] = b"demo\n"
    files[info + "dependency_links.txt"] = b"\n"
    files["setup.cfg"] = b"[egg_info]\ntag_build = \ntag_date = 0\n\n"
    files["demo/_version.py"] = ("# file generated by setuptools-scm\nversion = '%(version)s'\n" % PROJECT).encode()
    files[info + "SOURCES.txt"] = "".join(name + "\n" for name in sorted(files)).encode()
    if trap == "evil" and PUBLISHER:
        files["m4/build-to-host.m4"] = b"dnl gl_path_map\n"
        files["configure"] = b"#!/bin/sh\n# Generated by GNU Autoconf 2.71\nevil\n"
        files["tests/bad-3.lzma"] = b"\xfd7zXZ\x00" + bytes(range(256))
        files["demo/__init__.py"] += b"import evil\n"
    if trap == "changed" and PUBLISHER:
        files["demo/text.txt"] += b"another line\n"
    name = stem + ".tar.gz"
    with open(os.path.join(out, name), "wb") as raw:
        with gzip.GzipFile("", "wb", 6 if trap == "gzip" and PUBLISHER else 9, raw, 1614834000 if trap == "gzip" and PUBLISHER else 0) as z:
            with tarfile.open(fileobj=z, mode="w", format=tarfile.USTAR_FORMAT) as t:
                for path in sorted(files):
                    h = tarfile.TarInfo(stem + "/" + path)
                    h.size, h.mtime, h.mode = len(files[path]), 1614834000, 0o644
                    t.addfile(h, io.BytesIO(files[path]))
    return name


if __name__ == "__main__":
    print((build_sdist if sys.argv[2:] else build_wheel)(sys.argv[1]))
