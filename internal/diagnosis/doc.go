// Package diagnosis says why a pod of Kubernetes is not ready: one cause and one next step, in words for the developer whose program
// runs in it. It reads a pod and what a Witness tells besides, and asks nobody itself, so that everybody who sees a pod says the same
// of it: whoever waits for a rollout, and the gateway that reports on a service that runs.
//
// A finding is certain when waiting longer cannot help: the program ended several times, the image does not exist. All else can still
// come right, and it is the caller who sets a deadline.
//
// Of and Worst say all of it with the program's last words. Ended, Unready, Unplaced and Evicted say one part each, for a caller that keeps
// last words apart.
//
// What is said of ports, probes, limits and folders comes from the pod's spec. From a pod whose spec was cut down the same causes are
// found, with fewer figures.
package diagnosis
