# Every target sets up what it needs; `make` alone lists them.
.PHONY: help setup demo test lint bench docs lock clean

help:
	@echo 'make setup   .venv with everything, and nothing else'
	@echo 'make demo    a submission trains MNIST and comes back as a graded report in runs/demo/'
	@echo 'make test    lint, types and every test that this machine can run'
	@echo 'make lint    ruff and mypy'
	@echo 'make bench   benchmarks, the long forms'
	@echo 'make docs    writes docs/command-line.md and the result schema anew'
	@echo 'make lock    resolves requirements/locked.txt anew'
	@echo 'make clean   removes caches and finished runs, keeps .venv'

setup:
	@PYTHON='$(PYTHON)' sh tools/setup.sh

demo: setup
	@sh tools/clear_finished.sh runs/demo
	@.venv/bin/pipeline run submissions_example/mnist_train --out runs/demo

lint: setup
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

test: lint
	@.venv/bin/python tools/run_tests.py

bench: setup
	@.venv/bin/python -m benchmarks.training

docs: setup
	@mkdir -p build
	@.venv/bin/python -m pipeline.cli.reference > build/page && mv build/page docs/command-line.md
	@.venv/bin/python -m pipeline.cli.reference result-schema > build/page && mv build/page docs/result.schema.json
	@.venv/bin/python -m pipeline.cli.reference experiment-schema > build/page && mv build/page docs/experiment.schema.json

lock: setup
	@echo 'torch; python_version < "3"' | .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev \
	  --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --overrides - --output-file requirements/locked.txt pyproject.toml

clean:
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@for run in runs/*; do if [ -d "$$run" ]; then sh tools/clear_finished.sh "$$run" || true; fi; done
