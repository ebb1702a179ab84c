# SPDX-License-Identifier: Apache-2.0
#
# The only entry point. `make help` tells what there is. Sources are found by wildcard: a new .c in a layer's folder, a
# new folder under plugins/ and a new *_test.c need no line here. Everything made lies under $(BUILD); sanitizers and
# fuzzers have a build folder of their own with the same inner layout.

BUILD ?= build
V     ?= 0
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX  ?= /usr/local
DESTDIR ?=

SHELL := /bin/bash
.SHELLFLAGS := -euc
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.SECONDARY:
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
ifeq ($(V),0)
Q := @
say = @printf '%-8s %s\n' '$(1)' '$(2)';
else
Q :=
say :=
endif

# ---------------------------------------------------------------------------------------------------------- layers

# Lowest first; a layer uses only what stands to its left (tools/check-layers has the finer rules). The programs of
# tests/unit/<layer> are linked with that layer and the ones below it, so that a unit is tested without what is above.
LAYERS := base async cel crypto pii config telemetry http export bus app peer sentry resiliency control supervisor component actors api surface admin
below = $(if $(filter $(1),$(LAYERS)),$(call upto,$(1),$(LAYERS)))
upto  = $(firstword $(2)) $(if $(filter $(1),$(firstword $(2))),,$(call upto,$(1),$(wordlist 2,99,$(2))))

# ----------------------------------------------------------------------------------------------------------- flags

# A sanitizer build: SAN=address,undefined or SAN=thread. FUZZ=1: instrumented for libFuzzer (clang).
SAN    :=
FUZZ   :=
WERROR ?= 1

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings \
        -Wformat=2 -Wundef -Wvla -Walloca -Wswitch-enum -Werror=implicit -Werror=return-type
ifeq ($(WERROR),1)
WARN += -Werror
endif
ifeq ($(SAN),)
OPT  := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection
WARN += -Wframe-larger-than=4096
else
# Sanitizers pad every frame, bring their own checks of the C library, and hide from gcc what has been written.
WARN += $(if $(findstring clang,$(CC)),,-Wno-maybe-uninitialized)
OPT := -O1 -g -fsanitize=$(SAN) -fno-sanitize-recover=all -DREMORA_SANITIZE=1
ifneq ($(FUZZ),)
OPT += -fsanitize=fuzzer-no-link
endif
endif
OPT      += -fPIE -fno-omit-frame-pointer -pthread
INCLUDES := -Ikernel -I$(BUILD)/gen -Isdk-plugin/c/include
LIBFLAGS := -I/usr/include/cjson -DH2O_USE_LIBUV=0 -DH2O_USE_EPOLL=1
ALLFLAGS  = -std=gnu17 -D_GNU_SOURCE $(OPT) $(INCLUDES) $(LIBFLAGS) $(CFLAGS)
LINK      = $(CC) $(OPT) -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

# Only what a program really calls stays in it (--as-needed), so the order of generosity costs nothing.
LIBS_base   := -lcjson -lprotobuf-c -lyaml
LIBS_KERNEL := -lh2o-evloop -lev $(LIBS_base) -lnghttp2 -lssl -lcrypto -lz -lm
LIBS_PLUGIN := -lev $(LIBS_base) -lm
LIBS_REMORA := -lnng -lev $(LIBS_base)
LIBS_TEST   := $(if $(wildcard /usr/include/nng/nng.h),-lnng)

# By folder, on top of ALLFLAGS and WARN.
flags_of = $(ALLFLAGS) $(WARN) \
    $(if $(filter kernel/base/% kernel/bus/% kernel/config/%,$(1)),-Wconversion) \
    $(if $(filter kernel/async/task.c,$(1)),-U_FORTIFY_SOURCE) \
    $(if $(filter plugins/%,$(1)),$($(word 2,$(subst /, ,$(1)))_CFLAGS)) \
    $(if $(filter tests/%,$(1)),-I. -Itests -Itests/lib) \
    $(if $(filter tests/unit/plugins-%,$(1)),$(call plugin_flags,$(patsubst plugins-%,%,$(word 3,$(subst /, ,$(1))))))
plugin_flags = -Iplugins/$(1) $($(1)_CFLAGS)

# -------------------------------------------------------------------------------------------------------- contract

