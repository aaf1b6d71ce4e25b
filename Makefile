# pgquorum: one Makefile, no recursion. `make help` lists the targets.
.DEFAULT_GOAL := all
MODE ?= debug
# `make chaos MODE=a|s|q` is not of the build: which replication the cluster has (tests/chaos).
ifneq (,$(filter a s q,$(MODE)))
CHAOS_MODE := $(MODE)
override MODE := debug
endif
# Nor is `make compose MODE=self-contained|etcd-backed|etcd-serving`: whose store the containers have (compose).
ifneq (,$(filter self-contained etcd-backed etcd-serving,$(MODE)))
COMPOSE_MODE := $(MODE)
override MODE := debug
endif
BUILD ?= build/$(MODE)
CC ?= gcc
T ?=
comma := ,

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
    -Wmissing-prototypes -Wold-style-definition -Wformat=2 -Wundef -Wvla -Walloca -Wcast-align=strict \
    -Wpointer-arith -Wwrite-strings -Wduplicated-cond -Wduplicated-branches -Wlogical-op \
    -Wimplicit-fallthrough -Wdate-time -Wunused-macros -Wframe-larger-than=16384 \
    -Wno-format-truncation -Wno-unknown-warning-option -Werror
ifneq (,$(findstring clang,$(CC)))
WARNINGS := $(filter-out -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wcast-align=strict,$(WARNINGS)) -Wcast-align
endif

MODE_debug := -O1 -g
MODE_release := -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
MODE_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
MODE_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
MODE_cov := -O0 -g --coverage
MODE_FLAGS := $(MODE_$(MODE))
ifeq (,$(MODE_FLAGS))
$(error MODE=$(MODE) is none of debug release asan tsan cov)
endif
ifeq ($(MODE),cov) # without optimisation frames are larger than the ones that run
WARNINGS := $(filter-out -Wframe-larger-than=%,$(WARNINGS))
endif

CPPFLAGS += -Iinclude -I. -isystem /usr/include/postgresql -D_GNU_SOURCE
CFLAGS += -std=c11 $(MODE_$(MODE)) -fPIE
LDFLAGS += $(filter -fsanitize% -fno-sanitize% --coverage,$(MODE_$(MODE))) -pie
# Sanitizers put space round every variable, and a release inlines: the frames of tests are not those that run.
TEST_WARNINGS := $(filter-out -Wconversion -Wsign-conversion $(if $(filter asan tsan release,$(MODE)),-Wframe-larger-than=%),$(WARNINGS))

# --- libraft: the packaged static library, or its source (RAFT_SRC=DIR; always for asan and tsan) -----------
RAFT_VERSION := 0.22.1
RAFT_CACHE := build/deps/raft-$(RAFT_VERSION)
RAFT_SRC ?= $(if $(filter asan tsan,$(MODE)),$(RAFT_CACHE))
ifneq (,$(RAFT_SRC))
RAFT_LIB := $(BUILD)/libraft_src.a
RAFT_INC := -isystem $(BUILD)/raft_include
RAFT_HEADER := $(BUILD)/raft_include/raft.h
# The core and what raft.c links of the old interface; not its libuv backend. Assertions stay on: a broken contract
# ends the process instead of its memory.
RAFT_FILES := byte client configuration convert election entry err heap legacy log membership message progress random \
    raft recv recv_append_entries recv_append_entries_result recv_install_snapshot recv_request_vote \
    recv_request_vote_result recv_timeout_now replication restore snapshot state timeout tracing trail
RAFT_OBJECTS := $(RAFT_FILES:%=$(BUILD)/raft_src/%.o)
$(RAFT_HEADER): $(RAFT_SRC)/include/raft.h.in
	@mkdir -p $(@D)/include
	@sed 's/@enable_v0@//' $< > $(@D)/include/raft.h
	@cp $(@D)/include/raft.h $@
$(RAFT_SRC)/include/raft.h.in $(RAFT_FILES:%=$(RAFT_SRC)/src/%.c):
	@echo "the source of libraft $(RAFT_VERSION) is not in '$(RAFT_SRC)': run 'make deps', or give RAFT_SRC=DIR" >&2; exit 1
# Its sources say "../include/raft.h": -iquote lets that name our copy, so that nothing is written beside them.
$(RAFT_OBJECTS): $(BUILD)/raft_src/%.o: $(RAFT_SRC)/src/%.c $(RAFT_HEADER)
	@mkdir -p $(@D)
	@$(CC) -w -D_GNU_SOURCE -DV0_ENABLED -iquote $(BUILD)/raft_include/include -std=gnu11 $(MODE_$(MODE)) -fPIE -c -o $@ $<
$(RAFT_LIB): $(RAFT_OBJECTS)
	@rm -f $@
	@$(AR) rcs $@ $^
else
# Named before it is installed, so that one run of make can install and link it.
RAFT_LIB := /usr/lib/$(shell uname -m)-linux-gnu/libraft.a
RAFT_INC :=
RAFT_HEADER :=
endif

