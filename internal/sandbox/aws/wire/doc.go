// Package wire is the two text protocols that AWS' older services share: requests as forms whose keys are paths
// ("TagSpecification.1.Tag.2.Key"), answers as XML documents whose lists have names for their items.
//
// It knows no service: which parameters an operation takes, and what its answer is called, is told by the caller. JSON
// needs no package. Only the sandbox's AWS imports it.
package wire
