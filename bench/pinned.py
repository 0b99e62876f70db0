#!/usr/bin/env python3
"""Writes internal/oci/pinned.tsv: which release of cibuildwheel pinned which image.

The releases are fetched with pip, a patch release only where it is not the
first of its minor version and younger than two years. The table holds no host.
"""
import configparser
import datetime
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request
import zipfile

HEAD = "# cibuildwheel\tuploaded\tpolicy\tarchitecture\timage\ttag\tdigest\n"
YOUNG = datetime.timedelta(days=730)


def releases():
    """(version, upload date) of every release with a wheel, oldest first."""
    from pip._internal.models.index import PyPI

    request = urllib.request.Request(PyPI.simple_url + "/cibuildwheel/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    found = {}
    for f in files:
        m = re.fullmatch(r"cibuildwheel-(\d+(?:\.\d+)+)-py3-none-any\.whl", f["filename"])
        if m and not f["yanked"]:
            found[tuple(int(n) for n in m[1].split("."))] = f["upload-time"][:10]
    return sorted(found.items())


def wanted(found):
    newest = datetime.date.fromisoformat(max(day for _, day in found))
    minors = set()
    for version, day in found:
        first = version[:2] not in minors
        minors.add(version[:2])
        if version >= (1, 0) and (first or newest - datetime.date.fromisoformat(day) < YOUNG):
            yield ".".join(map(str, version)), day


def pins(wheel):
    """(policy, architecture, image, tag, digest) of the images for CPython.

    Old releases say HOST/IMAGE:TAG, new ones HOST/IMAGE@sha256:… # TAG.
    """
    with zipfile.ZipFile(wheel) as z:
        names = [n for n in z.namelist() if n.endswith("/pinned_docker_images.cfg")]
        config = configparser.ConfigParser()
        config.read_string(z.read(names[0]).decode() if names else "")
    for section in config.sections():
        if section.startswith("pypy"):
            continue  # the same images, or none for CPython
        for policy, image in config[section].items():
            m = re.fullmatch(r"[^/]+/([a-z0-9._/-]+)(?::([\w.-]+))?(?:@(sha256:[0-9a-f]{64}))?(?:\s*#\s*([\w.-]+))?", image)
            if not m:
                sys.exit(f"{wheel.name}: {policy} = {image}: not known what that means")
            yield policy, section, m[1], m[2] or m[4] or "-", m[3] or "-"


def main():
    out = []
    with tempfile.TemporaryDirectory() as tmp:
        for version, day in wanted(releases()):
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", tmp, f"cibuildwheel=={version}"], check=True)
            wheel = next(pathlib.Path(tmp).glob(f"cibuildwheel-{version}-*.whl"))
            out += ["\t".join((version, day, *pin)) + "\n" for pin in sorted(pins(wheel))]
    pathlib.Path(sys.argv[1]).write_text(HEAD + "".join(out))


main()
