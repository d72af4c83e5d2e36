package apitest

import (
	"context"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// services plays OperateService.
type services struct{ *World }

func (s services) DeployService(ctx context.Context, id string, in release.Request) (release.Accepted, error) {
	return remembered(s.World, id, "deploy "+in.Service.Name, func() (release.Accepted, error) {
		return s.deploy(ctx, id, in, 0)
	})
}

func (s services) deploy(ctx context.Context, id string, in release.Request, back int) (release.Accepted, error) {
	r, err := s.Store.AllocateRelease(ctx, release.Allocation{Request: in, RequestKey: id, RollsBack: back, Follows: s.followed(ctx, in.Service)})
	if err != nil {
		return release.Accepted{}, err
	}
	v, err := s.Store.Service(ctx, in.Service)
	if err != nil {
		v = release.Service{Key: in.Service, Status: release.Starting, Access: r.Spec.Access}
	}
	v.Latest = r.Number
	s.recordService(&v)
	s.background(func(ctx context.Context) { s.bringOut(ctx, r, v) })
	return release.Accepted{Service: in.Service, Release: r.Number}, nil
}

// followed is the newest release that has not failed.
func (s services) followed(ctx context.Context, key release.Key) int {
	v, err := s.Store.Service(ctx, key)
	if err != nil {
		return 0
	}
	if r, err := s.Store.Release(ctx, key, v.Latest); err == nil && !r.Status.Ended() {
		return r.Number
	}
	return v.Current
}

func (s services) recordService(v *release.Service) {
	before, _, err := s.Store.ServiceHistory(context.Background(), v.Key)
	s.must(err)
	v.Version, v.UpdatedAt = before.Version+1, time.Time{}
	s.must(s.Store.RecordService(context.Background(), *v))
}

func (s services) record(r *release.Release) {
	r.Version++
	r.UpdatedAt = time.Time{}
	s.must(s.Store.RecordRelease(context.Background(), *r))
}

// bringOut builds, places and settles a release, as DeployRelease does.
func (s services) bringOut(ctx context.Context, r release.Release, v release.Service) {
	r.Status = release.Deploying
	s.pause()
	all, err := s.Store.Regions(ctx, "", false)
	s.must(err)
	for _, place := range all {
		if place.Status.Takes() {
			r.Regions = append(r.Regions, release.Placed{Region: place.Spec.Key().String(), Status: release.Pending})
		}
	}
	s.record(&r)
	if err := s.image(ctx, &r); err != nil {
		r.Status, r.Message = release.Failed, err.Error()
		for i := range r.Regions {
			r.Regions[i].Status = release.Failed
		}
		s.record(&r)
		s.settle(r, v)
		return
	}
	for i := range r.Regions {
		r.Regions[i].Status = release.Deploying
	}
	s.record(&r)
	s.pause()
	r.Status = release.Ready
	for i := range r.Regions {
		p := &r.Regions[i]
		p.Status, p.URL = release.Ready, s.gateway(p.Region)+r.Service.Segment()+"/"
		if s.Place == nil {
			continue
		}
		name := region.ShortName(p.Region)
		if err := s.Place(name, r); err != nil {
			r.Status, r.Message = release.RolledBack, name+": "+err.Error()
		}
	}
	for i := range r.Regions {
		if r.Status == release.RolledBack {
			r.Regions[i].Status, r.Regions[i].URL = release.RolledBack, ""
		}
	}
	s.record(&r)
	s.settle(r, v)
}

func (s services) image(ctx context.Context, r *release.Release) error {
	switch {
	case r.Image != "":
		return nil
	case r.Origin.Image != "":
		r.Image = r.Origin.Image
		return nil
	}
	log, err := s.blobs.Append(ctx, release.BuildInput{Service: r.Service, Number: r.Number}.LogName())
	if err != nil {
		return err
	}
	defer log.Close()
	say := func(line string) {
		_, err := fmt.Fprintln(log, line)
		s.must(err)
		s.pause()
	}
	say("go build " + r.Origin.Package)
	if s.Build != nil {
		if err := s.Build(say, *r); err != nil {
			return err
		}
	}
	say("pushed")
	r.Image = "127.0.0.1:5001/" + r.Service.Name + "@" + r.Origin.Source
	return nil
}

func (s services) settle(r release.Release, v release.Service) {
	if r.Status == release.Ready {
		v.Status, v.Current, v.Regions, v.Access, v.Message = release.Running, r.Number, r.Regions, r.Spec.Access, ""
	} else {
		v.Message = fmt.Sprintf("release %d %s: %s", r.Number, r.Status.Verb(), r.Message)
		if v.Current == 0 {
			v.Status = release.Broken
		}
	}
	s.recordService(&v)
}

func (s services) RollbackService(ctx context.Context, id string, key release.Key, in release.RollbackInput) (release.Accepted, error) {
	return remembered(s.World, id, fmt.Sprintf("rollback %s %d", key.Name, in.To), func() (release.Accepted, error) {
		v, err := s.Store.Service(ctx, key)
		if err != nil {
			return release.Accepted{}, err
		}
		to := in.To
		if to == 0 {
			to = v.Current - 1
		}
		if to < 1 {
			return release.Accepted{}, fault.New(fault.Conflict, "service %s: there is no release to go back to", key)
		}
		return s.deploy(ctx, id, release.Request{Service: key, By: in.By}, to)
	})
}

func (s services) KillService(ctx context.Context, id string, key release.Key, _ release.KillInput) (release.Accepted, error) {
	return remembered(s.World, id, "kill "+key.Name, func() (release.Accepted, error) {
		v, err := s.Store.Service(ctx, key)
		if err != nil {
			return release.Accepted{}, err
		}
		s.background(func(context.Context) {
			s.pause()
			v.Status = release.Killing
			s.recordService(&v)
			s.pause()
			v.Status, v.Regions, v.Current = release.Killed, nil, 0
			if s.Remove != nil {
				if err := s.Remove(key.Name); err != nil {
					v.Status, v.Message, v.PartlyRemoved = release.Broken, release.KillFailed+err.Error(), true
				}
			}
			s.recordService(&v)
		})
		return release.Accepted{Service: key}, nil
	})
}

func (s services) ServiceProgress(context.Context, release.Key) (release.Progress, error) {
	return s.Progress, nil
}
