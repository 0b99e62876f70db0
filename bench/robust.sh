#!/usr/bin/env bash
# Two processes with four jobs each on one new store, one of them killed with -9
# on its way; then the store is right and the next run is. After that one lock,
# built by another user, elsewhere, offline: same sha256.
set -uo pipefail
bin=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
printf '%s\n' six==1.17.0 attrs==25.4.0 flask==3.1.3 requests==2.31.0 idna==3.7 click==8.1.7 packaging==24.0 pluggy==1.5.0 >"$work/requirements.txt"
fail() {
	echo "robust: $*" >&2
	exit 1
}
run() { "$bin" rebuild -q -r "$work/requirements.txt" --jobs 4 --cache-dir "$work/store"; }
run >"$work/first" 2>&1 &
first=$!
run >"$work/second" 2>&1 &
second=$!
# Kill the first as soon as the store holds some files: in the middle.
until [ "$(find "$work/store/files" -type f 2>/dev/null | wc -l)" -ge 4 ] || ! kill -0 "$first" 2>/dev/null; do :; done
kill -9 "$first" 2>/dev/null
wait "$first" 2>/dev/null
wait "$second" || { cat "$work/second"; fail "the process that was left alone did not prove all"; }
tail -n 1 "$work/second"
"$bin" cache verify --cache-dir "$work/store" || fail "something wrong is in the store"
run >"$work/third" 2>&1 || { cat "$work/third"; fail "the run after the kill did not prove all"; }
tail -n 1 "$work/third"
left=$(ls -A "$work/store/cages" 2>/dev/null)
test -z "$left" || fail "cages are left: $left"

"$bin" rebuild -q requests==2.31.0 --cache-dir "$work/store" --write-lock "$work/requests.lock" || fail "no lock"
mkdir "$work/elsewhere" && cp -r "$work/store" "$work/elsewhere/copy" || fail "copy"
again=("$bin" rebuild -q --lock "$work/requests.lock" --offline --cache-dir "$work/elsewhere/copy")
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && ls /usr/bin/python3.11 >/dev/null 2>&1; then
	cp "$bin" "$work/truewheel" && chmod 755 "$work/truewheel" && chown -R 1000 "$work/elsewhere" && chmod 644 "$work/requests.lock"
	again[0]="$work/truewheel"
	again=(setpriv --reuid=1000 --regid=1000 --clear-groups env -i PATH=/usr/bin:/bin "HOME=$work/elsewhere" "${again[@]}")
fi
(cd / && umask 077 && "${again[@]}") || fail "the same lock gave other bytes elsewhere"
echo "robust: all held"
