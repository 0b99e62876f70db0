#!/usr/bin/env bash
# A native project in an image: the image is made of a debian root, laid out as
# manylinux images are, and comes from a registry, a layout and an archive.
# Locked, built twice under different conditions, compared.
set -uo pipefail
bin=$(realpath "$1")
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
registry=
trap 'test -z "$registry" || kill "$registry"; rm -rf "$work"' EXIT
chmod 755 "$work"
store=$work/store
fail() {
	echo "oci: $*" >&2
	exit 1
}
case $("$bin" doctor --cache-dir "$store" 2>&1) in
*runc* | *crun*) ;;
*) echo "oci: no cage here: not checked" && exit 0 ;;
esac
(cd "$here" && go build -o "$work/image" ./bench/image) || fail "the helper"
cd "$work" || exit 1

echo "== an image made of a debian root"
"$bin" env fetch --lock "$here/examples/markupsafe/truewheel.lock" --cache-dir "$store" >fetched || { cat fetched; fail "fetch"; }
root=$(sed -n 's|^  \(/.*/root\)$|\1|p' fetched)
./image make "$root" . || fail "make the image"
./image serve layout host &
registry=$!
until [ -s host ] || ! kill -0 $registry 2>/dev/null; do :; done
host=$(cat host)

echo "== locked from a registry, built twice"
"$bin" lock markupsafe==3.0.3 --env oci --image "$host/demo/native:v1" --target cp311-manylinux_x86_64 -o oci.lock \
	--bundle inputs.bundle --cache-dir "$store" || fail "lock"
grep -q "python = '/opt/python/cp311-cp311/bin/python'" oci.lock || fail "not the interpreter of /opt/python"
grep -q 127.0.0.1 oci.lock && fail "the lock names a host"
"$bin" build --lock oci.lock --out first --cache-dir "$store" || fail "build"
"$bin" env digest --verify --lock oci.lock --cache-dir "$store" || fail "digest"
said=$("$bin" env shell --lock oci.lock --cache-dir "$store" -- sh -c 'echo "$DEMO; $(id -un); $(pwd)"; ls /usr/bin/python3 2>/dev/null') || true
test "$said" = "from the image; build; /build" || fail "the shell says: $said"
again=("$bin" build --bundle "$work/inputs.bundle" --offline --out "$work/elsewhere/second" --cache-dir "$work/elsewhere/store")
mkdir elsewhere
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	cp "$bin" truewheel && chown -R 1234 elsewhere && chmod 644 inputs.bundle
	again[0]=$work/truewheel
	again=(setpriv --reuid=1234 --regid=1234 --clear-groups env -i PATH=/usr/bin:/bin HOME="$work/elsewhere" TZ=Pacific/Chatham "${again[@]}")
fi
(cd / && umask 077 && "${again[@]}") || fail "the second build"
cmp first/*.whl elsewhere/second/*.whl || fail "the same lock gave other bytes elsewhere"

echo "== from a layout and an archive, without the registry"
kill $registry
registry=
"$bin" rebuild markupsafe==3.0.3 --lock oci.lock --image "oci:$work/layout" -q --cache-dir "$work/third"
test $? = 3 || fail "Debian's compiler is not the publisher's: that has to show"
"$bin" rebuild idna==3.7 --env oci --image "oci:$work/layout" -q --cache-dir "$work/third" || fail "a pure wheel in an image"
"$bin" build --lock oci.lock --out fourth --cache-dir "$work/fourth-store" >log 2>&1 && fail "built without an image"
grep -q "registries.conf" log || { cat log; fail "it does not say what is missing"; }
"$bin" lock markupsafe==3.0.3 --image "docker-archive:archive.tar" --target cp311-manylinux_x86_64 -o archive.lock --cache-dir "$work/third" || fail "lock from an archive"
test "$(grep '^root' oci.lock)" = "$(grep '^root' archive.lock)" || fail "the archive has another root"
sed "s/^root = '..../root = '0000/" oci.lock >edited.lock
"$bin" build --lock edited.lock --out edited --cache-dir "$store" >log 2>&1 && fail "an edited root was built in"
grep -q "the lock was edited" log || { cat log; fail "it does not say that the lock was edited"; }
echo "oci: all is as it has to be"
