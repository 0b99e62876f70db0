#!/usr/bin/env bash
# Makes the encoders' modules from the C sources that crates carry, and their licences.
# Needs cargo, and clang-14 and lld-14 (Debian's packages). The same bytes whenever it is run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # crate, version, sha256 of the crate: its sources are in $work/CRATE-VERSION/vendor/CRATE
	local dir=$work/$1-$2 got
	mkdir -p "$dir/src"
	touch "$dir/src/lib.rs"
	printf '[package]\nname = "sources"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n' "$1" "$2" >"$dir/Cargo.toml"
	(cd "$dir" && cargo vendor --quiet vendor >/dev/null)
	got=$(sed -E 's/.*"package":"([0-9a-f]+)".*/\1/' "$dir/vendor/$1/.cargo-checksum.json")
	test "$got" = "$3" || { echo "$1 $2 has sha256 $got, not $3" >&2; exit 1; }
}
fetch libz-sys 1.1.31 ff20308ecabd635a2dc1dd5834a86c462cca20efba1d5d3ddab1f8aea3455cb2
fetch cloudflare-zlib-sys 0.3.7 d11ad9b1a14235a8ce48c2622c57fde45c3f8e7d29344775583a847d245360be
fetch libz-ng-sys 1.1.32 4d6f7f90c9e84e2716ee493ef7493995eb52772deb5ce12f960c13f6a90350a3
fetch libz-ng-sys 1.1.15 c6409efc61b12687963e602df8ecf70e8ddacf95bc6576bcf16e3ac6328083c5
zlib=$work/libz-sys-1.1.31/vendor/libz-sys/src/zlib
cloudflare=$work/cloudflare-zlib-sys-0.3.7/vendor/cloudflare-zlib-sys
ng=$work/libz-ng-sys-1.1.32/vendor/libz-ng-sys/src/zlib-ng
ng21=$work/libz-ng-sys-1.1.15/vendor/libz-ng-sys/src/zlib-ng

compile() { # module, directory of the sources, sources and flags
	local out=$1 dir=$2
	shift 2
	(cd "$dir" && clang-14 --target=wasm32 -O2 -mbulk-memory -nostdlib -ffreestanding -w -include stddef.h -I"$here/include" -I. \
		-Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536 -o "$here/$out" "$here/shim.c" "$@")
	chmod 644 "$here/$out"
}
classic=(-DZ_SOLO -DNO_GZIP deflate.c trees.c adler32.c crc32.c zutil.c)
compile zlib.wasm "$zlib" "${classic[@]}"
# HAS_SSE2: without it the fork forgets to move its hash table with the window. ctzl: its long has 64 bits.
fork=("${classic[@]}" -Dz_size_t=size_t -D__builtin_ctzl=__builtin_ctzll -DHAS_SSE2 -I"$here/simd" -include immintrin.h)
compile cloudflare.wasm "$cloudflare" "${fork[@]}"
compile cloudflare-crc32c.wasm "$cloudflare" "${fork[@]}" -DHAS_SSE42

for dir in "$ng" "$ng21"; do # what zlib-ng's configure makes
	for header in zlib-ng.h zconf-ng.h; do sed 's/@ZLIB_SYMBOL_PREFIX@//g' "$dir/$header.in" >"$dir/$header"; done
	cp "$dir/zlib_name_mangling.h.empty" "$dir/zlib_name_mangling-ng.h"
done
new=(-DZLIB_NG -Wl,--wrap=zng_fill_window -DHAVE_ATTRIBUTE_ALIGNED -DHAVE_BUILTIN_CTZ -DHAVE_BUILTIN_CTZLL "$here/ng.c" deflate.c deflate_fast.c deflate_huff.c deflate_medium.c
	deflate_quick.c deflate_rle.c deflate_slow.c deflate_stored.c insert_string_roll.c trees.c)
old=(-DNO_MEDIUM_STRATEGY -DNO_QUICK_STRATEGY) # what WITH_NEW_STRATEGIES=OFF sets
now=(-DDISABLE_RUNTIME_CPU_DETECTION -DWITHOUT_CHORBA insert_string.c arch/generic/slide_hash_c.c arch/generic/compare256_c.c)
# UNALIGNED: as on x86-64; it decides when levels 1 to 4 stop searching.
crc32c=(-DUNALIGNED_OK -DUNALIGNED64_OK '-DHASH(name)=name##_sse42' -DX86_SSE42 -I"$here/simd" arch/x86/insert_string_sse42.c slide_hash.c compare256.c)
compile zlib-ng.wasm "$ng" "${new[@]}" "${now[@]}"
compile zlib-ng-classic.wasm "$ng" "${new[@]}" "${now[@]}" "${old[@]}"
compile zlib-ng-crc32c.wasm "$ng21" "${new[@]}" "${crc32c[@]}"
compile zlib-ng-crc32c-classic.wasm "$ng21" "${new[@]}" "${crc32c[@]}" "${old[@]}"

cp "$zlib/LICENSE" "$here/LICENSE.zlib"
cp "$cloudflare/LICENSE" "$here/LICENSE.cloudflare"
cp "$ng/LICENSE.md" "$here/LICENSE.zlib-ng"
