# `make` alone lists what there is. Works with GNU make 3.81 and later.

PREFIX ?= /usr/local
SWIFT ?= swift

# Folders by name: Benchmarks/.build holds copies of other people's sources.
SWIFT_SOURCES = Package.swift Sources Tests \
	Benchmarks/Package.swift Benchmarks/Sources Benchmarks/Benchmarks \
	Benchmarks/Instructions/Package.swift Benchmarks/Instructions/Sources

# The tool carries Swift's library with it on Linux: it then starts faster and needs only liblmdb.
ifeq ($(shell uname -s),Linux)
STATIC = --static-swift-stdlib
endif
BUILD_TOOL = $(SWIFT) build -c release --product petiole $(STATIC)

.PHONY: help deps build test test-encryption lint format tsan bench instructions demo man completions
.PHONY: clean install

help:
	@echo 'make deps     install what is missing to build (Debian, Ubuntu), or say what it is'
	@echo 'make build    build the tool for release: .build/release/petiole'
	@echo 'make test     build and run all tests'
	@echo 'make test-encryption   build with the trait Encryption and run the tests of what is sealed'
	@echo 'make lint     check the format of all Swift sources'
	@echo 'make format   format all Swift sources in place'
	@echo 'make tsan     run the tests of dispatch and of the log writer under the thread sanitizer'
	@echo 'make bench    measure and print one table; BENCH="--quick --only ring" narrows it'
	@echo 'make instructions   count the instructions of a job under valgrind; fail above the bound (Linux only)'
	@echo 'make demo     kill a run of 3,000 files half-way, start it again, check every result'
	@echo 'make man      make the manual pages of the tool: .build/man'
	@echo 'make completions   make what bash, zsh and fish complete words by: .build/completions'
	@echo 'make install  install the tool, its manual and completions below $$(PREFIX), now $(PREFIX)'
	@echo 'make clean    remove what was built'

deps:
	@SWIFT='$(SWIFT)' .make/deps

build: deps
	$(BUILD_TOOL)

test: deps
	@SWIFT='$(SWIFT)' .make/test

test-encryption: deps
	@SWIFT='$(SWIFT)' .make/test --traits Encryption --scratch-path .build-encryption \
		--filter 'Encryption|Sealed|Secret'

lint: deps
	$(SWIFT) format lint --strict --recursive $(SWIFT_SOURCES)

format: deps
	$(SWIFT) format --in-place --recursive $(SWIFT_SOURCES)

tsan: deps
	TSAN_OPTIONS="halt_on_error=1 suppressions=$(CURDIR)/.make/tsan-suppressions" \
	$(SWIFT) test --disable-xctest --sanitize=thread --scratch-path .build-tsan \
		--filter 'PetioleDispatchTests|LogWriter'

bench: build
	$(SWIFT) run -c release --package-path Benchmarks petiole-bench $(BENCH)

instructions:
	@SWIFT='$(SWIFT)' .make/instructions

demo: build
	@.make/demo .build/release/petiole

man: build
	@rm -rf .build/man
	.make/man .build/release/petiole .build/man

completions: build
	@mkdir -p .build/completions
	.build/release/petiole --generate-completion-script bash > .build/completions/petiole
	.build/release/petiole --generate-completion-script zsh > .build/completions/_petiole
	.build/release/petiole --generate-completion-script fish > .build/completions/petiole.fish

install: build man completions
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/man/man1' \
		'$(DESTDIR)$(PREFIX)/share/bash-completion/completions' \
		'$(DESTDIR)$(PREFIX)/share/zsh/site-functions' \
		'$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d'
	install -m 755 .build/release/petiole '$(DESTDIR)$(PREFIX)/bin/petiole'
	install -m 644 .build/man/*.1 '$(DESTDIR)$(PREFIX)/share/man/man1'
	install -m 644 .build/completions/petiole '$(DESTDIR)$(PREFIX)/share/bash-completion/completions'
	install -m 644 .build/completions/_petiole '$(DESTDIR)$(PREFIX)/share/zsh/site-functions'
	install -m 644 .build/completions/petiole.fish '$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d'

clean:
	rm -rf .build .build-tsan .build-encryption Benchmarks/.build Benchmarks/Instructions/.build
