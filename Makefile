# What the tests need is pinned here or in tools/go.mod and e2e's lock file.
GO    ?= go
TOOL   = $(GO) tool -modfile=tools/go.mod
FUZZ  ?= 30s

.PHONY: test outage allocations lint vulnerabilities fuzz bench setup fmt

test: setup
	$(GO) test -race -count=1 -timeout 20m ./...
	$(GO) test -count=1 -run TestNoStageAllocatesMoreThanIsStored .

# outage breaks what is around two gateways in fifteen ways and counts what was felt, doubled and lost, moves the slot of a Cluster and kills its master, has the version before this one share a store with it, and plays a night at three. It takes some minutes, so it is no part of test.
outage: setup
	$(GO) test -count=1 -timeout 15m -tags outage -run 'NeitherLost|StrictStore|FullDisk|TheNight|TwoVersions|StoppedPostgreSQL' -v ./e2e

# allocations stores what the stages allocate now. Say in the commit why it is more.
allocations:
	$(GO) test -count=1 -run TestNoStageAllocatesMoreThanIsStored -update .

# setup installs what the tests use beside Go. On a machine that has it all it does nothing.
setup:
	bash e2e/setup

lint:
	@out=$$($(TOOL) gofumpt -l .); if [ -n "$$out" ]; then echo "make fmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) vet ./...
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./...
	$(GO) vet -tags nosandbox ./cmd/caddy
	$(GO) vet -tags outage ./e2e
	$(TOOL) staticcheck ./...

# vulnerabilities needs vuln.go.dev, so it is no part of lint. It looks at what a release holds.
vulnerabilities:
	$(TOOL) govulncheck -tags nosandbox,nobadger,nomysql,nopgx ./cmd/caddy

fmt:
	$(TOOL) gofumpt -w .

fuzz:
	$(GO) test -run '^$$' -fuzz FuzzPath -fuzztime $(FUZZ) ./superoffice
	$(GO) test -run '^$$' -fuzz FuzzReadArguments -fuzztime $(FUZZ) ./superoffice
	$(GO) test -run '^$$' -fuzz FuzzAValueStaysAValue -fuzztime $(FUZZ) ./superoffice
	$(GO) test -run '^$$' -fuzz FuzzAnswer -fuzztime $(FUZZ) ./outcome
	$(GO) test -run '^$$' -fuzz FuzzAbsorb -fuzztime $(FUZZ) ./outcome
	$(GO) test -run '^$$' -fuzz FuzzGroup -fuzztime $(FUZZ) ./auditfile
	$(GO) test -run '^$$' -fuzz FuzzLine -fuzztime $(FUZZ) ./internal/auditlog
	$(GO) test -run '^$$' -fuzz FuzzUnwrap -fuzztime $(FUZZ) ./internal/auditlog
	$(GO) test -run '^$$' -fuzz FuzzCookie -fuzztime $(FUZZ) ./auth/session
	$(GO) test -run '^$$' -fuzz FuzzOnlyCookie -fuzztime $(FUZZ) ./gateway
	$(GO) test -run '^$$' -fuzz FuzzPrefer -fuzztime $(FUZZ) ./gateway
	$(GO) test -run '^$$' -fuzz FuzzProve -fuzztime $(FUZZ) ./auth/idp
	$(GO) test -run '^$$' -fuzz FuzzParsePrivateKey -fuzztime $(FUZZ) ./auth/systemuser
	$(GO) test -run '^$$' -fuzz FuzzReadApproval -fuzztime $(FUZZ) ./auth/superid
	$(GO) test -run '^$$' -fuzz FuzzRetryAfter -fuzztime $(FUZZ) ./notify
	$(GO) test -run '^$$' -fuzz FuzzVerifyPush -fuzztime $(FUZZ) ./auth/superid
	$(GO) test -run '^$$' -fuzz FuzzReadTenants -fuzztime $(FUZZ) ./internal/operator
	$(GO) test -run '^$$' -fuzz FuzzCSV -fuzztime $(FUZZ) ./console
	$(GO) test -run '^$$' -fuzz FuzzCaddyfile -fuzztime $(FUZZ) .

# bench measures the whole path beside a plain proxy and other systems, and the stages, and writes the tables of docs/performance.md.
BENCH ?= -write docs/performance.md
bench: setup
	bash bench/setup
	$(GO) run ./bench $(BENCH)
