#!/bin/sh
# Installs runc from Debian's packages where that is possible; builds are not caged without.
command -v runc >/dev/null || test -x /usr/sbin/runc && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends runc >/dev/null && exit 0
fi
echo "no OCI runtime could be installed: builds will not be caged" >&2
