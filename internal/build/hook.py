"""Calls one hook of a build backend (PEP 517) in this process.

usage: hook.py JOB RESULT
JOB is JSON: {"hook": "requires"|"wheel"|"sdist", "sdist", "mode": "pep517"|"setup.py", "backend",
"backend_path", "out", "no_extensions", "args", "config_settings"}.
RESULT gets {"requires": [...]} or {"wheel": name, "used": {name: version}}; of an
sdist the name is that, and with "sdist" the requirements are for one.
"""
import importlib
import json
import os
import sys


def no_extensions():
    """Drop what setup() would compile."""
    try:
        import setuptools.dist
    except ImportError:
        return  # another backend: it compiles nothing by setup()

    base = setuptools.dist.Distribution
    old = base.__init__

    def init(self, attrs=None):
        if attrs:
            for key in ("ext_modules", "cffi_modules", "rust_extensions"):
                attrs.pop(key, None)
        old(self, attrs)
        self.ext_modules = None

    base.__init__ = init


def backend(job):
    for path in reversed(job["backend_path"] or []):
        sys.path.insert(0, os.path.abspath(path))
    module, _, rest = job["backend"].partition(":")
    found = importlib.import_module(module)
    for part in filter(None, rest.split(".")):
        found = getattr(found, part)
    return found


def setup_py(job):
    """What setuptools' own hooks do, for versions that had none."""
    import setuptools.dist

    asked = []

    def fetch(self, requires):
        if isinstance(requires, str):
            requires = [r.strip() for r in requires.splitlines() if r.strip()]
        asked.extend(requires)
        if job["hook"] == "requires":
            raise SystemExit(0)
        return []

    setuptools.dist.Distribution.fetch_build_eggs = fetch
    if job["hook"] == "requires":
        command = ["egg_info"]
    elif job["hook"] == "sdist":
        command = ["sdist", "--formats=gztar", "--dist-dir", job["out"]] + job["args"]
    else:
        command = ["bdist_wheel", "--dist-dir", job["out"]] + job["args"]
    sys.argv = ["setup.py"] + command
    sys.path.insert(0, os.getcwd())
    with open("setup.py", "rb") as f:
        code = f.read()
    scope = {"__name__": "__main__", "__file__": os.path.abspath("setup.py"), "__builtins__": __builtins__}
    try:
        exec(compile(code, "setup.py", "exec"), scope)
    except SystemExit as stop:
        if stop.code:
            raise
    return asked


def installed():
    """Names and versions of what this process could import, of the environment."""
    try:
        from importlib.metadata import distributions
    except ImportError:
        return None  # before 3.8
    import sysconfig

    # The source may hold packages of its own, and so may backends.
    places = {os.path.realpath(sysconfig.get_path(key)) for key in ("purelib", "platlib")}
    found = {}
    for d in distributions():
        name = d.metadata["Name"]
        if name and os.path.realpath(str(d.locate_file(""))) in places:
            found.setdefault(name, d.version)
    return found


def main():
    # Backends change sys.argv and the working directory.
    source, target = (os.path.abspath(name) for name in sys.argv[1:3])
    with open(source) as f:
        job = json.load(f)
    result = {}
    if job["no_extensions"]:
        no_extensions()
    if job["mode"] == "setup.py":
        asked = setup_py(job)
        if job["hook"] == "requires":
            result["requires"] = asked
        else:
            result["wheel"] = [n for n in os.listdir(job["out"]) if n.endswith((".whl", ".tar.gz"))][0]
    else:
        found = backend(job)
        # In-place builds and their switches reach setuptools by config_settings.
        settings = {"--build-option": job["args"], "--global-option": []} if job["args"] else {}
        for name, values in (job["config_settings"] or {}).items():
            settings[name] = values[0] if len(values) == 1 else values
        settings = settings or None
        if job["hook"] == "requires":
            hook = getattr(found, "get_requires_for_build_" + ("sdist" if job.get("sdist") else "wheel"), None)
            result["requires"] = list(hook(settings)) if hook else []
        elif job["hook"] == "sdist":
            result["wheel"] = found.build_sdist(job["out"], settings)
        else:
            result["wheel"] = found.build_wheel(job["out"], settings)
    if job["hook"] != "requires":
        result["used"] = installed()
    with open(target, "w") as f:
        json.dump(result, f)


main()