PROTO     := $(shell find proto -name '*.proto' 2>/dev/null)
# Messages of Google's that the API uses; libprotobuf-dev brings the files.
PROTO_GOOGLE := $(patsubst %,google/protobuf/%.proto,any duration empty struct timestamp wrappers)
PROTO_NAMES  := $(PROTO:proto/%=%) $(PROTO_GOOGLE)
PROTO_C   := $(PROTO_NAMES:%.proto=$(BUILD)/gen/%.pb-c.c)
PROTO_H   := $(PROTO_C:.c=.h) $(BUILD)/gen/descriptors.inc
PROTO_PY  := $(patsubst proto/%.proto,$(BUILD)/gen/python/%_pb2.py,$(filter proto/remora/%,$(PROTO)))
PROTO_BARE := $(PROTO_NAMES:%=$(BUILD)/gen-proto/%)
PROTO_O   := $(PROTO_C:$(BUILD)/%.c=$(BUILD)/obj/%.o)
PLUGIN_PROTO_O := $(filter $(BUILD)/obj/gen/remora/plugin/%,$(PROTO_O))

# Service blocks go: the C generator would make functions of them, whose names clash (`rpc Init` with `x__init`).
$(BUILD)/gen-proto/%.proto: proto/%.proto
	$(Q)mkdir -p $(@D)
	$(Q)awk '/^service /{skip=!/}[ \t]*$$/; next} !skip{print} /^}/{skip=0}' $< > $@

$(BUILD)/gen-proto/google/protobuf/%.proto: /usr/include/google/protobuf/%.proto
	$(Q)mkdir -p $(@D)
	$(Q)cp $< $@

# Two outputs of one command; the temporary folder makes them appear whole when two makes run at once. The pragma and the
# second cast keep our warnings out of the X__INIT macros: clang looks for dropped qualifiers in them nevertheless. What
# only a service block used is an unused import without it.
$(BUILD)/gen/%.pb-c.c $(BUILD)/gen/%.pb-c.h &: $(BUILD)/gen-proto/%.proto tools/protoc-gen-c | $(PROTO_BARE)
	$(call say,PROTO,proto/$*.proto)
	$(Q)t=$$(mktemp -d $(BUILD)/gen-proto/tmp.XXXXXX); \
	protoc --plugin=protoc-gen-c=tools/protoc-gen-c -I $(BUILD)/gen-proto -I /usr/include \
	    --c_out=$$t $(BUILD)/gen-proto/$*.proto 2> >(grep -v 'warning: Import .* is unused' >&2); \
	sed -i -e '1i #pragma GCC system_header' -e 's/(char \*)protobuf_c_empty_string/(char *)(uintptr_t)protobuf_c_empty_string/g' \
	    $$t/$*.pb-c.h; \
	mkdir -p $(BUILD)/gen/$(dir $*); mv $$t/$*.pb-c.[ch] $(BUILD)/gen/$(dir $*); rm -r $$t

# What server reflection tells: the public API, the services beside it and what they import, as bytes of a C array.
PROTO_PUBLIC := $(addprefix proto/,dapr/proto/runtime/v1/dapr.proto grpc/health/v1/health.proto \
                                   grpc/reflection/v1/reflection.proto grpc/reflection/v1alpha/reflection.proto)
$(BUILD)/gen/descriptors.inc: $(PROTO)
	$(call say,PROTO,$@)
	$(Q)mkdir -p $(@D)
	$(Q)t=$@.$$$$; protoc -I proto -I /usr/include --include_imports --descriptor_set_out=$$t.set $(PROTO_PUBLIC); \
	od -An -v -tx1 $$t.set | sed 's/ \(..\)/0x\1,/g' > $$t; rm $$t.set; mv $$t $@

$(BUILD)/gen/python/%_pb2.py: proto/%.proto
	$(Q)mkdir -p $(BUILD)/gen/python
	$(Q)protoc -I proto -I /usr/include --python_out=$(BUILD)/gen/python $<

# --------------------------------------------------------------------------------------------------------- objects

