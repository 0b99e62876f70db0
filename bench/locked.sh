#!/usr/bin/env bash
# A native project in a debian root: locked afresh, built twice under different
# conditions, tested, and killed with -9 on the way. Then the exported
# constraints, as pip and uv use them.
set -uo pipefail
bin=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
store=$work/store
fail() {
	echo "locked: $*" >&2
	exit 1
}
left() { # what a dead truewheel may not leave behind: files, mounts, and the control groups of the cages given
	local n=0
	# The next start cleans up, beside the dead one's guard, which may be at it.
	"$bin" doctor --cache-dir "$store" >/dev/null 2>&1
	while [ -n "$(ls -A "$store/cages" 2>/dev/null)" ] && [ $n -lt 40 ]; do
		n=$((n + 1)) && sleep 0.5
		"$bin" doctor --cache-dir "$store" >/dev/null 2>&1
	done
	ls -A "$store/tmp" "$store/cages" 2>/dev/null | grep -v ':$' | grep .
	grep -F "$store" /proc/mounts
	for cage in "$@"; do
		find /sys/fs/cgroup -type d -path "*/truewheel/$cage" 2>/dev/null
	done
}
case $("$bin" doctor --cache-dir "$store" 2>&1) in
*runc* | *crun*) ;;
*) echo "locked: no cage here: not checked" && exit 0 ;;
esac

echo "== killed while a root is unpacked, and while a wheel is built"
cd "$work" || exit 1
"$bin" lock markupsafe==3.0.3 -o killed.lock --cache-dir "$store" >killed.log 2>&1 &
pid=$!
until [ -n "$(ls -A "$store"/tmp/root-*/fresh/root/usr/share 2>/dev/null)" ] || ! kill -0 $pid 2>/dev/null; do :; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
test $? = 137 || fail "it ended before it was killed"
found=$(left)
test -z "$found" || fail "left after a kill while unpacking: $found"
test ! -e killed.lock || fail "a killed lock left a file"
"$bin" lock markupsafe==3.0.3 -o markupsafe.lock --cache-dir "$store" --bundle inputs.bundle || fail "lock"
"$bin" build --lock markupsafe.lock --out killed --cache-dir "$store" >killed.log 2>&1 &
pid=$!
until [ -n "$(ls "$store"/cages/tw*/pid 2>/dev/null)" ] || ! kill -0 $pid 2>/dev/null; do :; done
cages=$(cd "$store/cages" && ls -d tw*/ | tr -d /)
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
test $? = 137 || fail "it ended before it was killed"
# shellcheck disable=SC2086
found=$(left $cages)
test -z "$found" || fail "left after a kill while building: $found"
test -z "$(ls -A killed 2>/dev/null)" || fail "a killed build left a wheel"

echo "== built twice, tested, compared with what was published"
"$bin" build --lock markupsafe.lock --out first --cache-dir "$store" || fail "build"
"$bin" env digest --verify --lock markupsafe.lock --cache-dir "$store" || fail "digest"
"$bin" env shell --lock markupsafe.lock --cache-dir "$store" -- sh -c \
	'/sbin/ldconfig -X -C /tmp/c && /sbin/ldconfig -C /tmp/c -p | grep "=>" >/tmp/theirs && /sbin/ldconfig -p | grep "=>" | cmp - /tmp/theirs' || fail "ldconfig finds other libraries"
