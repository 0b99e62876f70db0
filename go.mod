module github.com/truewheel/truewheel

go 1.26.0

// Command line, and documentation made from it.
require (
	github.com/spf13/cobra v1.10.2
	golang.org/x/term v0.47.0 // is there a terminal?
)

// Formats: TOML (locks, pyproject.toml), package URLs, HTML pages of indexes, xz,
// names by case and Unicode normal form.
require (
	github.com/package-url/packageurl-go v0.1.7
	github.com/pelletier/go-toml/v2 v2.4.3
	github.com/ulikunitz/xz v0.5.17
	golang.org/x/net v0.62.0
	golang.org/x/text v0.43.0
)

// Credentials of the index.
require github.com/jdx/go-netrc v1.0.0

// Running things: the cage's description, encoders in WebAssembly, several rebuilds at once.
require (
	github.com/opencontainers/runtime-spec v1.3.0
	github.com/tetratelabs/wazero v1.12.0
	golang.org/x/sync v0.24.0
	golang.org/x/sys v0.49.0
)

// What differs: names of C++ and Rust functions, disassembly, zstd and a faster inflate.
require (
	github.com/ianlancetaylor/demangle v0.0.0-20260724033716-83e58baca724
	github.com/klauspost/compress v1.20.3
	golang.org/x/arch v0.32.0
)

// Unified diffs; tests: scripts.
require github.com/rogpeppe/go-internal v1.16.0

// Debian's signed indexes: OpenPGP, versions and dependencies of packages.
require (
	github.com/ProtonMail/go-crypto v1.5.2
	pault.ag/go/debian v0.19.0
)

// A lock as a bill of materials.
require github.com/CycloneDX/cyclonedx-go v0.12.0

// Images: registries, manifests, credentials; in tests a registry.
require github.com/google/go-containerregistry v0.22.1

require (
	github.com/cloudflare/circl v1.6.3 // indirect
	github.com/cpuguy83/go-md2man/v2 v2.0.7 // indirect
	github.com/docker/cli v29.7.2+incompatible // indirect
	github.com/docker/docker-credential-helpers v0.9.3 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	github.com/russross/blackfriday/v2 v2.1.0 // indirect
	github.com/sirupsen/logrus v1.9.4 // indirect
	github.com/spf13/pflag v1.0.10 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
	gotest.tools/v3 v3.5.2 // indirect
)
