# Bare `make` prints this help.
export CGO_ENABLED = 0
# What debuggers read is not in the programs that are made here; leaving it out of the packages, too, saves an eighth of the time.
# A go command without these flags compiles everything once more.
export GOFLAGS = -buildvcs=false -gcflags=all=-dwarf=false
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
KUBE    := v1.37.2
EMBED   := -tags embedded
TOOL    := go tool -modfile=internal/tools/go.mod
# Tests are not vetted once more as they run: lint has done it, and the facts of what they link take minutes.
TEST    := go test -vet=off
LINK    := -ldflags '-s -w -X main.version=$(VERSION)'
# Kubernetes' programs take their version from the linker; kubectl cannot talk to a server without one.
STAMP   := gitVersion=$(KUBE) gitMajor=1 gitMinor=37 gitTreeState=clean
KUBELINK := -ldflags '-s -w $(foreach p,k8s.io/component-base/version k8s.io/client-go/pkg/version,$(foreach s,$(STAMP),-X $(p).$(s)))'

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Each part of the platform is built by a go command whose progress is shown. What is compiled stays in Go's build cache.
WORKSHOP := bin/workshop
part      = @$(WORKSHOP) build -about "$(1) (part $(2) of 5): $(3)"

build: machine ## Build bin/m3o, bin/m3o-kube and the programs that regions run
	$(call part,m3o-kube,1,Kubernetes and etcd. The first time all of it is compiled; Ctrl-C loses nothing: the next make goes on) -in internal/kube -- $(KUBELINK) -o ../../bin/m3o-kube .
	$(call part,etcd,2,the registry of regions) -in internal/kube -- -ldflags '-s -w' -o ../../bin/images/etcd go.etcd.io/etcd/server/v3
	$(call part,nats-server,3,the broker of regions) -- -modfile=internal/tools/go.mod -ldflags '-s -w' -o bin/images/nats-server github.com/nats-io/nats-server/v2
	$(call part,m3o for regions,4,the gateway$(comma) with the SDKs of all clouds and of Temporal) -- $(LINK) -o bin/images/m3o ./starter
	$(call part,m3o,5,the platform with Temporal's server and the sandbox clouds) -- $(EMBED) $(LINK) -o bin/m3o ./starter

comma := ,
# What make is about to do; `make run` asks for more than `make build`.
PURPOSE = build

machine: $(WORKSHOP) ## Say what this machine lacks to build the platform, or to run it
	@$(WORKSHOP) check -for $(PURPOSE) $(if $(filter machine,$(MAKECMDGOALS)),-for run -all)

# A Go that is too old cannot compile the program that would say so.
NEEDS := $(shell awk '/^go / {print $$2}' go.mod)
$(WORKSHOP): FORCE
	@command -v go >/dev/null || { echo "Go is missing: install Go $(NEEDS) or later, and have it in PATH"; exit 1; }
	@go list -m >/dev/null || { echo "This is $$(go env GOVERSION): install Go $(NEEDS) or later, or let it fetch that itself (go env -w GOTOOLCHAIN=auto)"; exit 1; }
	@go build -o $@ ./internal/workshop

FORCE:

run: PURPOSE = run
run: build ## Bring up four regions on four clouds with a service on them, on this machine
	bin/m3o dev --alerting deploy/local/alerting.yaml --apply deploy/local/platform.yaml --run deploy/examples/hello

test: build ## Run every test that needs nothing installed but Go and git
	$(TEST) $(EMBED) -timeout 20m ./...
	cd internal/kube && $(TEST) $(KUBELINK) -timeout 20m ./...

test-postgres: ## Run the store's tests on a PostgreSQL that they start themselves
	$(TEST) -count=1 -tags postgres ./internal/store

test-alertmanager: ## Have Prometheus' Alertmanager send to the platform (Debian: prometheus-alertmanager)
	$(TEST) $(EMBED),alertmanager -count=1 -timeout 10m -v -run TestAlertmanager ./starter

# The race detector compiles everything once more, so in CI it runs on packages whose tests link neither Temporal's server nor Kubernetes nor a
# cloud's SDK, and not on internal/build, cri and network, whose tests wait for compilers and whole pods, nor on internal/region and archtest,
# whose long tests read large files in one goroutine. `make nightly` runs it on the rest.
SDKS    := -e ' github.com/digitalocean/godo' -e ' github.com/aws/' -e ' github.com/Azure/' -e ' cloud.google.com/'
SLOW    := -e '/internal/build.test$$' -e '/internal/region.test$$' -e '/internal/archtest.test$$' -e '/kube/cri.test$$' -e '/kube/network.test$$'
SERVERS := -e ' go.temporal.io/server/' -e ' k8s.io/kubernetes/'
tests   = $$(go list -test -f '{{join .Deps " "}} {{.ImportPath}}' ./... | grep '\.test$$' | $(1) | sed 's/.* //; s/\.test$$//')
RACE    := CGO_ENABLED=1 $(TEST) -race -timeout 20m

test-race: ## Run the tests that link no server and no cloud SDK under the race detector
	$(RACE) $(call tests,grep -v $(SERVERS) $(SDKS) $(SLOW))
	cd internal/kube && $(RACE) $(call tests,grep -v $(SERVERS) $(SLOW))

test-race-rest: build ## Run the tests that test-race leaves out under the race detector, but for those that link a server
	$(RACE) $(call tests,grep -v $(SERVERS) | grep $(SDKS) $(SLOW))
	cd internal/kube && $(RACE) $(call tests,grep -v $(SERVERS) | grep $(SLOW))

# What AWS, Google Cloud and Azure say of themselves comes with modules; DigitalOcean's description is a file, digitalocean.json.
contract: ## Check the sandbox against the providers' own descriptions, and print what was checked how: make contract SPECS=DIR
	@test -n "$(SPECS)" || echo "without SPECS=DIR, the folder with digitalocean.json, DigitalOcean is left out"
	$(TEST) -count=1 -v -timeout 30m -tags contract ./internal/sandbox/contract $(if $(SPECS),-specs $(abspath $(SPECS)),-run 'AWS|GCP|Azure')

clients: build ## Have the providers' own clients that are on this machine read what we made in the sandbox
	$(TEST) -count=1 -tags clients -timeout 40m -v -run TestStockClients ./internal/sandbox/clients

# Of other people's packages vet is not told anything: the facts of Temporal's and Kubernetes' take minutes on an empty cache.
VET     := go vet -vettool=$(CURDIR)/bin/vet

lint: ## Vet, staticcheck, workflowcheck, formatting
	@unformatted=$$(gofmt -l activities api deploy internal starter workers workflows) && test -z "$$unformatted" || { echo "run gofmt on: $$unformatted"; exit 1; }
	cd internal/tools && go build -ldflags "-X main.program=$$(go tool -n vet) -X main.rules=$$(cksum < vet/main.go | cut -d' ' -f1)" -o $(CURDIR)/bin/vet ./vet
	$(VET) $(EMBED),alertmanager,bench,chaos,clients,contract,record ./...
	$(VET) -tags postgres ./internal/store
	cd internal/tools && go vet ./vet && go test ./vet
	cd internal/kube && $(VET) ./...
	$(TOOL) staticcheck $(EMBED) ./...
	$(TOOL) workflowcheck ./workflows

# The linter's Node program is pinned by its package-lock.json. It is one package, and is fetched when that file changes.
OPENAPI := internal/tools/openapi

lint-openapi: $(OPENAPI)/node_modules/.installed ## Lint the OpenAPI document (needs Node 20.19 or newer)
	@mkdir -p bin
	$(TEST) -run TestTheDocumentIsValidAndComplete ./api/rest -document $(CURDIR)/bin/openapi.json
	cd $(OPENAPI) && REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true NODE_NO_WARNINGS=1 node_modules/.bin/redocly lint ../../../bin/openapi.json

$(OPENAPI)/node_modules/.installed: $(OPENAPI)/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node 20.19 or newer"; exit 1; }
	cd $(OPENAPI) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

vulnerabilities: ## Look our dependencies up in the vulnerability database (needs it)
	$(TOOL) govulncheck $(EMBED) ./...

check: lint lint-openapi test ## What must pass before a change lands

record: ## Record the histories that workflows are replayed against
	$(TEST) $(EMBED),record -count=1 -v -run "TestRecord.*Histories" ./workflows

chaos-spine: build ## Kill things at random during apply, run and destroy: make chaos-spine N=50
	$(TEST) $(EMBED),chaos -count=1 -timeout 6h -v -run TestSpineSurvives ./internal/dev/spine -kills $(or $(N),50)

# N kills of workers over simulated clusters, and REAL on real ones.
chaos-clouds: build ## Kill clouds' workers while regions are made and taken down on all clouds: make chaos-clouds N=200 REAL=20
	$(TEST) $(EMBED),chaos -count=1 -timeout 6h -v -run 'TestCloudsSurvive$$' ./starter -kills $(or $(N),200)
	test "$(REAL)" = 0 || $(TEST) $(EMBED),chaos -count=1 -timeout 6h -v -run TestRealCloudsSurvive ./internal/dev/spine -kills $(or $(REAL),20)

# Alertmanager is killed as often beside it, and what it lost and doubled printed.
chaos-alerts: ## Kill API, workers, Temporal and sandbox while alerts come in: make chaos-alerts KILLS=200
	$(TEST) $(EMBED),chaos -count=1 -timeout 6h -v -run 'TestAlertsSurvive$$' ./starter -kills $(or $(KILLS),200)

nightly: test-race-rest ## What is too long for every change: the rest of the race detector, 600 kills, the benchmarks
	$(MAKE) chaos-spine N=200
	$(MAKE) chaos-clouds N=200
	$(MAKE) chaos-alerts KILLS=200
	$(MAKE) bench

bench: ## Measure all that bench-spine, bench-clouds and bench-alerts do, and print tables
	$(MAKE) bench-spine FLAGS=
	$(MAKE) bench-clouds FLAGS=
	$(MAKE) bench-alerts FLAGS=

bench-spine: build ## Measure the platform over real clusters: make bench-spine FLAGS=-figures=deploy
	$(TEST) $(EMBED),bench -count=1 -timeout 2h -v -run TestFigures ./internal/dev/spine $(FLAGS)

bench-clouds: ## Measure regions on all clouds over simulated clusters: make bench-clouds FLAGS=-clouds=reconcile
	$(TEST) $(EMBED),bench -count=1 -timeout 2h -v -run TestCloudFigures ./starter $(FLAGS)

bench-alerts: ## Measure alerting, against Alertmanager in the same run: make bench-alerts FLAGS=-alerts=ingest,pages,storm,memory
	$(TEST) $(EMBED),bench -count=1 -timeout 2h -v -run TestAlertFigures ./starter $(FLAGS)

clean: ## Remove what build made
	rm -rf bin

.PHONY: help build machine run test test-postgres test-alertmanager test-race test-race-rest nightly contract clients lint lint-openapi vulnerabilities check record chaos-spine chaos-clouds chaos-alerts bench bench-spine bench-clouds bench-alerts clean
.DEFAULT_GOAL := help