# The temporary name makes an object appear whole when two makes share a build folder.
define compile
$(call say,CC,$<)
$(Q)mkdir -p $(@D)
$(Q)$(CC) $(1) -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@.$$$$ && mv $@.$$$$ $@
endef
define archive
$(call say,AR,$@)
$(Q)mkdir -p $(@D)
$(Q)rm -f $@.$$$$; ar rcs $@.$$$$ $(filter %.o,$^) && mv $@.$$$$ $@
endef
define link
$(call say,LINK,$@)
$(Q)mkdir -p $(@D)
$(Q)$(LINK) $(2) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(1) -o $@.$$$$ && mv $@.$$$$ $@
endef

# A change of flags is a change of every object.
$(BUILD)/flags: FORCE
	$(Q)mkdir -p $(@D)
	@echo '$(CC) $(ALLFLAGS) $(WARN)' | cmp -s - $@ || echo '$(CC) $(ALLFLAGS) $(WARN)' > $@

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/flags | $(PROTO_H)
	$(call compile,$(ALLFLAGS) -w)

# The shim is static, small, and never sanitized: it runs before a plugin's own code does.
$(BUILD)/obj/kernel/exec/%.o: kernel/exec/%.c $(BUILD)/flags
	$(call compile,-std=gnu17 -D_GNU_SOURCE -Os -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong -ffunction-sections \
	    $(INCLUDES) $(WARN))

$(BUILD)/obj/%.o: %.c $(BUILD)/flags | $(PROTO_H)
	$(call compile,$(call flags_of,$<))

srcs = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)))
progs = $(patsubst %.c,$(BUILD)/%,$(wildcard $(1)))

