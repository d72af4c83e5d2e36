// Package storage is the default StorageClass of a cluster: a controller that
// gives each claim a directory of its own on the machine, and removes the
// directory when the claim is deleted.
//
// All nodes share the machine, so every node can use every volume, and a volume
// outlives its pods, its node and the cluster's process. Sizes are recorded, not
// enforced. Only package cluster may import it.
package storage
