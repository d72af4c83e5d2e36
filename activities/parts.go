package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/box"

	"crypto/rand"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Limits tells how much of an account's limits is left.
type Limits interface {
	Preflight(ctx context.Context, want region.Spec, have *region.Spec) (region.Preflight, error)
}

// Parts works on what the platform itself runs in a region's cluster. Account, if there is one, is asked about its limits at inspections.
type Parts struct {
	Connections *Connections
	Account     Limits
	Wanted      cluster.Parts // images and the gateway's settings, the same for every region
	Poll        time.Duration
}

// VerifyCluster returns what the region's cluster offers when it can hold a region: a default StorageClass is there, and what
// enforces NetworkPolicy runs, unless the spec allows that nothing does. A new cluster's add-ons have some time to come up. It
// only reads.
func (a *Parts) VerifyCluster(ctx context.Context, spec region.Spec) (region.Verified, error) {
	w := watching(ctx, a.Poll)
	defer w.close()
	var found region.Verified
	err := w.until(func() (_ string, fit bool, err error) {
		var lacks []string
		found, lacks, err = a.verify(ctx, spec)
		return strings.Join(lacks, "; "), len(lacks) == 0, err
	})
	if err != nil {
		return region.Verified{}, fail(fmt.Errorf("verify cluster of %s: %w", spec.Key(), err))
	}
	return found, nil
}

func (a *Parts) verify(ctx context.Context, spec region.Spec) (region.Verified, []string, error) {
	var found region.Verified
	var lacks []string
	err := a.Connections.Do(ctx, spec, func(client *cluster.Client) (err error) {
		found, lacks, err = client.Verify(ctx, spec)
		return err
	})
	return found, lacks, err
}

// ApplyParts makes namespaces, policies and the parts of the spec exist as wanted, and removes parts that the spec no
// longer lists. It is server-side apply throughout: repeating it changes nothing. It waits for a cluster that is away for
// the moment.
func (a *Parts) ApplyParts(ctx context.Context, spec region.Spec) error {
	w := watching(ctx, a.Poll)
	defer w.close()
	err := w.until(func() (string, bool, error) { return "", true, a.apply(ctx, spec) })
	if err != nil {
		return fail(fmt.Errorf("apply parts of %s: %w", spec.Key(), err))
	}
	return nil
}

func (a *Parts) apply(ctx context.Context, spec region.Spec) error {
	return a.Connections.Do(ctx, spec, func(client *cluster.Client) error {
		if err := client.ApplyFoundations(ctx, spec); err != nil {
			return err
		}
		if err := client.ApplyParts(ctx, spec, a.Wanted); err != nil {
			return err
		}
		return client.PruneParts(ctx, spec)
	})
}

// AwaitParts returns the region's endpoints when every part is ready. It only reads; its heartbeats say what waits and
// why.
func (a *Parts) AwaitParts(ctx context.Context, spec region.Spec) (region.Endpoints, error) {
	w := watching(ctx, a.Poll)
	defer w.close()
	var state cluster.State
	err := w.until(func() (_ string, ready bool, err error) {
		state, err = a.state(ctx, spec)
		return strings.Join(state.Waiting, "; "), state.Ready, err
	})
	if err != nil {
		return region.Endpoints{}, fail(fmt.Errorf("await parts of %s: %w", spec.Key(), err))
	}
	return region.Endpoints{API: state.Gateway}, nil
}

func (a *Parts) state(ctx context.Context, spec region.Spec) (state cluster.State, err error) {
	err = a.Connections.Do(ctx, spec, func(client *cluster.Client) (err error) {
		state, err = client.PartsState(ctx, spec)
		return err
	})
	return state, err
}

// InspectionLimit bounds one inspection: a cluster that has not answered by then is found to hang.
const InspectionLimit = 15 * time.Second