# --- rooms: one archive a directory; the linker takes what it needs ------------------------------------------
DIRS := base base/net raft/engine raft/store raft/etcd pgctl/parse pgctl/conf pgctl/sql pgctl/proc pgctl/jobs \
    pgctl/fence agent/config agent/ha agent/loop agent/dcs agent/api agent/cli agent
MAINS := agent/main.c pgctl/fence/fence_main.c
lib = $(BUILD)/lib$(subst /,_,$(1)).a
sources = $(filter-out $(MAINS),$(wildcard $(1)/*.c))
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
ALL_SOURCES := $(foreach d,$(DIRS),$(call sources,$(d))) $(wildcard $(MAINS))
define ROOM
$(call lib,$(1)): $(call objects,$(call sources,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	@$(AR) rcs $$@ $$^
endef
$(foreach d,$(DIRS),$(eval $(call ROOM,$(d))))

# What each group of unit tests, and each program, may link: the same arrows as in docs/architecture.md.
LINK_base := base
LINK_base_net := base/net base
LINK_raft_store := raft/store base
LINK_raft_engine := raft/engine raft/store base/net base
LINK_raft_etcd := raft/etcd $(LINK_raft_engine)
LINK_pgctl := pgctl/jobs pgctl/sql pgctl/proc pgctl/fence pgctl/conf pgctl/parse base/net base
LINK_agent_ha := agent/ha base
LINK_agent_config := agent/config pgctl/conf pgctl/parse base/net base
LINK_agent_dcs := agent/dcs agent/ha $(LINK_raft_engine)
LINK_agent_cli := agent/cli agent/dcs agent/config agent/ha pgctl/conf pgctl/parse $(LINK_raft_engine)
LINK_agent := agent agent/cli agent/api agent/loop agent/dcs agent/config agent/ha $(LINK_pgctl) $(LINK_raft_etcd)
LINK_agent_api := $(LINK_agent)
LINK_agent_loop := $(LINK_agent)
LINK_sim := agent/loop agent/dcs agent/ha agent/config pgctl/fence pgctl/parse pgctl/conf raft/engine raft/store base/net base
LINK_bench := $(LINK_agent)
libs = -Wl,--start-group $(foreach d,$(1),$(call lib,$(d))) $(RAFT_LIB) -Wl,--end-group
SYSLIBS := -luv -lsqlite3 -lpq -lyaml -ljansson -lssl -lcrypto -lhttp_parser -lnghttp2 -lcurl -lresolv -lpthread -lm

.PHONY: all
all: $(BUILD)/pgquorum $(BUILD)/pgquorum-fence

$(BUILD)/pgquorum: $(BUILD)/agent/main.o $(foreach d,$(LINK_agent),$(call lib,$(d))) $(RAFT_LIB)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $< $(call libs,$(LINK_agent)) $(SYSLIBS)

# Another release that differs in its number alone, for tests of an upgrade.
NEXT_VERSION := 0.2.0
NEXT_OBJECTS := $(patsubst %.c,$(BUILD)/next/%.o,$(shell grep -l '"agent/version.h"' agent/*.c agent/*/*.c))
.PHONY: next
next: $(BUILD)/next/pgquorum $(BUILD)/next/pgquorum-fence
$(BUILD)/next/pgquorum: $(BUILD)/pgquorum $(NEXT_OBJECTS)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $(BUILD)/agent/main.o $(NEXT_OBJECTS) $(call libs,$(LINK_agent)) $(SYSLIBS)
$(BUILD)/next/pgquorum-fence: $(BUILD)/pgquorum-fence
	@mkdir -p $(@D)
	@cp $< $@
$(BUILD)/next/%.o: %.c | $(RAFT_HEADER)
	@mkdir -p $(@D)
	@echo "  CC   $< $(NEXT_VERSION)"
	@$(CC) $(CPPFLAGS) -DPGQUORUM_VERSION='"$(NEXT_VERSION)"' $(RAFT_INC) $(CFLAGS) $(WARNINGS) -MMD -MP -c -o $@ $<

# The page at /ui is embedded by the assembler, of which -MMD knows nothing.
$(BUILD)/agent/api/api_ui_files.o: $(wildcard agent/api/ui/*)

# The fence has no library but libc: it must start and run when everything else is broken.
FENCE_SHARED := $(filter-out pgctl/fence/fence_client%.c,$(call sources,pgctl/fence)) base/log_writer.c
$(BUILD)/pgquorum-fence: $(call objects,pgctl/fence/fence_main.c $(FENCE_SHARED))
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^

$(BUILD)/tests/%.o: tests/%.c | $(RAFT_HEADER)
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CPPFLAGS) $(RAFT_INC) $(CFLAGS) $(TEST_WARNINGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.c | $(RAFT_HEADER)
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CPPFLAGS) $(RAFT_INC) $(CFLAGS) $(WARNINGS) -MMD -MP -c -o $@ $<

# --- unit tests: tests/unit/<group>/test_*.c, found, not registered; cmocka -----------------------------------
CONTAIN := $(BUILD)/contain
HARNESS := $(call objects,$(filter-out tests/harness/contain.c,$(wildcard tests/harness/*.c)))
$(CONTAIN): $(BUILD)/tests/harness/contain.o
	@$(CC) $(LDFLAGS) -o $@ $<
UNIT_SOURCES := $(wildcard tests/unit/*/test_*$(T)*.c)
UNIT_BINS := $(patsubst %.c,$(BUILD)/%,$(UNIT_SOURCES))
group = $(word 3,$(subst /, ,$(1)))
define UNIT
$(BUILD)/$(patsubst %.c,%,$(1)): $(BUILD)/$(patsubst %.c,%.o,$(1)) $(HARNESS) $(foreach d,$(LINK_$(call group,$(1))),$(call lib,$(d))) $(RAFT_LIB)
	@$$(CC) $$(LDFLAGS) -o $$@ $$< $$(HARNESS) $$(call libs,$$(LINK_$(call group,$(1)))) $$(SYSLIBS) -lcmocka
