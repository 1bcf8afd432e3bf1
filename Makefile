# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   make            builds ./tillwatch
#   make unit       unit tests (cmocka); SAN=1 runs them under the sanitizers
#   make calibrate  how often the judge is wrong and how soon it is right, by simulation, beside other ways of judging
#   make arm64      the kernel programs as an arm64 kernel gets them: that they compile
#   make fuzz       every fuzz target for a minute; TIME=600 TARGETS="http1 elf": two of them for ten
#   make lint       cppcheck and clang-tidy
#   make test-kernels   on Debian's kernels from 5.10 to 7.x, emulated; TESTS="doctor exchanges" leaves the packets out
#   sudo make demo  sudo make test  sudo make bench: each does all its own set-up; TLS=1 runs the demo over TLS
#
# V=1 shows the commands, SAN=1 builds with address and undefined-behaviour sanitizers (into build/san), FUZZ=1 with
# those and clang's fuzzer (into build/fuzz, see scripts/fuzz), VMLINUX_H=FILE compiles the kernel programs against another vmlinux.h.

V ?= 0
SAN ?= 0
FUZZ ?= 0
TIME ?= 60
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

CC := gcc
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= bpftool
VMLINUX_H ?= bpf/vmlinux.h
ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
VERSION := 0.1.0

# Does the compiler take this flag without a word?
takes = $(shell $(CC) -Werror -O2 $(1) -include stdio.h -fsyntax-only -x c /dev/null 2>/dev/null && echo yes)

SANITIZERS := -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer
ifeq ($(FUZZ),1)
CC := $(CLANG)
B := build/fuzz
OPT := -O1 $(SANITIZERS) -fsanitize=fuzzer-no-link
TOOL := build/fuzz/tillwatch
# The warnings are gcc's: clang takes these for more than gcc does.
EXTRA_CFLAGS += -Wno-missing-field-initializers -Wno-unknown-attributes -Wno-format-nonliteral
else ifeq ($(SAN),1)
B := build/san
OPT := -O1 $(SANITIZERS)
TOOL := build/san/tillwatch
else
B := build
# Level 3 also knows sizes that are worked out when it runs; a compiler without it takes it for 2 and says so.
OPT := -O2 -D_FORTIFY_SOURCE=$(if $(call takes,-D_FORTIFY_SOURCE=3),3,2)
TOOL := tillwatch
endif
GEN := build/gen# of the kernel programs: the same for all builds

# Each is proved on the binary by tests/e2e/test_hardened.py.
HARDEN := -fPIE -fstack-protector-strong \
	$(foreach f,-fstack-clash-protection -fcf-protection=full -mbranch-protection=standard,$(if $(call takes,$(f)),$(f)))
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Wundef -Wno-unused-parameter
CFLAGS := -std=gnu11 -g $(OPT) $(WARN) $(HARDEN) -D_GNU_SOURCE -DTW_VERSION='"$(VERSION)"' \
	-Iuser -Iinclude -Ibpf -I$(GEN) $(EXTRA_CFLAGS)
LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack $(OPT)
LDLIBS := -lbpf -lelf -lz -lcjson -lyaml -lcapstone -lnghttp2 -lcap-ng -lseccomp -lm
BPF_CFLAGS := -O2 -g -target bpf -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Wno-unused-parameter -Wno-address-of-packed-member \
	-mcpu=v2 -Iinclude -Ibpf $(if $(filter-out bpf/vmlinux.h,$(VMLINUX_H)),-DTW_VMLINUX='"$(abspath $(VMLINUX_H))"')

# One archive a folder, its sub-folders included; the order is the direction of the data, users first.
FOLDERS := cmd show session ticklog judge tls http2 capture rights model config base
LIBS := $(FOLDERS:%=$(B)/lib%.a)
SRCS := $(foreach f,$(FOLDERS),$(wildcard user/$(f)/*.c user/$(f)/*/*.c))
BPF_SRCS := $(wildcard bpf/*.bpf.c)
SKELS := $(BPF_SRCS:bpf/%.bpf.c=$(GEN)/%.skel.h)
PACKETS := $(patsubst tests/bpf/%.c,$(B)/bpf/%,$(wildcard tests/bpf/test_*.c))
UNIT := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))

all: $(TOOL)

$(TOOL): $(B)/user/main.o $(LIBS)
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(B)/user/main.o -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS)

define folder_lib
$(B)/lib$(1).a: $(patsubst %.c,$(B)/%.o,$(wildcard user/$(1)/*.c user/$(1)/*/*.c))
	$$(say) AR $$@
	$$(Q)rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_lib,$(f))))

$(B)/user/%.o: user/%.c Makefile | $(SKELS)
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(GEN)/%.bpf.o: bpf/%.bpf.c $(VMLINUX_H) Makefile
	@mkdir -p $(@D)
	$(say) BPF $<
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(GEN)/%.skel.h: $(GEN)/%.bpf.o
	$(say) SKEL $@
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@.tmp && mv $@.tmp $@

# --- tests ---------------------------------------------------------------------------------------------------------
$(B)/unit/%: tests/unit/%.c Makefile $(LIBS)
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS) -lcmocka

unit: $(UNIT)
	@JOBS=$$(nproc) scripts/run-unit $(UNIT)

