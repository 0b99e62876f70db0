# The targets that people use: make rebuild RELEASE=attrs==25.4.0, make test.
# Needs: Go 1.26, git, a Python 3 with pip (its settings say which index to ask).

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
FUZZTIME ?= 20m
BIN = bin/truewheel

.PHONY: all build rebuild test lint vuln unit cross fuzz e2e bench bench-diff bench-native survey evidence hostile docs runtime clean

all: build

build:
	CGO_ENABLED=0 go build -trimpath -o $(BIN) ./cmd/truewheel

# Does all set-up and the main job.
RELEASE ?= attrs==25.4.0
rebuild: build
	$(BIN) rebuild $(RELEASE)

test: lint vuln unit cross
	bench/fuzz.sh 180s
	$(MAKE) e2e

lint:
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	go vet ./...
	go run $(STATICCHECK) ./...

vuln:
	bench/vuln.sh $(GOVULNCHECK)

unit:
	go test -race ./...

# The other systems compile and vet.
cross:
	GOOS=darwin GOARCH=arm64 go vet ./...
	GOOS=windows GOARCH=amd64 go vet ./...

# All fuzz targets share the time.
fuzz:
	bench/fuzz.sh $(FUZZTIME)

# Real releases, one for each backend.
e2e: build
	bench/e2e.sh $(BIN)
	bench/robust.sh $(BIN)
	bench/locked.sh $(BIN)
	bench/oci.sh $(BIN)

# The table of docs/bench.md, and bench/results.tsv. Lists: LISTS="a.tsv b.tsv".
bench: build
	bench/bench.py --truewheel $(BIN) $(BENCHFLAGS) $(LISTS)

# diff against diffoscope, on pairs made from published wheels: the table of docs/bench.md.
# Installs diffoscope and the compilers of the pairs from Debian's packages.
MAKE_PAIRS ?= ../shared/bench/make_pairs.py
PAIRS ?= /var/tmp/truewheel-pairs
bench-diff: build
	command -v diffoscope gcc-11 gcc-12 >/dev/null || apt-get install -y -qq diffoscope-minimal gcc-11 gcc-12 python3-dev
	test -e $(PAIRS)/manifest.tsv || python3 $(MAKE_PAIRS) $(PAIRS) --native
	bench/diff.py --truewheel $(abspath $(BIN)) --pairs $(PAIRS)

# Native projects locked and built twice, and by hand: the table of docs/bench.md. As root. NATIVE="markupsafe numpy" for some.
bench-native: build
	bench/native.py --truewheel $(abspath $(BIN)) --by-hand $(NATIVE)

# The survey of native wheels: docs/survey.md. As root. SURVEY="numpy==2.4.6 ..." for some; what is in SURVEY_WORK is not built again.
SURVEY_WORK ?= /var/tmp/truewheel-survey
survey: build
	bench/survey.py --truewheel $(abspath $(BIN)) --work $(SURVEY_WORK) $(SURVEY)
	bench/survey.py --work $(SURVEY_WORK) --write

# What inspect reads off native wheels, against readelf and strings: docs/evidence.md.
evidence: build
	command -v readelf >/dev/null || apt-get install -y -qq binutils
	bench/evidence.py --truewheel $(abspath $(BIN)) --write

# An OCI runtime, where the packages are Debian's and we are root.
runtime:
	bench/runtime.sh

docs: build
	go run ./internal/docs docs
	bench/picture.py docs/terminal.svg $(BIN) rebuild attrs==25.4.0

clean:
	rm -rf bin out

# docs/hostile.md: what installers do with hostile wheels. make hostile UV=... PYTHONS="python3.12 ..."
PYTHONS ?= python3
UV ?= $(firstword $(wildcard $(HOME)/.cache/truewheel/tools/*/uv))
hostile:
	bench/hostile.py --uv $(UV) $(PYTHONS)