# A layer without sources is an empty archive.
layer_a = $(BUILD)/lib/layers/$(1).a
# The certificate authority is a program of its own: its main() stays out.
$(foreach l,$(LAYERS),$(eval LAYER_O_$(l) := $(call srcs,$(filter-out kernel/sentry/remora_sentry.c,$(wildcard kernel/$(l)/*.c)))))
$(foreach l,$(LAYERS),$(eval $(call layer_a,$(l)): $(LAYER_O_$(l)); $$(archive)))
$(BUILD)/lib/layers/proto.a: $(PROTO_O)
	$(archive)
KERNEL_O := $(foreach l,$(LAYERS),$(LAYER_O_$(l))) $(PROTO_O)

LIBKERNEL := $(BUILD)/lib/libremora-kernel.a
LIBPLUGIN := $(BUILD)/lib/libremora-plugin.a
LIBTEST   := $(BUILD)/lib/libtest.a
$(LIBKERNEL): $(KERNEL_O)
	$(archive)
$(LIBPLUGIN): $(call srcs,sdk-plugin/c/src/*.c) $(LAYER_O_base) $(call srcs,kernel/bus/sp.c kernel/bus/frame.c) $(PLUGIN_PROTO_O)
	$(archive)
$(LIBTEST): $(filter-out %/fuzz_main.o,$(call srcs,tests/lib/*.c))
	$(archive)

# -------------------------------------------------------------------------------------------------------- programs

have = $(if $(wildcard $(1)),$(2))
BINS := $(call have,kernel/main/*.c,$(BUILD)/bin/remorad) $(call have,kernel/exec/*.c,$(BUILD)/bin/remora-exec) \
        $(call have,kernel/sentry/remora_sentry.c,$(BUILD)/bin/remora-sentry) \
        $(call have,tools/remora/*.c,$(BUILD)/bin/remora)

$(BUILD)/bin/remorad: $(call srcs,kernel/main/*.c) $(LIBKERNEL)
	$(call link,$(LIBS_KERNEL))
$(BUILD)/bin/remora-sentry: $(call srcs,kernel/sentry/remora_sentry.c) $(LIBKERNEL)
	$(call link,$(LIBS_KERNEL))
# The only program of ours that maps libnng.
$(BUILD)/bin/remora: $(call srcs,tools/remora/*.c) $(LIBKERNEL)
	$(call link,$(LIBS_REMORA))
$(BUILD)/bin/remora-exec: $(call srcs,kernel/exec/*.c)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -static -Wl,--gc-sections -Wl,-z,relro,-z,now $^ -o $@.$$$$ && mv $@.$$$$ $@

# A plugin: its folder's .c files and the SDK, with plugins/<name>/libs.mk naming further libraries in <name>_LIBS and
# <name>_CFLAGS, and files of plugins/shared/ in <name>_SHARED; or, without any .c, scripts that are copied. What else is
# in the folder comes along: manifest, examples.
-include $(wildcard plugins/*/libs.mk)
PLUGIN_NAMES := $(patsubst plugins/%/plugin.yaml,%,$(wildcard plugins/*/plugin.yaml))
TEST_PLUGIN_NAMES := $(patsubst tests/plugins/%/plugin.yaml,%,$(wildcard tests/plugins/*/plugin.yaml))
PLUGIN_SCRIPTS = $(filter-out %.c %.h %.mk %.md %/plugin.yaml,$(wildcard $(1)/*))
# $(1) source folder, $(2) name
define plugin_rules
$$(BUILD)/$(1)/plugin.yaml: $(1)/plugin.yaml $$(call PLUGIN_SCRIPTS,$(1))
	$$(Q)mkdir -p $$(@D)
	$$(Q)cp -p $$^ $$(@D)/
ifneq ($$(wildcard $(1)/*.c),)
$$(BUILD)/$(1)/$(2): $$(call srcs,$(1)/*.c $($(2)_SHARED:%=plugins/shared/%)) $$(LIBPLUGIN)
	$$(call link,$$($(2)_LIBS) $$(LIBS_PLUGIN))
endif
PLUGIN_FILES_$(1) := $$(BUILD)/$(1)/plugin.yaml $$(if $$(wildcard $(1)/*.c),$$(BUILD)/$(1)/$(2))
endef
$(foreach n,$(PLUGIN_NAMES),$(eval $(call plugin_rules,plugins/$(n),$(n))))
$(foreach n,$(TEST_PLUGIN_NAMES),$(eval $(call plugin_rules,tests/plugins/$(n),$(n))))
PLUGINS      := $(foreach n,$(PLUGIN_NAMES),$(PLUGIN_FILES_plugins/$(n)))
TEST_PLUGINS := $(foreach n,$(TEST_PLUGIN_NAMES),$(PLUGIN_FILES_tests/plugins/$(n)))

# ----------------------------------------------------------------------------------------------------------- tests

# tests/unit/<layer>: that layer and those below. tests/unit/sdk: the SDK. tests/unit/plugins-<name>: a plugin's files
# without plugin.c, which holds main(). tests/unit/<anything else>: the whole kernel.
UNIT_KERNEL := $(foreach l,$(LAYERS),$(call progs,tests/unit/$(l)/*_test.c))
UNIT_SDK    := $(call progs,tests/unit/sdk/*_test.c)
UNIT        := $(call progs,tests/unit/*/*_test.c)
UNIT_PLUGIN := $(call progs,tests/unit/plugins-*/*_test.c)
UNIT_REST   := $(filter-out $(UNIT_KERNEL) $(UNIT_SDK) $(UNIT_PLUGIN),$(UNIT))
PROGRAMS    := $(call progs,tests/integration/*_test.c tests/bench/*.c tests/prove/*.c)
CONFORM     := $(call have,tests/conformance/*.c,$(BUILD)/tests/conformance/conform)
FUZZ_NAMES  := $(patsubst tests/fuzz/%/target.c,%,$(wildcard tests/fuzz/*/target.c))
FUZZ_REPLAY := $(FUZZ_NAMES:%=$(BUILD)/tests/fuzz/%)

define unit_rule
$$(filter $$(BUILD)/tests/unit/$(1)/%,$$(UNIT)): $$(BUILD)/%: $$(BUILD)/obj/%.o $$(LIBTEST) \
    $$(foreach l,$$(call below,$(1)),$$(call layer_a,$$(l))) $$(BUILD)/lib/layers/proto.a
	$$(call link,$$(LIBS_KERNEL) $$(LIBS_TEST))
endef
$(foreach l,$(LAYERS),$(if $(filter $(BUILD)/tests/unit/$(l)/%,$(UNIT)),$(eval $(call unit_rule,$(l)))))
define plugin_unit_rule
$$(BUILD)/lib/plugins/$(1).a: $$(filter-out %/plugin.o,$$(call srcs,plugins/$(1)/*.c $($(1)_SHARED:%=plugins/shared/%)))
	$$(archive)
$$(filter $$(BUILD)/tests/unit/plugins-$(1)/%,$$(UNIT)): $$(BUILD)/%: $$(BUILD)/obj/%.o $$(LIBTEST) \
    $$(BUILD)/lib/plugins/$(1).a $$(LIBPLUGIN)
	$$(call link,$$($(1)_LIBS) $$(LIBS_PLUGIN) $$(LIBS_TEST))
endef
$(foreach n,$(patsubst tests/unit/plugins-%,%,$(wildcard tests/unit/plugins-*)),\
    $(if $(filter $(BUILD)/tests/unit/plugins-$(n)/%,$(UNIT)),$(eval $(call plugin_unit_rule,$(n)))))
$(UNIT_SDK): $(BUILD)/%: $(BUILD)/obj/%.o $(LIBTEST) $(LIBPLUGIN)
	$(call link,$(LIBS_PLUGIN) $(LIBS_TEST))
$(UNIT_REST) $(PROGRAMS): $(BUILD)/%: $(BUILD)/obj/%.o $(LIBTEST) $(LIBKERNEL)
	$(call link,$(LIBS_KERNEL) $(LIBS_TEST))
$(BUILD)/tests/conformance/conform: $(call srcs,tests/conformance/*.c) $(LIBTEST) $(LIBKERNEL)
	$(call link,$(LIBS_KERNEL) $(LIBS_TEST))
$(FUZZ_REPLAY): $(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%/target.o $(BUILD)/obj/tests/lib/fuzz_main.o $(LIBKERNEL) $(LIBPLUGIN)
	$(call link,$(LIBS_KERNEL))
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%/target.o $(LIBKERNEL) $(LIBPLUGIN)
	$(call link,$(LIBS_KERNEL),-fsanitize=fuzzer)

# What `make check` runs. L="base async" picks layers, T=name picks by name; then only what is picked gets built.
INTEGRATION := $(call progs,tests/integration/*_test.c) \
               $(wildcard tests/integration/*_test.py tests/integration/*_test.sh)
L :=
T :=
UNIT_L   = $(if $(L),$(foreach l,$(L),$(filter $(BUILD)/tests/unit/$(l)/%,$(UNIT))),$(UNIT))
pick     = $(if $(T),$(foreach t,$(1),$(if $(findstring $(T),$(t)),$(t))),$(1))
RUN_UNIT = $(call pick,$(UNIT_L))
RUN_MORE = $(if $(L),,$(call pick,$(INTEGRATION)))
# Experiments that say `in check: yes` near their top run there too, in their short form.
PROVE_SHORT := $(patsubst %.c,$(BUILD)/%,$(shell grep -ls 'in check: yes' tests/prove/*.c tests/prove/*.py tests/prove/*.sh))
# Sanitizers take memory and time of their own: figures measured under them say nothing.
RUN_PROVE = $(if $(L)$(SAN),,$(call pick,$(PROVE_SHORT)))
RUN_FUZZ = $(if $(L),,$(call pick,$(FUZZ_REPLAY)))
replay   = "$(1) $(wildcard $(patsubst $(BUILD)/%,%/corpus,$(1)) $(patsubst $(BUILD)/%,%/regressions,$(1)))"
# Integration tests need the whole product beside them.
PRODUCT  = $(BINS) $(PLUGINS) $(TEST_PLUGINS) $(CONFORM) $(PROTO_PY) $(LIBPLUGIN)
RUN      = tests/lib/run --build $(BUILD) $(if $(filter-out 0,$(V)),--verbose)

# --------------------------------------------------------------------------------------------------------- targets

.DEFAULT_GOAL := all
.PHONY: all help demo check check-fast check-built asan tsan sanitized fuzz bench prove coverage-api conform lint lint-fast fmt \
        install deps-build deps-test deps-lint clean FORCE programs

all: $(BINS) $(PLUGINS) $(LIBPLUGIN) ## build kernel, certificate authority, plugins and SDK into build/

programs: $(PRODUCT) $(UNIT) $(PROGRAMS) $(FUZZ_REPLAY) ## build also every test, experiment and benchmark

help: ## print this list
	@echo 'make TARGET [V=1] [CC=clang] [WERROR=0]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: deps-build ## install build packages, build, then store an order and read it back through crashes
	@$(MAKE) all
	@tools/demo

check: deps-test ## install test packages, build, run every test; T=name picks by name, L="base bus" unit tests of layers
	@lint=0; $(if $(T)$(L),,$(MAKE) lint-fast || lint=1;) $(MAKE) check-built; exit $$lint

check-built: $(RUN_UNIT) $(RUN_FUZZ) $(RUN_MORE) $(RUN_PROVE) $(if $(RUN_MORE)$(RUN_PROVE),$(PRODUCT) $(PROGRAMS))
	@$(RUN) $(RUN_UNIT) $(foreach t,$(RUN_FUZZ),$(call replay,$(t))) $(RUN_MORE) $(RUN_PROVE)

check-fast: $(RUN_UNIT) ## unit tests and quick lint in under 20 s, installing nothing; T= and L= as above
	@lint=0; $(if $(T)$(L),,$(MAKE) lint-fast || lint=1;) $(RUN) $(RUN_UNIT); exit $$lint

# Sanitizers of these compilers cannot live with kernels that randomise addresses more than they expect.
FIXED_ADDRESSES = $(shell setarch -R true 2>/dev/null && echo setarch -R)

asan: ## the tests of `make check` under AddressSanitizer and UndefinedBehaviorSanitizer, in build-asan/
	@ASAN_OPTIONS=$${ASAN_OPTIONS:-detect_stack_use_after_return=0:detect_leaks=1:strict_string_checks=1} \
	 UBSAN_OPTIONS=$${UBSAN_OPTIONS:-print_stacktrace=1} \
	 $(FIXED_ADDRESSES) $(MAKE) BUILD=build-asan SAN=address,undefined check-built

TSAN_LAYERS ?= base async bus http resiliency
tsan: ## unit tests of the layers that touch threads under ThreadSanitizer, in build-tsan/
	@TSAN_OPTIONS=$${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1} \
	 $(FIXED_ADDRESSES) $(MAKE) BUILD=build-tsan SAN=thread L="$(or $(L),$(TSAN_LAYERS))" check-built

SECONDS ?= 10
fuzz: ## explore with libFuzzer: TARGET=name (all without), SECONDS=10 each; findings go to the target's regressions/
	@$(MAKE) BUILD=build-fuzz CC=clang SAN=address,undefined FUZZ=1 $(patsubst %,build-fuzz/fuzz/%,$(or $(TARGET),$(FUZZ_NAMES)))
	@$(FIXED_ADDRESSES) tools/fuzz-run build-fuzz $(SECONDS) $(or $(TARGET),$(FUZZ_NAMES))

bench: all $(call progs,tests/bench/*.c) ## measure against the yardsticks; DAPRD=path runs a daprd binary beside it
	@tests/bench/run --build $(BUILD)

PROVE := $(sort $(basename $(notdir $(wildcard tests/prove/*.c tests/prove/*.py tests/prove/*.sh))))
prove: $(if $(T),$(PRODUCT) $(PROGRAMS)) ## list the experiments; T=name runs one (LONG=1 the long form)
	@tools/prove --build $(BUILD) $(T)

coverage-api: ## say which RPC and route is served and by which tests it is called; fails if one is by none
	@tools/coverage-api $(BUILD)/coverage-api.txt

conform: all $(CONFORM) $(PROTO_PY) ## judge a plugin executable against the contract: PLUGIN=name or path
	@tests/conformance/run --build $(BUILD) $(PLUGIN)

lint: deps-lint lint-fast ## all static checks: format, layers, style, every header alone, clang-tidy, cppcheck
	@$(MAKE) -s $(PROTO_H)
	@tools/lint $(BUILD)

lint-fast:
	@tools/check-layers
	@tools/check-style
	@tools/check-errors

P :=
fmt: ## format the C sources as .clang-format says; P=folder for a part
	@find $(or $(P),kernel sdk-plugin plugins tests tools) -name '*.[ch]' | xargs -r clang-format -i

install: all ## install under DESTDIR and PREFIX (/usr/local)
	@tools/install $(BUILD) '$(DESTDIR)$(PREFIX)'

deps-build: ## install the packages that building needs (apt; only what is missing)
	@tools/deps build

deps-test: ## install also what tests need, without starting any server, and a Python environment in build/venv
	@tools/deps build test

deps-lint: ## install also the linters
	@tools/deps build lint

clean: ## remove everything made
	rm -rf build build-asan build-tsan build-fuzz

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
