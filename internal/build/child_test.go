package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// childArg makes the test binary build in a process of its own: the arguments are the Config's Dir, GoRoot and Registry,
// the source's archive and digest, and words that change what is done.
const childArg = "child"

func child(args []string) {
	config := Config{Dir: args[0], GoRoot: args[1], Registry: args[2]}
	for _, word := range args[5:] {
		switch word {
		case "unconfined":
			config.AllowUnconfined = true
		case "refused":
			// From here on no user namespace can be made by us or our children.
			must(os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0))
		}
	}
	b, err := New(config)
	must(err)
	fmt.Println("jail:", b.CheckJail(context.Background()))
	result, err := b.Build(context.Background(), Input{
		Service: release.Key{Project: "default", Name: "hello"}, Source: args[4],
		Open: func(context.Context) (io.ReadCloser, error) { return os.Open(args[3]) },
	}, os.Stderr)
	if err != nil {
		fmt.Println(fault.Of(err), strings.ReplaceAll(fault.WithOutput(err.Error(), fault.Output(err)), "\n", " "))
		os.Exit(1)
	}
	fmt.Println(result.Reference)
	os.Exit(0)
}