endef
$(foreach s,$(UNIT_SOURCES),$(eval $(call UNIT,$(s))))
$(filter $(BUILD)/tests/unit/pgctl/%,$(UNIT_BINS)): | $(BUILD)/pgquorum-fence $(BUILD)/watchdog_preload.so $(BUILD)/stall_preload.so

# A watchdog device that a test plays, and calls that stand still: to be preloaded.
$(BUILD)/watchdog_preload.so $(BUILD)/stall_preload.so: $(BUILD)/%.so: tests/chaos/%.c | $(DEPS_STAMP)
	@mkdir -p $(@D)
	@$(CC) -D_GNU_SOURCE -std=c11 -O1 -g -fPIC -shared $(TEST_WARNINGS) -o $@ $< -ldl

# --- the guard: a module of PostgreSQL's, one for each major version (PG=), built by its own rules: docs/consensus.md ----------
# Its headers are those of postgresql-server-dev-PG where that is installed, else those that `make guard-deps` has unpacked.
PG ?= 15
GUARD = build/guard/$(PG)
# That of the tests: of Debian 12's PostgreSQL, or 13's.
GUARD_PG := $(firstword $(foreach v,15 17,$(if $(wildcard /usr/lib/postgresql/$(v)/bin/postgres),$(v))) 15)
GUARD_SO := build/guard/$(GUARD_PG)/pgquorum_guard.so
PG_CONFIG ?= /usr/lib/postgresql/$(PG)/bin/pg_config
GUARD_HEADERS = $(firstword $(foreach d,$(shell $(PG_CONFIG) --includedir-server 2>/dev/null) \
    $(CURDIR)/build/deps/server-dev-$(PG)/usr/include/postgresql/$(PG)/server,$(if $(wildcard $(d)/postgres.h),$(d))))
GUARD_PGXS = --no-print-directory -s -C $(GUARD) -f $(CURDIR)/pgctl/guard/Makefile PG_CONFIG=$(PG_CONFIG) with_llvm=no \
    includedir_server=$(GUARD_HEADERS)
.PHONY: guard guard-install guard-deps
guard:
	@[ -e "$$($(PG_CONFIG) --pgxs 2>/dev/null)" ] || { echo "guard: PostgreSQL $(PG) is not there: no $(PG_CONFIG) that knows its PGXS" >&2; exit 1; }
	@[ -n "$(GUARD_HEADERS)" ] || { echo "guard: the headers of PostgreSQL $(PG)'s server are not there: make guard-deps PG=$(PG)" >&2; exit 1; }
	@mkdir -p $(GUARD)
	@echo "  PGXS $(GUARD)/pgquorum_guard.so"
	@$(MAKE) $(GUARD_PGXS) all
guard-install: guard
	$(MAKE) $(GUARD_PGXS) install DESTDIR=$(DESTDIR)
guard-deps:
	@tests/harness/guard_deps.sh $(PG)
# Tests of it are built in any case, and skip without it; where there is such a PostgreSQL, it is of this tree's.
ifneq (,$(wildcard /usr/lib/postgresql/$(GUARD_PG)/lib/pgxs/src/makefiles/pgxs.mk))
$(BUILD)/tests/unit/pgctl/test_guard $(BUILD)/tests/unit/pgctl/test_guard_fence chaos soak: $(GUARD_SO)
$(GUARD_SO): $(wildcard pgctl/guard/*) pgctl/fence/fence_page.c include/pgctl/fence.h include/base/lease_clock.h | $(DEPS_STAMP)
	@tests/harness/guard_deps.sh $(GUARD_PG)
	@$(MAKE) --no-print-directory guard PG=$(GUARD_PG)
endif

# --- what users and developers call ------------------------------------------------------------------------------
# Everything that builds first looks whether the packages are there, and installs them otherwise (root, or sudo): for the programs what compiles
# them, which is `make deps FOR=build`; for all else what tests them, too.
COMPILE_STAMP := build/deps/compiles
DEPS_STAMP := build/deps/installed
.PHONY: deps
deps:
	@tests/harness/deps.sh install $(FOR) </dev/null
	@$(if $(filter build,$(FOR)),:,tests/harness/deps.sh source </dev/null)
	@$(if $(filter build,$(FOR)),:,[ ! -d /usr/lib/postgresql/$(GUARD_PG) ] || tests/harness/guard_deps.sh $(GUARD_PG))
	@mkdir -p $(dir $(COMPILE_STAMP)) && touch $(COMPILE_STAMP) $(if $(filter build,$(FOR)),,$(DEPS_STAMP))
$(COMPILE_STAMP): tests/harness/deps.sh
	@$(MAKE) --no-print-directory deps FOR=build
$(DEPS_STAMP): tests/harness/deps.sh tests/harness/guard_deps.sh | $(COMPILE_STAMP)
	@$(MAKE) --no-print-directory deps FOR=
# The source of libraft comes with the rest.
OBJECTS_STAMP := $(if $(RAFT_SRC),$(DEPS_STAMP),$(COMPILE_STAMP))
ifeq (,$(RAFT_SRC))
$(RAFT_LIB): | $(COMPILE_STAMP) ;
endif
$(call objects,$(ALL_SOURCES)): | $(OBJECTS_STAMP)
$(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/*/*.c tests/*/*/*.c)): | $(DEPS_STAMP)