"$bin" test first/*.whl --cache-dir "$store" >tested || { cat tested; fail "test"; }
tail -n 2 tested
"$bin" verify-seal first || fail "seal"
again=("$bin" build --bundle "$work/inputs.bundle" --offline --out "$work/elsewhere/second" --cache-dir "$work/elsewhere/store")
mkdir elsewhere
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	cp "$bin" truewheel && chown -R 1234 elsewhere && chmod 644 inputs.bundle
	again[0]=$work/truewheel
	again=(setpriv --reuid=1234 --regid=1234 --clear-groups env -i PATH=/usr/bin:/bin HOME="$work/elsewhere" TZ=Pacific/Chatham "${again[@]}")
	(cd / && "${again[@]}" --help >/dev/null) || fail "the other user can't run it"
fi
(cd / && umask 077 && "${again[@]}") || fail "the second build"
cmp first/*.whl elsewhere/second/*.whl || fail "the same lock gave other bytes elsewhere"
"$bin" rebuild markupsafe==3.0.3 --lock markupsafe.lock -q --cache-dir "$store"
test $? = 3 || fail "Debian's compiler is not the publisher's: that has to show"
"$bin" lock attrs==25.4.0 -o attrs.lock --cache-dir "$store" >/dev/null && grep -q "target = 'py3-none-any'" attrs.lock && ! grep -q "'gcc'" attrs.lock || fail "a pure project needs no compiler"
"$bin" rebuild attrs==25.4.0 --env debian -q --cache-dir "$store" || fail "a pure wheel in a debian root"

echo "== the committed example, as long as mirrors have its packages"
example=$here/../examples/markupsafe
if "$bin" build --lock "$example/truewheel.lock" --out example --cache-dir "$store" >example.log 2>&1; then
	grep -q "^$(sha256sum example/*.whl | cut -d' ' -f1)" "$example/README.md" || fail "the example gave other bytes than its README says"
	"$bin" rebuild markupsafe==3.0.3 --lock "$example/truewheel.lock" -q --cache-dir "$store"
elif grep -q 'no mirror has' example.log; then
	echo "not checked: $(grep -o 'no mirror has [^ ]* [^ ]*' example.log)"
else
	cat example.log
	fail "the example"
fi

echo "== what build environments pip and uv make of the exported constraints"
mkdir -p project && cd project || exit 1
cat >pyproject.toml <<'END'
[build-system]
requires = ["setuptools", "meson-python", "ninja"]
build-backend = "backend"
backend-path = ["."]
END
cat >backend.py <<'END'
import os, zipfile
from importlib.metadata import distributions

def build_wheel(out, config_settings=None, metadata_directory=None):
    seen = sorted({(d.metadata["Name"].lower(), d.version) for d in distributions() if "site-packages" in str(d.locate_file(""))
                   and "_vendor" not in str(d.locate_file("")) and d.metadata["Name"].lower() not in ("pip", "demo")})
    name = "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(out, name), "w") as z:
        for path, text in [("seen.txt", "".join("%s %s\n" % s for s in seen)),
                           ("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"),
                           ("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
                           ("demo-1.0.dist-info/RECORD", "seen.txt,,\ndemo-1.0.dist-info/METADATA,,\ndemo-1.0.dist-info/WHEEL,,\ndemo-1.0.dist-info/RECORD,,\n")]:
            z.writestr(zipfile.ZipInfo(path), text)
    return name
END
"$bin" lock --env host --cache-dir "$store" || fail "lock of the project"
"$bin" build --out "$work/ours" --cache-dir "$store" >/dev/null || fail "build of the project"
"$bin" export --build-constraints -o "$work/constraints.txt" || fail "export"
version=$(sed -n "/^\[python\]/{n;s/version = '\(.*\)'/\1/p}" truewheel.lock)
python=
for candidate in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version/bin/python" "$(command -v "python${version%.*}")" "$(command -v python3)"; do
	if [ -x "$candidate" ] && "$candidate" --version | grep -qF "$version"; then
		python=$candidate
		break
	fi
done
test -n "$python" || fail "Python $version was found by lock, and not here"
uv=$(ls "$store"/tools/*/uv)
"$uv" build --quiet --wheel --python "$python" --build-constraints "$work/constraints.txt" --require-hashes -o "$work/uv" . || fail "uv build"
"$uv" venv --quiet --seed --python "$python" "$work/venv" && "$work/venv/bin/python" -m pip install -q -U 'pip>=26' || fail "pip"
"$work/venv/bin/python" -m pip wheel -q --no-deps --build-constraint "$work/constraints.txt" -w "$work/pip" . || fail "pip wheel"
seen() { python3 -c 'import sys, zipfile; sys.stdout.write(zipfile.ZipFile(sys.argv[1]).read("seen.txt").decode())' "$1"; }
for tool in uv pip; do
	diff <(seen "$work/ours"/*.whl) <(seen "$work/$tool"/*.whl) || fail "$tool built another environment"
done
seen "$work/ours"/*.whl | tr '\n' ' '
echo
sed 's/sha256:\(.\)/sha256:0\1/; s/sha256:0\(.\{63\}\)./sha256:0\1/' "$work/constraints.txt" >"$work/wrong.txt"
"$uv" build --quiet --wheel --python "$python" --build-constraints "$work/wrong.txt" --require-hashes -o "$work/uv" . 2>/dev/null && fail "uv took another file"
"$work/venv/bin/python" -m pip wheel -q --no-deps --build-constraint "$work/wrong.txt" -w "$work/pip" . >/dev/null 2>&1 && fail "pip took another file"
# A published native wheel, with nothing said: the nearest environment, and nothing unexplained.
"$bin" rebuild markupsafe==3.0.3 --cache-dir "$store" >"$work/native" && fail "another compiler made the same bytes?"
test $? = 3 || { cat "$work/native"; fail "rebuild of a native wheel"; }
grep -q 'nothing unexplained' "$work/native" || { cat "$work/native"; fail "something is unexplained"; }
grep '  code ' "$work/native"
echo "locked: all held"