# The calibration bench: its parts are a library, so that the unit tests can run a short form of it.
CALIBRATE := $(patsubst %.c,$(B)/%.o,$(filter-out %/calibrate.c,$(wildcard tests/calibrate/*.c)))

$(B)/tests/calibrate/%.o: tests/calibrate/%.c Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libcalibrate.a: $(CALIBRATE)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/calibrate: $(B)/tests/calibrate/calibrate.o $(B)/libcalibrate.a $(LIBS)
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(B)/libcalibrate.a -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS)

calibrate: $(B)/calibrate
	@$(B)/calibrate

$(filter $(B)/unit/test_calibration%,$(UNIT)): $(B)/unit/%: tests/unit/%.c Makefile $(B)/libcalibrate.a $(LIBS)
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CFLAGS) -Itests/calibrate -MMD -MP $(LDFLAGS) -o $@ $< $(B)/libcalibrate.a \
		-Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS) -lcmocka

# Crafted packets through the kernel's test-run facility; needs root.
packets: $(PACKETS)
	@scripts/run-unit $(PACKETS)

$(B)/bpf/%: tests/bpf/%.c Makefile $(LIBS)
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS) -lcmocka

# Those that are built on rig.h, in one process: tests/kernels/check_packets.
TOGETHER := $(sort $(patsubst tests/bpf/%.c,%,$(shell grep -lE '^.include "(talk|wire|kept)\.h"' tests/bpf/test_*.c)))

$(B)/together/%.o: tests/bpf/%.c Makefile | $(SKELS)
	@mkdir -p $(@D)
	$(say) CC "$< (together)"
	$(Q)$(CC) $(CFLAGS) $(if $(filter $*,$(TOGETHER)),-Dmain=$* -Wno-missing-prototypes) -I$(@D) -MMD -MP -c -o $@ $<

$(B)/together/together.o: $(B)/together/together.inc

$(B)/together/together.inc: Makefile $(wildcard tests/bpf/test_*.c)
	@mkdir -p $(@D)
	$(Q)printf 'P(%s)\n' $(TOGETHER) > $@

$(B)/together/together: $(TOGETHER:%=$(B)/together/%.o) $(B)/together/together.o $(LIBS)
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS) -lcmocka

guest-packets: $(B)/together/together \
	$(patsubst %,$(B)/bpf/%,$(filter-out $(TOGETHER),$(shell sed 's/\#.*//' tests/kernels/packets)))

# Fuzz targets; with FUZZ=1 only, scripts/fuzz runs them. Of the libraries each takes what it calls.
ifeq ($(FUZZ),1)
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))

$(FUZZERS): $(B)/%: tests/fuzz/fuzz_%.c Makefile $(LIBS)
	$(say) FUZZER $@
	$(Q)$(CC) $(CFLAGS) -MMD -MP $(LDFLAGS) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS)

# What a target starts from, where a program makes it.
SEEDS := $(patsubst tests/fuzz/%.c,$(B)/%,$(wildcard tests/fuzz/*_seeds.c))

$(SEEDS): $(B)/%: tests/fuzz/%.c Makefile $(LIBS)
	$(say) SEEDS $@
	$(Q)$(CC) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS) -lcmocka

fuzzers: $(FUZZERS) $(SEEDS)
endif

# The programs as an arm64 kernel gets them: that they compile, not that one takes them.
ARM64 := $(BPF_SRCS:bpf/%.bpf.c=build/arm64/%.bpf.o)

build/arm64/%.bpf.o: bpf/%.bpf.c $(VMLINUX_H) Makefile
	@mkdir -p $(@D)
	$(say) BPF "$< (arm64)"
	$(Q)$(CLANG) $(filter-out -D__TARGET_ARCH_%,$(BPF_CFLAGS)) -D__TARGET_ARCH_arm64 -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@ $<

arm64: $(ARM64)

# All programs in a plain load, those that the tool itself asks for one by one too: what scripts/kernels arm64 loads.
build/arm64/whole.o: bpf/tillwatch.bpf.c $(wildcard bpf/*.h include/*.h) Makefile
	@mkdir -p $(@D)
	$(say) BPF "$< (arm64, whole)"
	$(Q)$(CLANG) $(filter-out -D__TARGET_ARCH_%,$(BPF_CFLAGS)) -D__TARGET_ARCH_arm64 -E $< | sed 's/section("?/section("/' | \
		$(CLANG) -O2 -g -target bpf -mcpu=v2 -w -x c -c -o $@ -

test: ; @scripts/test
fuzz: ; @scripts/fuzz $(TIME) $(TARGETS)
test-kernels: ; @scripts/kernels all $(TESTS)
demo: ; @scripts/demo
bench: ; @scripts/bench

format:
	clang-format -i $$(git ls-files '*.c' '*.h' | grep -v vmlinux.h)

check-format:
	@scripts/check-style

# cppcheck and clang-tidy; the skeletons are included.
lint: $(SKELS)
	@scripts/lint

clean:
	rm -rf build tillwatch

.PHONY: all unit calibrate packets guest-packets arm64 fuzz fuzzers test test-kernels demo bench format check-format lint clean
.SECONDARY:
-include $(shell find $(B) $(GEN) \( -path $(B)/foreign -o -path $(B)/kernels \) -prune -o -name '*.d' -print 2>/dev/null)
