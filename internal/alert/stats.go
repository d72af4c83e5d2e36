package alert

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// The working hours, on the clock of a zone, Monday to Friday: what comes at other times is after hours.
const (
	workBegins = 9
	workEnds   = 18
)

// Stats are how much work alerts were, and how much of it for nothing. Drills do not count. Shares are between 0 and 1.
type Stats struct {
	Service string `json:"service" doc:"Empty for all services together, or for alerts of none."`
	Alerts  int    `json:"alerts" doc:"That began."`
	Paged   int    `json:"paged" doc:"Of them, those that somebody was paged for."`
	Pages   int    `json:"pages"`

	Acknowledged int     `json:"acknowledged" doc:"By a person."`
	MTTA         float64 `json:"mtta_seconds" doc:"Mean time until an acknowledgement, of those that have one."`
	Ended        int     `json:"ended"`
	MTTR         float64 `json:"mttr_seconds" doc:"Mean time until the end, of those that have ended."`

	PagesPerAlert float64 `json:"pages_per_alert" doc:"Of those that somebody was paged for."`
	Noise         int     `json:"noise" doc:"Somebody was paged, nobody acknowledged, and they resolved themselves."`
	NoiseShare    float64 `json:"noise_share" doc:"Of those that somebody was paged for."`
	AfterHours    int     `json:"after_hours" doc:"Somebody was paged, and they began outside of 09:00 to 18:00 from Monday to Friday."`
	AfterShare    float64 `json:"after_hours_share" doc:"Of those that somebody was paged for."`
}

// Summary is the stats of a project's alerts, all together and by service.
type Summary struct {
	Total    Stats   `json:"total"`
	Services []Stats `json:"services" doc:"The noisiest first."`
}

// Summarize reckons the stats of alerts. zone is where working hours are.
func Summarize(alerts []Alert, zone *time.Location) Summary {
	total, services := Stats{}, map[string]*Stats{}
	for _, a := range alerts {
		if a.Drill {
			continue
		}
		if services[a.Service] == nil {
			services[a.Service] = &Stats{Service: a.Service}
		}
		total.add(a, zone)
		services[a.Service].add(a, zone)
	}
	s := Summary{Total: total.reckoned(), Services: []Stats{}}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		s.Services = append(s.Services, services[name].reckoned())
	}
	slices.SortStableFunc(s.Services, func(a, b Stats) int { return cmp.Or(cmp.Compare(b.Noise, a.Noise), cmp.Compare(b.Pages, a.Pages)) })
	return s
}

// add takes an alert in. MTTA and MTTR are sums until reckoned.
func (s *Stats) add(a Alert, zone *time.Location) {
	s.Alerts++
	acknowledged := !a.AcknowledgedAt.IsZero()
	if acknowledged {
		s.Acknowledged++
		s.MTTA += a.AcknowledgedAt.Sub(a.StartedAt).Seconds()
	}
	if a.Status.Final() {
		s.Ended++
		s.MTTR += a.EndedAt.Sub(a.StartedAt).Seconds()
	}
	if a.Pages == 0 {
		return
	}
	s.Paged++
	s.Pages += a.Pages
	if !acknowledged && a.Status == Resolved {
		s.Noise++
	}
	if afterHours(a.StartedAt.In(zone)) {
		s.AfterHours++
	}
}

func (s Stats) reckoned() Stats {
	s.MTTA, s.MTTR = ratio(s.MTTA, s.Acknowledged), ratio(s.MTTR, s.Ended)
	s.PagesPerAlert = ratio(float64(s.Pages), s.Paged)
	s.NoiseShare, s.AfterShare = ratio(float64(s.Noise), s.Paged), ratio(float64(s.AfterHours), s.Paged)
	return s
}

func ratio(sum float64, of int) float64 {
	if of == 0 {
		return 0
	}
	return sum / float64(of)
}

func afterHours(at time.Time) bool {
	weekend := at.Weekday() == time.Saturday || at.Weekday() == time.Sunday
	return weekend || at.Hour() < workBegins || at.Hour() >= workEnds
}