// InspectParts looks at a region without changing it: what is not ready, and what drifted from what was applied. What cannot be
// looked at, or not in time, is a problem of the region, not a failure to look. How much is left of the account's limits is asked meanwhile;
// an account that does not say so is no problem of the region.
func (a *Parts) InspectParts(ctx context.Context, spec region.Spec) (region.Inspection, error) {
	defer beat(ctx, "the answers of the cluster")()
	limited, end := context.WithTimeout(ctx, InspectionLimit)
	defer end()
	draws := make(chan []region.Draw, 1)
	go func() { draws <- a.draws(limited, spec) }()
	found, err := a.inspect(limited, spec)
	found.Draws = <-draws
	if ctx.Err() != nil { // the worker ends: another looks
		return region.Inspection{}, fail(fmt.Errorf("inspect %s: %w", spec.Key(), ctx.Err()))
	}
	if err != nil {
		problem := fault.Message(err)
		if limited.Err() != nil {
			problem = fmt.Sprintf("the cluster does not answer within %s", InspectionLimit)
		}
		found.Healthy, found.Problems = false, append(found.Problems, problem)
	}
	return found, nil
}

// draws asks how much is left of the account's limits, for a region that stays as it is.
func (a *Parts) draws(ctx context.Context, spec region.Spec) []region.Draw {
	if a.Account == nil {
		return nil
	}
	answer, err := a.Account.Preflight(ctx, spec, &spec)
	if err != nil {
		return nil // its credentials and its API are looked at by what needs them
	}
	return answer.Draws
}

// inspect returns what was found until something failed, too.
func (a *Parts) inspect(ctx context.Context, spec region.Spec) (found region.Inspection, err error) {
	state, err := a.state(ctx, spec)
	if err != nil {
		return found, err
	}
	found.Healthy, found.Problems = state.Ready, state.Waiting
	err = a.Connections.Do(ctx, spec, func(client *cluster.Client) error { return a.compare(ctx, client, spec, &found) })
	return found, err
}

// compare says where the cluster, and what was applied in it, are no longer as they were.
func (a *Parts) compare(ctx context.Context, client *cluster.Client, spec region.Spec, found *region.Inspection) (err error) {
	if found.Version, err = client.Version(ctx); err != nil {
		return err
	}
	verified, lacks, err := client.Verify(ctx, spec)
	if err != nil {
		return err
	}
	drift, err := client.Drift(ctx, spec, a.Wanted)
	found.Verified, found.Drift = verified, slices.Concat(lacks, drift)
	if upgraded := spec.Kubernetes.Upgraded(found.Version); upgraded != "" {
		found.Drift = slices.Insert(found.Drift, 0, upgraded)
	}
	return err
}

// Access makes people's own credentials for clusters.
type Access interface {
	Kubeconfig(ctx context.Context, spec region.Spec, in region.Access) ([]byte, error)
}

// Kubeconfig makes credentials of a person's own for the region's cluster. Those of the cloud stay here.
func (c *Connections) Kubeconfig(ctx context.Context, spec region.Spec, in region.Access) (config []byte, err error) {
	err = c.Do(ctx, spec, func(client *cluster.Client) (err error) {
		config, err = client.Kubeconfig(ctx, spec.Key(), in)
		return err
	})
	return config, err
}

// Kubeconfigs hands out access to clusters.
type Kubeconfigs struct{ Access Access }

// SealInput names a region and who asks for what.
type SealInput struct {
	Spec region.Spec `json:"spec"`
	region.KubeconfigInput
}

// SealKubeconfig returns a kubeconfig that only the holder of the private key can read: histories hold ciphertext alone. Asking
// again makes another, for the same person.
func (a *Kubeconfigs) SealKubeconfig(ctx context.Context, in SealInput) (region.SealedKubeconfig, error) {
	if err := in.Validate(); err != nil {
		return region.SealedKubeconfig{}, fail(err)
	}
	config, err := a.Access.Kubeconfig(ctx, in.Spec, in.Access)
	if err != nil {
		return region.SealedKubeconfig{}, fail(fmt.Errorf("kubeconfig of %s: %w", in.Spec.Key(), err))
	}
	sealed, err := box.SealAnonymous(nil, config, (*[32]byte)(in.PublicKey), rand.Reader)
	if err != nil {
		return region.SealedKubeconfig{}, fail(fmt.Errorf("seal kubeconfig of %s: %w", in.Spec.Key(), err))
	}
	return region.SealedKubeconfig{Sealed: sealed}, nil
}
