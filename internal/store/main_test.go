package store_test

import (
	"flag"
	"os"
	"testing"
)

var crashDatabase = flag.String("crash.database", "", "write to this database until killed, instead of testing")

func TestMain(m *testing.M) {
	flag.Parse()
	if *crashDatabase != "" {
		os.Exit(writeUntilKilled(*crashDatabase))
	}
	code := m.Run()
	stopServers()
	os.Exit(code)
}
