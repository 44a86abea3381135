# Everything that can be done with a checkout. What is missing on the machine is brought in or named: scripts/setup.
#
#   make samples        set up, build, install; run every program of pysamples/ on the native backend
#   make test           GoogleTest, pytest, and CPython's own suites (the quick ones)
#   make test-all       the same, then the quick suites on every other CPython from 3.11 to 3.15
#   make conformance SUITES="test_queue test_threading" [PYTHON=python3.13]
#   make stress         what takes longer than CI has: programs killed at a hundred random moments, starts of processes
#                       interrupted at every line, a million tasks whose counts add up (SEED=1 TASKS=1000000;
#                       stress-tsan: in the C++ core alone), 10,000 bad connections, random operations on both loops'
#                       transports (PLAYS=2000)
#   make test-apps      uvicorn, aiohttp, asyncpg with PostgreSQL and redis-py with Redis on the native loop; anyio and
#                       pytest-asyncio choosing it; native functions of numba, SciPy and Cython on the thread pool
#   make asan, tsan     the C++ tests under the sanitizers
#   make fuzz [SECONDS=60]   hostile shared memory against its readers, with libFuzzer
#   make lint, tidy     formatting, ruff, mypy, stubs; clang-tidy
#   make bench          the benchmark, BENCH=threads|processes|loop|all
#   make develop        a virtual environment with all tools, and compile_commands.json for editors
#   make clean          remove what was built

PYTHON ?= python3
SUITES ?= quick
BENCH ?= all
SEED ?= 1
TASKS ?= 1000000
JOBS ?= $(shell nproc)
SECONDS ?= 60

# .venv is python3's; an interpreter that was asked for by name gets one of its own.
ifeq ($(PYTHON),python3)
VENV := .venv
else
VENV := build/venv-$(shell $(PYTHON) -c 'import hashlib, sys; \
  print("%d.%d.%d" % sys.version_info[:3], hashlib.sha256(sys._base_executable.encode()).hexdigest()[:4], sep="-")')
endif
PY := $(VENV)/bin/python
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)

.PHONY: default samples test test-cpp test-python test-all test-apps conformance asan tsan fuzz stress stress-tsan lint tidy bench develop venv clean
default:
	@sed -n '3,19s/^# *//p' Makefile

venv:
	@scripts/setup $(PYTHON)
	@scripts/venv $(PYTHON) $(VENV)

venv-%:
	@scripts/setup $(PYTHON) cpp
	@scripts/venv $(PYTHON) $(VENV) $*

samples: venv
	@$(PY) -m pysamples

test: test-cpp test-python
	@$(MAKE) --no-print-directory conformance SUITES=quick CONFORMANCE=--quick

test-cpp: venv-test
	@scripts/ctest dev
	@scripts/ctest embed -DPython_EXECUTABLE=$(CURDIR)/$(PY) -Dpybind11_DIR=$$($(PY) -m pybind11 --cmakedir)

test-python: venv-test
	@$(PY) -m pytest -q

conformance: venv-test
	@$(PY) -m tests.conformance $(CONFORMANCE) --suites $(SUITES)

test-all: test
	@scripts/every-python $(PY)

stress: venv-test
	@TRIGA_KILLS=100 $(PY) -m pytest -q tests/python/test_process_parent_killed.py
	@TRIGA_INTERRUPTS=0 $(PY) -m pytest -q tests/python/test_process_interrupts.py
	@TRIGA=threads $(PY) -m tests.stress --seed $(SEED) --tasks $(TASKS)
	@$(PY) -m pytest -q tests/stress
	@TRIGA_STORM=10000 CTEST_ONLY=Storm scripts/ctest asan
	@TRIGA_STORM=10000 $(PY) -m pytest -q tests/python/test_storm.py

test-apps: venv-apps
	@scripts/setup $(PYTHON) apps || true  # what is missing is named by the tests that are skipped for it
	@$(PY) -m pytest -q tests/apps

asan tsan: venv-test
	@scripts/ctest $@

stress-tsan: venv-test
	@cmake --preset tsan >build/tsan.log && cmake --build --preset tsan >>build/tsan.log || { cat build/tsan.log; exit 1; }
	@TRIGA_STRESS_SEED=$(SEED) TRIGA_STRESS_TASKS=$(TASKS) TSAN_OPTIONS=halt_on_error=1 \
	  setarch $$(uname -m) --addr-no-randomize build/tsan/tests/triga_runtime_tests --gtest_filter='ExecStress.*'

fuzz:
	@scripts/fuzz $(SECONDS)

lint: venv-lint
	@scripts/lint $(PY)

tidy: venv-lint
	@scripts/tidy $(PY)

bench: venv-bench
	@scripts/setup $(PYTHON) bench || true  # a pool whose header is not there is left out and named
	@$(PY) -m bench $(BENCH)

develop: venv-test venv-lint
	@cmake --preset tidy -DCMAKE_UNITY_BUILD=OFF -DPython_EXECUTABLE=$(CURDIR)/$(PY) \
	  -Dpybind11_DIR=$$($(PY) -m pybind11 --cmakedir) >/dev/null
	@ln -sf build/tidy/compile_commands.json .
	@echo "source $(VENV)/bin/activate"

clean:
	rm -rf build .venv
