package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/inside"
)

func imageCommand() *cobra.Command {
	var program string
	cmd := &cobra.Command{Use: "image", Short: "Push an image of this program, for the gateways of regions", GroupID: groupServe, Args: takes(0, 0),
		Long: "Push an image with this program in /m3o to the registry, and print its reference by digest. Regions run it as their gateway:\n" +
			"set M3O_IMAGE_GATEWAY of the workers of clouds to it. The same program makes the same image.\n\n" +
			"Settings come from the environment; of those of the queue build it takes M3O_REGISTRY and what begins so.",
		Example: "  M3O_REGISTRY=registry.example.com/m3o M3O_REGISTRY_SECRET_FILE=registry.password m3o image",
		RunE: func(cmd *cobra.Command, _ []string) error {
			reference, err := pushProgram(cmd.Context(), config.Load(config.Build), program)
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), map[string]string{"image": reference})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), reference)
			return err
		}}
	cmd.Flags().StringVar(&program, "program", "", "another build of m3o than this one, for linux on "+runtime.GOARCH)
	return cmd
}

// pushProgram makes an image of a program, this one if none is named, and returns its reference by digest.
func pushProgram(ctx context.Context, s config.Settings, program string) (reference string, err error) {
	if s.Registry == "" {
		return "", misuse("M3O_REGISTRY must be set: host:port[/prefix] that the image is pushed to")
	}
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return "", fmt.Errorf("find this program: %w", err)
		}
	}
	if err := runsInRegions(program); err != nil {
		return "", err
	}
	client, err := registryClient(s)
	if err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp("", "m3o-image-")
	if err != nil {
		return "", fmt.Errorf("make room for the image: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	made, err := image.FromBinary(scratch, program, runtime.GOARCH, image.Config{Path: "/m3o", Entrypoint: []string{"/m3o"}})
	if err != nil {
		return "", fmt.Errorf("make an image of %s: %w", program, err)
	}
	return client.Push(ctx, s.Registry+"/m3o", "", made)
}

// runsInRegions reports why the nodes of regions could not run the program.
func runsInRegions(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return fault.New(fault.Invalid, "%s is no program for linux (%v): make one with GOOS=linux GOARCH=%s, and name it with --program", program, err, runtime.GOARCH)
	}
	defer file.Close()
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]; file.Machine != want {
		return fault.New(fault.Invalid, "%s is a program for %v, not for %s", program, file.Machine, runtime.GOARCH)
	}
	return nil
}

// registryClient calls our own registry with its password, and those outside, and those inside that are listed.
func registryClient(s config.Settings) (image.Client, error) {
	transport, err := registries(s)
	if err != nil {
		return image.Client{}, err
	}
	host, _, _ := strings.Cut(s.Registry, "/")
	client := image.Client{Own: host, HTTP: s.RegistryHTTP == yes, Transport: transport}
	if s.RegistrySecretFile == "" {
		return client, nil
	}
	client.Password, err = readSecret("M3O_REGISTRY_SECRET_FILE", s.RegistrySecretFile)
	return client, err
}

// registries calls those outside, our own, and those inside that are listed.
func registries(s config.Settings) (http.RoundTripper, error) {
	own, _, _ := strings.Cut(s.Registry, "/")
	allowed, err := inside.Parse(own + "," + s.InsideRegistries)
	if err != nil {
		return nil, fmt.Errorf("M3O_INSIDE_REGISTRIES: %w", err)
	}
	return image.Outside(allowed), nil
}
