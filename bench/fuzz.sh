#!/usr/bin/env bash
# Runs every fuzz target of the module; all share the time given (180s, 20m).
set -euo pipefail
total=${1%s}
case $1 in *m) total=$((${1%m} * 60)) ;; esac
targets=$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs grep -oHE '^func Fuzz[A-Za-z]+' | sed -E 's|^\./||; s|/[^/]+_test.go:func | |')
n=$(printf '%s\n' "$targets" | wc -l)
each=$((total / n))
test "$each" -gt 0 || each=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
while read -r dir name; do
	if go test -run '^$' -fuzz "^$name\$" -fuzztime "${each}s" -fuzzminimizetime 20x -parallel 2 "./$dir" >"$log" 2>&1; then
		tail -n 1 "$log"
		continue
	fi
	# When the time ends in the middle of an input, go test can call that a
	# failure (golang.org/issue/75804): no input is written then, and the only
	# message is the deadline's.
	if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log"; then
		echo "ok  	$dir $name (the time ended within an input)"
		continue
	fi
	cat "$log"
	exit 1
done <<<"$targets"
