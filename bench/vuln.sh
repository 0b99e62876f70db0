#!/bin/sh
# govulncheck, which needs its database from the network: where that can't be
# reached it says so and is no failure.
out=$(go run "$1" ./... 2>&1)
code=$?
echo "$out"
case "$out" in
*"fetching vulnerabilities"*) echo "govulncheck: the database can't be reached from here: NOT CHECKED" >&2; exit 0 ;;
esac
exit $code
