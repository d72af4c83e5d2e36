package digitalocean

import "time"

// How long things take there, before the time scale. The public documentation promises nothing; these are what users see.
const (
	// A VPC is there when the call answers, after a moment.
	vpcCreation = 1500 * time.Millisecond
	// A cluster takes four to seven minutes.
	clusterCreation = 5 * time.Minute
	// Nodes of a new pool, or more of an old one, take about as long as a Droplet with its first boot.
	nodeCreation = 2 * time.Minute
	// A cluster's Droplets go within a minute or two, and until then are members of the VPC.
	clusterDeletion = 90 * time.Second
	// A node is drained first.
	nodeDeletion = 60 * time.Second
	// An upgrade replaces the control plane and then the nodes.
	clusterUpgrade = 8 * time.Minute
)

// Limits of an account.
const (
	defaultDropletLimit = 25
	// The API description: 5,000 requests an hour, and no more than 5 % of that, 250, within a minute.
	requestsPerHour   = 5000
	requestsPerMinute = 250
	// maxPools and maxNodes keep one request from asking for more than anybody has.
	maxPools = 50
	maxNodes = 250
	maxVPCs  = 10_000
	// tokenLife is how long a kubeconfig's token is good for, unless the caller asks for less.
	tokenLife = 7 * 24 * time.Hour
)