# Those that take long come first. `tests`: all that check runs, but for the fuzz harnesses, which another compiler makes.
UNIT_LONG := pgctl/test_fence_dog pgctl/test_pg_disk pgctl/test_fence_run pgctl/test_pg_jobs pgctl/test_guard pgctl/test_pg_rewind pgctl/test_pg_places \
    raft_engine/test_group agent_dcs/test_etcd_sync agent_dcs/test_dcs_etcd3 agent_dcs/test_dcs_etcd2 agent_dcs/test_dcs_etcd_faults agent_ha/test_decide_space \
    pgctl/test_pg_logical_promote raft_etcd/test_etcd_server_large agent_api/test_slow_tls raft_engine/test_peer_large raft_engine/test_group_slow_link agent_dcs/test_dcs_raft pgctl/test_pg_left agent_dcs/test_dcs_raft_remote \
    agent_dcs/test_etcd_srv raft_engine/test_storage base_net/test_http1_stream agent_api/test_security raft_engine/test_peer pgctl/test_pg_instance \
    raft_etcd/test_etcd_calls pgctl/test_fence_stalled raft_engine/test_group_old_copy base_net/test_http2_bounds raft_etcd/test_etcd_service pgctl/test_pg_logical \
    raft_engine/test_client_link agent_ha/test_world pgctl/test_pg_tls pgctl/test_pg_sync
UNIT_RUN := $(filter $(UNIT_BINS),$(UNIT_LONG:%=$(BUILD)/tests/unit/%)) $(filter-out $(UNIT_LONG:%=$(BUILD)/tests/unit/%),$(UNIT_BINS))
.PHONY: unit tests
unit: all $(CONTAIN) $(UNIT_BINS)
	@tests/harness/run_tests.sh $(BUILD) unit $(UNIT_RUN)
tests: $(CONTAIN) $(UNIT_BINS) $(BUILD)/sim

# What the unit tests run of each room and file, by gcov; red when a PURE room is below the bar (tests/harness/cov.py).
COV_BUILD := $(if $(filter file,$(origin BUILD)),build/cov,$(BUILD))
.PHONY: cov cov-figures
cov:
	@$(MAKE) --no-print-directory MODE=cov BUILD=$(COV_BUILD) cov-figures
cov-figures: all $(CONTAIN) $(UNIT_BINS)
	@/usr/bin/python3 tests/harness/cov.py $(BUILD) $(UNIT_BINS)

.PHONY: golden
golden: $(BUILD)/tests/unit/agent_ha/test_golden $(BUILD)/tests/unit/pgctl/test_pg_conf_golden
	@GOLDEN_WRITE=1 $(BUILD)/tests/unit/agent_ha/test_golden
	@GOLDEN_WRITE=1 $(BUILD)/tests/unit/pgctl/test_pg_conf_golden

FUZZ_SECONDS ?= 20
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*$(T)*.c)
FUZZ_BINS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(FUZZ_SOURCES))
FUZZ_FLAGS := -std=c11 -gline-tables-only -O1 -Iinclude -I. -isystem /usr/include/postgresql -D_GNU_SOURCE -fno-sanitize-recover=all -Wno-everything
# Whole rooms, and of those of which the harnesses use little, what that is: the linker misses what is not named here.
FUZZ_ROOMS := agent/config pgctl/conf pgctl/parse raft/engine raft/store base/net base
FUZZ_FILES := $(addprefix agent/dcs/,dcs_view etcd2_codec etcd3_codec etcd3_splitter) $(addprefix raft/etcd/etcd_,auth call encoder \
    error fields gateway grpc grpc_receive grpc_text json_decode json_encode json_scan proto room text v2_answer v2_request)
FUZZ_OBJECTS := $(patsubst %.c,build/fuzz/obj/%.o,$(foreach d,$(FUZZ_ROOMS),$(call sources,$(d))) $(FUZZ_FILES:=.c))
build/fuzz/obj/%.o: %.c | $(DEPS_STAMP)
	@mkdir -p $(@D)
	@echo "  FUZZ $<"
	@clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<
build/fuzz/liball.a: $(FUZZ_OBJECTS)
	@rm -f $@
	@$(AR) rcs $@ $^
