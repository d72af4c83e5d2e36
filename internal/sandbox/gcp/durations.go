package gcp

import "time"

// How long things take there, before the time scale: what users see, since the documentation promises nothing.
const (
	clusterCreation = 5*time.Minute + 30*time.Second
	clusterDeletion = 4 * time.Minute
	clusterUpdate   = 45 * time.Second
	clusterUpgrade  = 8 * time.Minute
	poolCreation    = 2 * time.Minute
	poolResize      = 90 * time.Second
	poolDeletion    = 2 * time.Minute
	serviceEnabling = time.Minute
	// serviceCheck is how long enabling takes when all is enabled.
	serviceCheck = time.Second
	// accountSettling is how long a new service account stays unknown to those who read: the documentation says up to a minute.
	accountSettling = 15 * time.Second

	// tokenLife is an access token's, at least shortestToken however fast time is: clients renew theirs minutes before the end.
	tokenLife     = time.Hour
	shortestToken = 15 * time.Minute

	// waitLimit is how long operations.wait waits, scaled.
	waitLimit = 2 * time.Minute
	// keptOperations is how long operations that are done can be asked about.
	keptOperations = 14 * 24 * time.Hour
	// sweepPeriod is how often, in real time, older ones are looked for.
	sweepPeriod = time.Minute
)

// Limits.
const (
	maxBody         = 1 << 20
	maxAssertion    = 16 << 10
	maxNodesPerPool = 1000
	maxClusters     = 100
	maxFilter       = 2048
	defaultPage     = 500
	maxPolicyBytes  = 256 << 10
	maxBindings     = 1500
	maxAccounts     = 100
)
