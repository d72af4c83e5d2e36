//go:build !embedded

package main

import "github.com/spf13/cobra"

// embeddedCommands: this program was built without the embedded parts, as the image is. `make build` has them in.
func embeddedCommands() []*cobra.Command { return nil }
