package dev

import (
	"context"

	"github.com/m3o/platform/internal/config"
)

// Process is one process of the platform: what runs, and how it is called when it runs by itself.
type Process struct {
	Name  string
	Args  []string
	Parts []config.Part // whose settings it is given
	Cloud *Cloud        // the cloud that it works on; nil: none
	Run   func(context.Context, config.Settings) error
}

// Cloud is a provider as its sandbox has it.
type Cloud struct {
	Name string                            // in the sandbox's table of providers
	Own  func(url, credentials string) any // the provider's own settings (config.Part.Own) that lead to its sandbox; credentials is a file
}
