package controlplane

import (
	// For go:linkname.
	_ "unsafe"

	"go.uber.org/zap"

	// The package whose variable is named below.
	_ "k8s.io/apiserver/pkg/storage/storagebackend/factory"
)

// etcdClientLogger is the logger of the API server's etcd clients. An API server
// that emulates an earlier version closes the clients of resources which that
// version does not have, and then says two hundred times at each start that
// requests of theirs are retried. The level cannot be set: the environment
// variable for it is read, and not used.
//
//go:linkname etcdClientLogger k8s.io/apiserver/pkg/storage/storagebackend/factory.etcd3ClientLogger
var etcdClientLogger *zap.Logger

func quietEtcdClient() {
	etcdClientLogger = etcdClientLogger.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))
}
