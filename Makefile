# Slipway. `make help` says what each target does.
VENV ?= .venv
BIN := $(VENV)/bin
WEB := ./serve/web/with-node $(VENV)
# 3: there is no Node and none can be had. In CI that is a failure.
UNLESS_ABSENT := || { [ $$? -eq 3 ] && [ -z "$$CI" ] && echo "Skipped: the web app's part of it."; }

.PHONY: help up down test test-long check fmt bench render ui

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

up: $(VENV)/.installed ## Start the platform in the foreground; Ctrl-C stops it
	@./serve/web/build-page $(VENV) --optional
	@$(BIN)/slipway up

down: $(VENV)/.installed ## Stop a platform that was started with `slipway up --detach`
	@$(BIN)/slipway down

# Files are spread over the cores, those that take longest first; what starts platforms has them to itself.
test: $(VENV)/.installed ## Run the tests (skips, with a reason, what this machine lacks)
	@./serve/web/build-page $(VENV) --optional
	@$(BIN)/python -m pytest -m "not long" -n auto --dist loadfile --no-loadscope-reorder tests/on_engine tests/on_cluster tests/contract tests/unit
	@$(BIN)/python -m pytest -m "not long" tests/on_ray
	@$(WEB) npm run --silent test $(UNLESS_ABSENT)
	@$(BIN)/python -m pytest -m "not long" tests/browser

test-long: $(VENV)/.installed ## Run the tests that take minutes each as well
	@$(BIN)/python -m pytest

check: $(VENV)/.installed ## Formatting, lint, types, layers, sizes
	@cd $(CURDIR) && PATH=$(abspath $(BIN)):$$PATH && ruff format --check . && ruff check . && mypy && lint-imports && pytest -q tests/contract/test_house_rules.py
	@$(WEB) npm run --silent check $(UNLESS_ABSENT)
	@$(WEB) npm run --silent types -- --check $(UNLESS_ABSENT)

fmt: $(VENV)/.installed ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix --quiet .
	@$(WEB) npm run --silent format $(UNLESS_ABSENT)

bench: $(VENV)/.installed ## Measure the overhead over bare vLLM; prints JSON (the other benchmarks: benchmarks/README.md)
	@$(BIN)/python -m benchmarks.llm_overhead

ui: ## Build the web app, if its sources have changed; a platform that runs shows it at the next reload
	@./serve/web/build-page $(VENV)

render: $(VENV)/.installed ## Make the generated files anew: OpenAPI and its types, the README's table of settings, rules, dashboards, custom resources, the chart and k8s/
	@$(BIN)/python -m serve.gateway.openapi > tests/contract/openapi.json && $(BIN)/python -m serve.cli.readme README.md && $(BIN)/python -m serve.telemetry.render k8s && $(BIN)/python -m operators.crds helm/slipway/crds && $(BIN)/python -m operators.chart
	@$(WEB) npm run --silent types $(UNLESS_ABSENT)

$(VENV)/.installed: pyproject.toml locks/cpu.txt locks/cpu-torch.txt locks/gpu.txt locks/tools.txt locks/install locks/unpack_tools.py
	@./locks/install $(VENV)
	@touch $@
