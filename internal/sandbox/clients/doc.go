// Package clients has the providers' own clients read what we made in the sandbox: aws, gcloud, az, kubectl, Terraform, and what else
// people have. Our adapters bring a region up, on real clusters, and each client that is on the machine is run as its users run it.
//
// It is a test under the tag clients, run by `make clients`, and no part of `make test`: which clients there are differs by machine. It
// prints which it ran and which were not there. What the clients keep goes into temporary folders. It has no code of its own.
package clients
