package store

import (
	"context"
	"strings"
	"time"

	"github.com/m3o/platform/internal/release"
)

// KeptReleases is how many of a service's releases can be brought out again: their sources and images stay.
const KeptReleases = 20

// InUseGrace is how long what no release needs is left alone: what is younger may be on its way into a release.
const InUseGrace = 24 * time.Hour

// InUse names what releases need, by digest.
type InUse struct {
	Sources map[string]bool
	Images  map[string]bool
}

// InUse returns what must stay: what the newest releases of every service need, those that have not ended, and the one
// that is meant to run. A killed service counts as any other, as it may be revived. A release that is asked for meanwhile may
// be missing: what it needs was brought just before.
func (s *Store) InUse(ctx context.Context) (InUse, error) {
	in := InUse{Sources: map[string]bool{}, Images: map[string]bool{}}
	var services []numberRow
	err := s.read.NewSelect().Model(&services).Scan(ctx)
	for _, service := range services {
		if err == nil {
			err = s.addInUse(ctx, service, in)
		}
	}
	return in, s.explain(err, "list what releases need")
}

func (s *Store) addInUse(ctx context.Context, service numberRow, in InUse) error {
	current, err := s.currentRelease(ctx, release.Key{Project: service.Project, Name: service.Service})
	if err != nil {
		return err
	}
	var rows []releaseRow
	err = s.read.NewSelect().Model(&rows).Where("project = ? AND service = ?", service.Project, service.Service).
		Where("number > ? OR number = ? OR status = ? OR status = ?", service.Last-KeptReleases, current, string(release.Pending), string(release.Deploying)).Scan(ctx)
	if err != nil {
		return err
	}
	releases, err := decodeReleases(rows)
	for _, r := range releases {
		in.Sources[r.Origin.Source] = true
		if _, digest, ok := strings.Cut(r.Image, "@"); ok {
			in.Images[digest] = true
		}
	}
	return err
}

func (s *Store) currentRelease(ctx context.Context, key release.Key) (int, error) {
	row, known, err := findService(ctx, s.read, key)
	if err != nil || !known {
		return 0, err
	}
	service, err := decode[release.Service](row.Doc)
	return service.Current, err
}