build/fuzz/%: tests/fuzz/%.c $(wildcard tests/fuzz/*.h) build/fuzz/liball.a
	@echo "  LINK $@"
	@clang $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -o $@ $< build/fuzz/liball.a $(RAFT_LIB) $(SYSLIBS)
.PHONY: fuzz
fuzz: $(FUZZ_BINS)
	@tests/harness/run_fuzz.sh $(BUILD) $(FUZZ_SECONDS) $(FUZZ_BINS)

# The simulator: the very archives that pgquorum links; two functions of the store are looked at from outside.
SEEDS ?= 200
FIRST ?= 1
MINUTES ?= 1
SIM_OBJECTS := $(call objects,$(wildcard tests/sim/*.c))
SIM_WRAP := -Wl,--wrap=store_apply,--wrap=store_leases_due,--wrap=fopen,--wrap=ha_sync_key_read,--wrap=ha_sync_next,--wrap=ha_rules_run
$(BUILD)/sim: $(SIM_OBJECTS) $(foreach d,$(LINK_sim),$(call lib,$(d))) $(RAFT_LIB)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) $(SIM_WRAP) -o $@ $(SIM_OBJECTS) $(call libs,$(LINK_sim)) $(SYSLIBS)
SIM_BENT := "--cluster --without-fence" "--cluster --expire-early" "--store --expire-early" "--store --amnesia" \
    "--store --stale-read" "--drill vote_outlives_a_crash --forget-vote" "--drill clock_rates_at_the_bound --slow-clock" \
    "--drill raft_cut_while_replication_is_whole --still-receiving" "--drill who_confirmed_is_lost_with_the_primary --one-report" \
    "--drill primary_lost_while_the_new_one_lags --unconfirmed" "--drill primary_lost_while_the_set_changes --set-first" \
    "--drill resumed_while_isolated --without-unfenced" "--drill agent_and_fence_stand_still --without-watchdog"
# HOURS=n: nothing but seeds, from FIRST on, until n hours have passed in them.
.PHONY: sim
sim: $(BUILD)/sim
ifneq (,$(HOURS))
	@$(BUILD)/sim --hours $(HOURS) --first $(FIRST) --minutes $(MINUTES) --coverage
else
	@status=0; $(BUILD)/sim --drills || status=1; \
	$(BUILD)/sim --replay tests/sim/traces || status=1; \
	$(BUILD)/sim --seeds 5 --twice || status=1; \
	$(BUILD)/sim --seeds $(SEEDS) --first $(FIRST) --minutes $(MINUTES) || status=1; \
	for bent in $(SIM_BENT); do \
	    echo "sim $$bent"; $(BUILD)/sim --seeds 30 --must-fail $$bent || status=1; done; exit $$status
endif

# One bug at a time, each to be found (docs/safety.md). T=name,name runs those; QUICK=1 what check has time for.
.PHONY: mutants
mutants: $(BUILD)/sim
	@/usr/bin/python3 tests/mutants/run.py $(BUILD) --only "$(T)" $(if $(QUICK),--quick)

.PHONY: demo demo-down
demo: all | $(DEPS_STAMP)
	@tests/harness/demo.sh up $(BUILD)
demo-down:
	@tests/harness/demo.sh down

# The document's hosts as containers (docs/from-the-document.md). SUBNET=, WITNESS=1: compose/compose.sh.
.PHONY: compose compose-down
compose:
	@compose/compose.sh up $(or $(COMPOSE_MODE),self-contained)
compose-down:
	@compose/compose.sh down
# Needs a Docker engine, and skips without one. What was seen is in build/compose/figures.txt.
.PHONY: compose-test
compose-test: | $(DEPS_STAMP)
	@/usr/bin/python3 -m pytest -q -rs -k "$(T)" -p no:cacheprovider tests/compose

# Real Patronis and Python clients of etcd, where user postgres can read them; not below /tmp, of which a node has one of its own.
# ydiff, tenacity and protobuf: later ones have no more what these releases use.
PATRONI ?= /var/tmp/pgquorum-patroni/bin/patroni
PATRONI_3 ?= /var/tmp/pgquorum-patroni-3/bin/patroni
PYTHON_ETCD ?= /var/tmp/pgquorum-python-etcd/bin/python
$(PATRONI): | $(DEPS_STAMP)
	@/usr/bin/python3 -m venv $(dir $(@D))
	@$(@D)/pip install -q 'patroni[etcd,etcd3]==4.1.*' psycopg2-binary </dev/null
$(PATRONI_3): | $(DEPS_STAMP)
	@/usr/bin/python3 -m venv $(dir $(@D))
	@$(@D)/pip install -q 'patroni[etcd,etcd3]==3.0.2' 'ydiff==1.2' psycopg2-binary </dev/null
$(PYTHON_ETCD): | $(DEPS_STAMP)
	@/usr/bin/python3 -m venv $(dir $(@D))
	@$(@D)/pip install -q python-etcd 'etcd3==0.12.0' 'tenacity==6.3.1' 'protobuf<3.21' </dev/null

# The browser that looks at the page at /ui; too large for `make deps`.
BROWSER := /usr/bin/chromedriver
$(BROWSER): | $(DEPS_STAMP)
	@apt-get update -q
	@DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium chromium-driver python3-selenium </dev/null

# What members' Raft directories hold, for the checkers of tests/chaos: the engine's own reader, and the store that ships.
CHAOS_RAFT_LOG := $(BUILD)/raft_log
$(CHAOS_RAFT_LOG): $(BUILD)/tests/chaos/raft_log.o $(foreach d,$(LINK_raft_engine),$(call lib,$(d))) $(RAFT_LIB)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $< $(call libs,$(LINK_raft_engine)) $(SYSLIBS)

# Helpers of tests/chaos: a cable as a program, and wrong clocks to preload.
CHAOS_HELPERS := $(CHAOS_RAFT_LOG) $(BUILD)/chaos_link $(BUILD)/chaos_clock.so
$(BUILD)/chaos_link: $(BUILD)/tests/chaos/link.o
	@$(CC) $(LDFLAGS) -o $@ $<
$(BUILD)/chaos_clock.so: tests/chaos/clock_preload.c | $(DEPS_STAMP)
	@mkdir -p $(@D)
	@$(CC) -D_GNU_SOURCE -std=c11 -O1 -g -fPIC -shared -fvisibility=hidden $(TEST_WARNINGS) -o $@ $< -ldl

# What outgrew check is marked in tests/e2e as the rest; a part that T names is run wherever it belongs. The rest mostly waits
# for a ttl of Patroni's, so more of it is run at a time.
.PHONY: e2e e2e-rest
e2e: all $(CONTAIN) $(CHAOS_HELPERS) $(BUILD)/watchdog_preload.so
	@tests/harness/run_e2e.sh $(BUILD) $(if $(T),all,check) "$(T)"
e2e-rest: all $(CONTAIN) $(CHAOS_HELPERS) $(BUILD)/watchdog_preload.so $(PATRONI) $(PATRONI_3) $(PYTHON_ETCD) $(BROWSER)
	@PATRONI=$(abspath $(PATRONI)) PATRONI_3=$(abspath $(PATRONI_3)) PYTHON_ETCD=$(abspath $(PYTHON_ETCD)) \
	    E2E_JOBS=$${E2E_JOBS:-$$((2 * $$(nproc)))} tests/harness/run_e2e.sh $(BUILD) rest "$(T)"

# On Debian 13, whose PostgreSQL is 17, in a root that debootstrap makes: unit tests, and some of e2e. T= names those of e2e alone.
.PHONY: debian13
debian13: all $(CONTAIN)
	@tests/harness/debian13.sh $(BUILD) "$(T)"

# Seeded faults on real clusters (docs/safety.md). ONLY=FS-24 MODE=q SEED=n runs one, CONTROL=1 or FENCE=off without its fence; soak mixes them for HOURS.
.PHONY: chaos soak
HOURS ?= 1
chaos: all $(CONTAIN) $(CHAOS_HELPERS)
	@tests/chaos/run_chaos.sh $(BUILD) --only "$(ONLY)" --mode "$(CHAOS_MODE)" --seed "$(SEED)" $(if $(ALL),--all) $(if $(CONTROL),--control) $(if $(filter off,$(FENCE)),--fence-off)
soak: all $(CONTAIN) $(CHAOS_HELPERS)
	@tests/chaos/run_chaos.sh $(BUILD) --soak $(HOURS) --seed "$(SEED)"

# Figures, of a release build whatever MODE is. T= names a part (bench.py lists them), ROUNDS= how many times each.
ROUNDS ?= 10
BENCH_BUILD := $(if $(filter file,$(origin BUILD)),build/release,$(BUILD))
BENCH_DOC ?= docs/benchmarks.md
BENCH_PROGRAMS := $(BUILD)/bench_store $(BUILD)/bench_kv $(BUILD)/bench_watch $(BUILD)/bench_etcd $(BUILD)/sim $(BUILD)/tests/unit/pgctl/test_fence_run
$(BUILD)/bench_store: $(BUILD)/tests/bench/bench_store.o $(BUILD)/tests/harness/free_port.o $(foreach d,$(LINK_bench),$(call lib,$(d))) $(RAFT_LIB)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(call libs,$(LINK_bench)) $(SYSLIBS)
$(BUILD)/bench_kv: $(BUILD)/tests/bench/bench_kv.o $(foreach d,$(LINK_raft_store),$(call lib,$(d)))
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $< $(call libs,$(LINK_raft_store))
$(BUILD)/bench_watch: $(BUILD)/tests/bench/bench_watch.o $(foreach d,$(LINK_raft_etcd),$(call lib,$(d))) $(RAFT_LIB)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $< $(call libs,$(LINK_raft_etcd)) $(SYSLIBS) -lcmocka
$(BUILD)/bench_etcd: $(BUILD)/tests/bench/bench_etcd.o $(BUILD)/tests/bench/etcd_client.o $(foreach d,$(LINK_raft_etcd),$(call lib,$(d))) $(RAFT_LIB)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(call libs,$(LINK_raft_etcd)) $(SYSLIBS)
.PHONY: bench bench-programs
bench-programs: all $(BENCH_PROGRAMS)
bench:
	@$(MAKE) --no-print-directory MODE=release BUILD=$(BENCH_BUILD) T= bench-programs
	@CPPFLAGS=-DLOOP_TRANSFER_MS=INT64_MAX $(MAKE) --no-print-directory MODE=release BUILD=$(BENCH_BUILD)/raft_stays T= all
	@/usr/bin/python3 tests/bench/bench.py $(BENCH_BUILD) --rounds $(ROUNDS) --part "$(T)" --doc $(BENCH_DOC)

.PHONY: models
models:
	@tests/models/check.sh

# `asan` has MODE=asan: what the sanitizers look at beside the unit tests; that checkers catch bent rules needs none of them.
.PHONY: check check-all check-ci asan
check:
	@MAKE="$(MAKE)" tests/harness/check.sh $(BUILD)
check-ci:
	@MAKE="$(MAKE)" tests/harness/check.sh $(BUILD) all
asan: all tests
	@$(MAKE) --no-print-directory sim SEEDS=20 SIM_BENT=
check-all: check models mutants e2e-rest debian13 check-deb chaos compose-test

MAN_PAGE := build/man/pgquorum.1
$(MAN_PAGE): docs/command-line.md docs/man.awk agent/version.h
	@mkdir -p $(@D)
	@awk -v VERSION="$$(sed -n 's/^#define PGQUORUM_VERSION "\(.*\)"/\1/p' agent/version.h)" -f docs/man.awk $< > $@.new && mv $@.new $@
.PHONY: man
man: $(MAN_PAGE)

# Programs (of a release build, or those in the directory PROGRAMS), units of systemd (none is enabled), manual page, completion, documents with examples. agent/packaging makes a package of what is installed here.
.PHONY: install install-programs deb
PREFIX ?= /usr/local
DOCDIR := $(PREFIX)/share/doc/pgquorum
UNIT_DIR = $(DESTDIR)$(PREFIX)/lib/systemd/system
IN_PLACE := sed -e 's|@bindir@|$(PREFIX)/bin|' -e 's|@docdir@|$(DOCDIR)|'
PROGRAMS ?=
INSTALLED = $(or $(PROGRAMS),build/release)
install-programs:
	@$(if $(PROGRAMS),:,$(MAKE) --no-print-directory MODE=release all)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(INSTALLED)/pgquorum $(INSTALLED)/pgquorum-fence $(DESTDIR)$(PREFIX)/bin/
ifeq ($(COMPAT),1)
	ln -sf pgquorum $(DESTDIR)$(PREFIX)/bin/patroni
	ln -sf pgquorum $(DESTDIR)$(PREFIX)/bin/patronictl
endif
SHARE = $(DESTDIR)$(PREFIX)/share
BASH_DIR = $(SHARE)/bash-completion/completions
ZSH_DIR = $(SHARE)/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
install: install-programs man
	install -d $(SHARE)/man/man1 $(BASH_DIR) $(ZSH_DIR)
	install -m 644 $(MAN_PAGE) $(SHARE)/man/man1/
	$(INSTALLED)/pgquorum completion bash > $(BASH_DIR)/pgquorum
	$(INSTALLED)/pgquorum completion zsh > $(ZSH_DIR)/_pgquorum
	chmod 644 $(BASH_DIR)/pgquorum $(ZSH_DIR)/_pgquorum
ifeq ($(COMPAT),1)
	ln -sf pgquorum.1 $(SHARE)/man/man1/patronictl.1
	ln -sf pgquorum $(BASH_DIR)/patronictl
endif
	install -d $(UNIT_DIR) $(DESTDIR)$(PREFIX)/lib/tmpfiles.d $(DESTDIR)$(DOCDIR)/examples
	$(IN_PLACE) agent/packaging/pgquorum@.service.in > $(UNIT_DIR)/pgquorum@.service
	$(IN_PLACE) -e 's|%i|pgquorum|' agent/packaging/pgquorum@.service.in > $(UNIT_DIR)/pgquorum.service
	$(IN_PLACE) agent/packaging/pgquorum-witness@.service.in > $(UNIT_DIR)/pgquorum-witness@.service
	chmod 644 $(UNIT_DIR)/pgquorum*.service
	install -m 644 agent/packaging/pgquorum.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/pgquorum.conf
	install -d $(DESTDIR)$(DOCDIR)/monitoring $(DESTDIR)$(DOCDIR)/pt-BR
	install -m 644 README.md CHANGELOG.md NOTICE docs/*.md $(DESTDIR)$(DOCDIR)/
	install -m 644 docs/monitoring/* $(DESTDIR)$(DOCDIR)/monitoring/
	install -m 644 docs/pt-BR/*.md $(DESTDIR)$(DOCDIR)/pt-BR/
	install -m 644 agent/packaging/pgquorum.yml agent/packaging/witness.yml $(DESTDIR)$(DOCDIR)/examples/

deb: | $(COMPILE_STAMP)
	@agent/packaging/deb.sh build

# On clean Debians 12 and 13 under systemd (root). T= names tests.
.PHONY: check-deb
check-deb: deb $(CONTAIN)
	@BUILD=$(BUILD) $(CONTAIN) 3600 /usr/bin/python3 -m pytest -q -rs --durations=0 --durations-min=1 -p no:cacheprovider $(if $(T),-k "$(T)") tests/package/test_package.py </dev/null

# What of packages and compose files can be seen without a root of Debian and without images, of the programs that are built already.
.PHONY: smoke
smoke: all $(CONTAIN)
	@BUILD=$(abspath $(BUILD)) $(CONTAIN) 600 /usr/bin/python3 -m pytest -q -rs --durations=3 -p no:cacheprovider tests/package/test_smoke.py tests/compose/test_files.py </dev/null

# --- what no compiler checks ---------------------------------------------------------------------------------------
FORMATTED = $(shell git ls-files --cached --others --exclude-standard -- '*.c' '*.h')
CPPCHECK := cppcheck -q --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --std=c11 \
    --platform=unix64 --suppressions-list=tests/lint/cppcheck.txt --cppcheck-build-dir=$(BUILD)/cppcheck -j2 -Iinclude -I.
.PHONY: docs
docs:
	@/usr/bin/python3 tests/lint/keys.py
.PHONY: lint format tidy
lint: $(BUILD)/sim | $(DEPS_STAMP)
	@/usr/bin/python3 tests/lint/lint.py
	@clang-format --dry-run -Werror $(FORMATTED)
	@mkdir -p $(BUILD)/cppcheck && $(CPPCHECK) base raft pgctl agent
format:
	@/usr/bin/python3 tests/lint/rulers.py $(FORMATTED)
	@clang-format -i $(FORMATTED)
# Slow, and needs a build that was made: not part of check.
tidy: compile_commands.json
	@clang-tidy -quiet -p . $(ALL_SOURCES)

compile_commands.json: Makefile
	@/usr/bin/python3 tests/harness/compile_commands.py "$(CC) $(CPPFLAGS) $(CFLAGS)" $(ALL_SOURCES) > $@

.PHONY: clean
clean:
	rm -rf build/debug build/release build/asan build/tsan build/cov build/fuzz build/guard build/man compile_commands.json

.PHONY: help
help:
	@echo "make deps       install what is needed (Debian 12, 13); FOR=build: what compiles the programs, which is all that make all and install bring"
	@echo "make all        pgquorum and pgquorum-fence (MODE=debug|release|asan|tsan|cov) into build/MODE"
	@echo "make demo       a running three-node cluster on this machine; make demo-down removes it"
	@echo "make compose    the same as containers, and with an etcd or real Patronis: MODE=self-contained|etcd-backed|etcd-serving; make compose-down"
	@echo "make compose-test  each of them started for real, its primary lost while clients write (a Docker engine, docker-compose, root)"
	@echo "make check      all tests that fit into fifteen minutes; check-all: those that outgrow it, too; check-ci: with lint and sanitizers"
	@echo "make unit       unit tests and golden scenarios; T=name runs those whose file name has it"
	@echo "make cov        what the unit tests run, by room and file; PURE rooms are held to 95 % of lines, 90 % of branches"
	@echo "make sim        the simulator, SEEDS=N; HOURS=n: seeds until n simulated hours are done     make fuzz   every harness, FUZZ_SECONDS=N"
	@echo "make e2e        real PostgreSQL in network namespaces (root); T=part, PG_BIN=directory of another version's programs"
	@echo "make e2e-rest   what of e2e is in check-all only, clusters with a real Patroni among it (from PyPI, unless PATRONI= and PATRONI_3= name them)"
	@echo "make chaos      seeded faults on real clusters (root, docs/safety.md); ONLY=FS-24 MODE=a|s|q SEED=N, ALL=1;   make soak   HOURS=N"
	@echo "make mutants    known bugs, built in one at a time: each has to be found (root for those that need a real cluster); T=name"
	@echo "make bench      figures into docs/benchmarks.md (root); T=part, ROUNDS=N"
	@echo "make debian13   unit and end-to-end tests with PostgreSQL 17, in a root of Debian 13"
	@echo "make models     the Promela models        make lint   includes, banned calls, format, cppcheck"
	@echo "make install    PREFIX= DESTDIR= COMPAT=1 (links patroni and patronictl); with the manual page (make man) and completion"
	@echo "make smoke      what of packages and compose files can be seen in a minute; part of check-ci"
	@echo "make deb        Debian packages into build/deb; check-deb: they are tried on clean Debians 12 and 13 under systemd (root), T=part"
	@echo "make guard      the module that refuses commits past the soft deadline, for PostgreSQL PG=15; guard-install; guard-deps: its headers"
	@echo "make golden     writes the golden scenarios anew: review the diff"
	@echo "make docs       writes the tables of keys in docs from agent/config/keys.def"

-include $(patsubst %.c,build/fuzz/obj/%.d,$(ALL_SOURCES))
-include $(NEXT_OBJECTS:.o=.d)
-include $(patsubst %.c,$(BUILD)/%.d,$(ALL_SOURCES) $(wildcard tests/*/*.c tests/*/*/*.c))
