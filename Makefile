# The whole vocabulary for building, running and testing; each recipe is a script in scripts/.
.DEFAULT_GOAL := help
.PHONY: help run test check bench reference

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## The gateway with its demo page, and a private RabbitMQ unless AMQP_URL is set
	@scripts/run

test: ## Everything: formats, lints, unit, integration, JavaScript, Autobahn and browser tests
	@scripts/test

check: ## The fast part of it: format, clippy, unit tests
	@scripts/check

bench: ## Throughput, CPU, latency and memory of the relay against direct TCP
	@scripts/bench

reference: ## docs/configuration.md anew, from the program
	@scripts/reference
