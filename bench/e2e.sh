#!/usr/bin/env bash
# Rebuilds real releases, one for each backend, and wants each proven.
set -uo pipefail
bin=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0
check() { # what is wanted, then the command
	local want=$1
	shift
	"$bin" "$@" >"$out/log" 2>&1
	local got=$?
	if [ "$got" = "$want" ]; then
		passed=$((passed + 1))
		tail -n 1 "$out/log"
	else
		failed=$((failed + 1))
		echo "exit $got, not $want: truewheel $*"
		cat "$out/log"
	fi
}
while read -r release backend; do
	echo "== $release ($backend)"
	check 0 rebuild -q "$release"
done <<'EOF'
six==1.17.0 setuptools
requests==2.31.0 bdist_wheel
attrs==25.4.0 hatchling
flask==3.1.3 flit
rich==13.9.4 poetry-core
fastapi==0.165.0 pdm-backend
dnspython==2.9.1 uv_build
EOF
echo "== a lock, offline, twice"
check 0 rebuild -q attrs==25.4.0 --write-lock "$out/attrs.lock"
check 0 rebuild -q --lock "$out/attrs.lock" --offline
echo "== what can't be proven says so"
check 3 rebuild -q ecdsa==0.19.2
check 1 rebuild -q no-such-project-of-truewheel==1.0
check 2 rebuild -q attrs
echo "$passed passed, $failed failed"
test "$failed" = 0
