package store_test

import (
	"flag"
	"os"
	"testing"
)

var (
	crashDatabase = flag.String("crash.database", "", "write to this database until killed, instead of testing")
	crashRegion   = flag.String("crash.region", "lon1", "the region to write about")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *crashDatabase != "" {
		os.Exit(writeUntilKilled(*crashDatabase, *crashRegion))
	}
	code := m.Run()
	stopServers()
	os.Exit(code)
}
