"""Gives a build the clock, line ends and temporary names of its recipe.

Imported by every Python of the environment at start (truewheel.pth). Files
written since the build began have the clock's time wherever their times are
asked for; files of the source keep theirs. Settings come from the variable
TRUEWHEEL_SURROUNDINGS: "START BOUNDARY_NS STEP LINE_ENDS STEP_AT", where "-" is
no line ends. Every Python that a build starts reads this file: it imports
nothing that a bare interpreter has not imported already.
"""
import os
import sys
import time

_settings = os.environ.get("TRUEWHEEL_SURROUNDINGS", "").split(" ", 4)


def _install(start, boundary_ns, step, step_at, line_ends):
    real_stat, real_time = os.stat, time.time
    state = {"ticks": 0, "stepped": False}
    record = step_at.endswith("/RECORD")

    def stepped(path, mtime_ns):
        """Was the file at path written at the step or after it?"""
        if not step:
            return False
        if record:
            return False
        if not isinstance(path, (str, bytes)):
            return False
        path = os.fsdecode(path)
        parent = os.path.dirname(os.path.abspath(path))
        for _ in range(12):
            try:
                mark = real_stat(os.path.join(parent, step_at))
            except (OSError, ValueError):
                up = os.path.dirname(parent)
                if up == parent:
                    return False
                parent = up
                continue
            return mtime_ns >= mark.st_mtime_ns
        return False

    def pin(st, path):
        if st.st_mtime_ns < boundary_ns:
            return st
        seconds = start + (step if stepped(path, st.st_mtime_ns) else 0)
        ns = seconds * 10**9
        named = {"st_atime": float(seconds), "st_mtime": float(seconds), "st_ctime": float(seconds),
                 "st_atime_ns": ns, "st_mtime_ns": ns, "st_ctime_ns": ns}
        for key in ("st_blksize", "st_blocks", "st_rdev"):
            if hasattr(st, key):
                named[key] = getattr(st, key)
        return os.stat_result(tuple(st)[:7] + (seconds, seconds, seconds), named)

    class Stat:
        # An object and not a function: pathlib before 3.10 keeps os.stat as
        # a class attribute, where a function would become a method.
        def __init__(self, real, name):
            self.real, self.__name__ = real, name

        def __call__(self, path, *args, **kwargs):
            st = self.real(path, *args, **kwargs)
            if isinstance(path, str) and path.endswith(".dist-info" + os.sep + "WHEEL"):
                state["stepped"] = True
            return pin(st, path)

    for name in ("stat", "lstat", "fstat"):
        wrapped = Stat(getattr(os, name), name)
        for supported in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if getattr(os, name) in supported:
                supported.add(wrapped)
        setattr(os, name, wrapped)

    def now():
        # It must move, or loops that wait never end; a tick is a microsecond.
        state["ticks"] += 1
        late = step if step and state["stepped"] else 0
        return start + late + state["ticks"] * 1e-6

    def after(real, position):
        def call(*args):
            if len(args) <= position or args[position] is None:
                args = args[:position] + (now(),)
            return real(*args)
        return call

    real_localtime, real_gmtime, real_strftime = time.localtime, time.gmtime, time.strftime
    time.time = now
    time.time_ns = lambda: int(now() * 10**9)
    time.localtime = after(real_localtime, 0)
    time.gmtime = after(real_gmtime, 0)
    time.ctime = lambda s=None: time.asctime(time.localtime(s))
    time.strftime = lambda fmt, t=None: real_strftime(fmt, time.localtime() if t is None else t)
    _datetime(now)

    if line_ends == "crlf":
        _crlf()
    _temporary_names()


def _when_imported(wanted, patch):
    """Patches a module when it is first imported, which costs nothing before."""
    if wanted in sys.modules:
        patch(sys.modules[wanted])
        return
    from _frozen_importlib_external import PathFinder

    class Finder:  # not importlib.abc's: that imports tempfile itself, and more
        def find_spec(self, name, path, target=None):
            if name != wanted:
                return None
            sys.meta_path.remove(self)
            spec = PathFinder.find_spec(name, path)
            if spec is None or spec.loader is None:
                return spec
            loader = spec.loader
            real = loader.exec_module

            def exec_module(module):
                real(module)
                patch(module)
            loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Finder())


def _datetime(now):
    """Pins datetime's clocks."""
    def patch(module):
        real_datetime, real_date = module.datetime, module.date

        class DateTimeMeta(type):
            def __instancecheck__(cls, obj):
                return isinstance(obj, real_datetime)

            def __subclasscheck__(cls, sub):
                return issubclass(sub, real_datetime)

        class DateMeta(type):
            def __instancecheck__(cls, obj):
                return isinstance(obj, real_date)

            def __subclasscheck__(cls, sub):
                return issubclass(sub, real_date)

        class datetime(real_datetime, metaclass=DateTimeMeta):
            @classmethod
            def now(cls, tz=None):
                return real_datetime.fromtimestamp(now(), tz)

            @classmethod
            def utcnow(cls):
                return real_datetime.utcfromtimestamp(now())

            @classmethod
            def today(cls):
                return real_datetime.fromtimestamp(now())

        class date(real_date, metaclass=DateMeta):
            @classmethod
            def today(cls):
                return real_date.fromtimestamp(now())

        module.datetime, module.date = datetime, date

    _when_imported("datetime", patch)


def _temporary_names():
    """Names of temporary files follow from the program's, not from chance.

    Cython's shared utility module, for one, keeps the name of the directory
    it was made in. How many jobs run at once must not matter.
    """
    def seed():
        words = []
        for word in getattr(sys, "orig_argv", None) or getattr(sys, "argv", []):
            if word.startswith("-j") or word.isdigit():
                continue
            words.append(word)
        return "\0".join(words)

    def patch(module):
        if not hasattr(module, "_RandomNameSequence"):
            return

        class Names(module._RandomNameSequence):
            @property
            def rng(self):
                # As in the original: another process begins anew.
                if getattr(self, "_rng_pid", None) != os.getpid():
                    from random import Random
                    self._rng = Random(seed())
                    self._rng_pid = os.getpid()
                return self._rng

        module._RandomNameSequence = Names

    _when_imported("tempfile", patch)


def _crlf():
    import builtins
    import io

    real = io.open

    def crlf_open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if newline is None and "b" not in mode and any(c in mode for c in "wax+"):
            newline = "\r\n"
        return real(file, mode, buffering, encoding, errors, newline, closefd, opener)

    builtins.open = io.open = crlf_open
    os.linesep = "\r\n"


if len(_settings) == 5:
    _install(int(_settings[0]), int(_settings[1]), int(_settings[2]), _settings[4], _settings[3])
