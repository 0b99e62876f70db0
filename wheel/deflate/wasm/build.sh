#!/usr/bin/env bash
# Makes the encoders' modules from the C sources that crates carry, and their licences.
# Needs cargo, and clang-14 and lld-14 (Debian's packages). The same bytes whenever it is run.
set -euo pipefail
LIBZ=ff20308ecabd635a2dc1dd5834a86c462cca20efba1d5d3ddab1f8aea3455cb2
CLOUDFLARE=d11ad9b1a14235a8ce48c2622c57fde45c3f8e7d29344775583a847d245360be
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/src"
touch "$work/src/lib.rs"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "sources"
version = "0.0.0"
edition = "2021"
[dependencies]
libz-sys = "=1.1.31"
cloudflare-zlib-sys = "=0.3.7"
TOML
(cd "$work" && cargo vendor --quiet vendor >/dev/null)
for crate in "libz-sys $LIBZ" "cloudflare-zlib-sys $CLOUDFLARE"; do
	read -r name want <<<"$crate"
	got=$(sed -E 's/.*"package":"([0-9a-f]+)".*/\1/' "$work/vendor/$name/.cargo-checksum.json")
	test "$got" = "$want" || { echo "$name has sha256 $got, not $want" >&2; exit 1; }
done
compile() { # output, directory of sources, further flags
	local out=$1 dir=$2
	shift 2
	(cd "$dir" && clang-14 --target=wasm32 -O2 -fno-builtin -nostdlib -ffreestanding -w -DZ_SOLO -DNO_GZIP -include stddef.h "$@" \
		-I"$here/include" -I. -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536 \
		-o "$here/$out" "$here/shim.c" deflate.c trees.c adler32.c crc32.c zutil.c)
	chmod 644 "$here/$out"
}
compile zlib.wasm "$work/vendor/libz-sys/src/zlib"
fork() { compile "$1" "$work/vendor/cloudflare-zlib-sys" -Dz_size_t=size_t -D__builtin_ctzl=__builtin_ctzll -DHAS_SSE2 -I"$here/simd" -include immintrin.h "${@:2}"; }
fork cloudflare.wasm
fork cloudflare-crc32c.wasm -DHAS_SSE42
cp "$work/vendor/libz-sys/src/zlib/LICENSE" "$here/LICENSE.zlib"
cp "$work/vendor/cloudflare-zlib-sys/LICENSE" "$here/LICENSE.cloudflare"
