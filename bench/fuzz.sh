#!/usr/bin/env bash
# Runs every fuzz target of the module; all share the time given (180s, 20m).
set -euo pipefail
total=${1%s}
case $1 in *m) total=$((${1%m} * 60)) ;; esac
targets=$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs grep -oHE '^func Fuzz[A-Za-z]+' | sed -E 's|^\./||; s|/[^/]+_test.go:func | |')
n=$(printf '%s\n' "$targets" | wc -l)
each=$((total / n))
test "$each" -gt 0 || each=1
printf '%s\n' "$targets" | while read -r dir name; do
	go test -run '^$' -fuzz "^$name\$" -fuzztime "${each}s" -fuzzminimizetime 20x -parallel 2 "./$dir" | tail -n 1
done
