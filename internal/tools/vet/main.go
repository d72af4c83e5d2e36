// Command vet stands between go vet and its program: packages of others are not looked into for what ours could learn from
// them. Temporal and Kubernetes have some thousand, and on an empty cache that takes minutes.
//
// It is given to go vet by -vettool. Our own packages and the standard library are vetted as ever; what is lost is which
// functions of others print like fmt.Printf, or never return. It has no rules of its own.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ours is the prefix of our packages' paths, in both modules.
const ours = "github.com/m3o/platform"

// program is go vet's own, as `go tool -n vet` prints it, and rules is another text for every other version of this file; the
// linker sets them.
var program, rules string

// config is what this command reads of the file by which go vet asks for one package,
// see golang.org/x/tools/go/analysis/unitchecker.
type config struct {
	ImportPath string
	VetxOnly   bool   // nothing is to be reported, only facts to be written for who imports it
	VetxOutput string // where
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vet:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	vet := exec.Command(program, args...)
	vet.Stdin, vet.Stdout, vet.Stderr = os.Stdin, os.Stdout, os.Stderr
	switch {
	case len(args) == 1 && args[0] == "-V=full": // go vet keeps results under this name: they are not those of the program alone
		fmt.Printf("ours version %s with ", rules)
	case len(args) > 0 && strings.HasSuffix(args[len(args)-1], ".cfg"):
		if done, err := skip(args[len(args)-1]); done || err != nil {
			return err
		}
	}
	return vet.Run()
}

// skip writes that nothing is known of a package of others, and reports whether it was one.
func skip(file string) (bool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return false, fmt.Errorf("read %s: %w", file, err)
	}
	host, _, _ := strings.Cut(c.ImportPath, "/")
	standard := !strings.Contains(host, ".")
	if !c.VetxOnly || standard || strings.HasPrefix(c.ImportPath, ours) {
		return false, nil
	}
	return true, os.WriteFile(c.VetxOutput, nil, 0o666)
}
