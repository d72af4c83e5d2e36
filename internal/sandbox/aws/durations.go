package aws

import "time"

// How long things take there, before the time scale. AWS promises nothing; these are what its documentation mentions and users see.
const (
	vpcCreation    = 2 * time.Second
	subnetCreation = 2 * time.Second
	natCreation    = 2 * time.Minute
	natDeletion    = 45 * time.Second
	// natMemory is how long a deleted NAT gateway is still shown, instanceMemory a terminated instance (EC2 user guide: about an hour).
	natMemory      = time.Hour
	instanceMemory = time.Hour
	volumeCreation = 5 * time.Second
	// roleSight is how long it takes until other services see a role that IAM has just made or changed.
	roleSight = 10 * time.Second
	// The EKS user guide: cluster provisioning takes several minutes. Users see eight to twelve.
	clusterCreation   = 9 * time.Minute
	clusterUpdate     = 2 * time.Minute
	clusterUpgrade    = 9 * time.Minute
	clusterDeletion   = 150 * time.Second
	nodegroupCreation = 150 * time.Second
	nodegroupUpdate   = 60 * time.Second
	nodegroupUpgrade  = 5 * time.Minute
	nodegroupDeletion = 3 * time.Minute
	addonCreation     = 30 * time.Second
	addonUpdate       = 30 * time.Second
	addonDeletion     = 15 * time.Second
	balancerCreation  = 2 * time.Minute
	// interfacesStay is how long a deleted load balancer's network interfaces stay.
	interfacesStay   = time.Minute
	snapshotCreation = time.Minute
)

// Limits of an account; most of them are quotas that it can have raised.
const (
	defaultVCPUs  = 64
	maxVPCs       = 5
	maxAddresses  = 5
	maxNATs       = 5
	maxSubnets    = 200
	maxClusters   = 100
	maxNodegroups = 30
	maxNodes      = 450
	maxRoles      = 1000
	maxTags       = 50
	maxRoutes     = 50
	maxTemplates  = 5000
)
