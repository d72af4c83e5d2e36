package region

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// Action is what a plan would do to one region.
type Action string

// The actions of a plan.
const (
	Create Action = "create"
	Change Action = "change"
	Delete Action = "delete"
)

// Step is one line of a plan. Obstacles are what stands in the way (quota, permission, a version that is not offered),
// in the provider's words; a plan with obstacles cannot be applied.
type Step struct {
	Action    Action     `json:"action"`
	Region    Spec       `json:"region"`            // as wanted, with what the file leaves out; for Delete, as it is
	Before    *Spec      `json:"before,omitempty"`  // for Change: as it is, where it has a cluster
	Changes   []string   `json:"changes,omitempty"` // for Change: "kubernetes.nodes.count: 1 -> 3"
	Obstacles []Obstacle `json:"obstacles,omitempty"`
	Monthly   Cost       `json:"monthly"`
	Warnings  []string   `json:"warnings,omitempty"` // see Preflight
}

// Obstacle is one reason why a step cannot be carried out now.
type Obstacle struct {
	Kind    string `json:"kind"` // "quota", "denied", "invalid", "unsupported"
	Message string `json:"message"`
}

// NewObstacle is an obstacle of that kind, in these words.
func NewObstacle(kind fault.Kind, format string, args ...any) Obstacle {
	return Obstacle{Kind: string(kind), Message: fmt.Sprintf(format, args...)}
}

// Cost is what a month costs by the provider's list prices, as a decimal with two places ("36.00"). It is an estimate, without traffic: but for
// DigitalOcean's sizes, whose prices its API tells, it comes from tables that nobody has compared with the providers' lists.
type Cost struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
}

// Preflight is a provider's answer to a region that is about to be made or changed. Kubernetes is what the region asks for, with
// the provider's defaults for what it leaves out.
type Preflight struct {
	Kubernetes Kubernetes `json:"kubernetes"`
	Obstacles  []Obstacle `json:"obstacles,omitempty"`
	Monthly    Cost       `json:"monthly"`
	Draws      []Draw     `json:"draws,omitempty"`
	Warnings   []string   `json:"warnings,omitempty"` // what does not stand in the way, and the operator should know
}

// Draw is what a region takes out of one of its account's limits. Pool names the limit in the provider's words ("droplets",
// "vCPUs of the family standardDSv5 in westeurope"); Adds is how many more of it the region needs, Left how many there are of all that the
// account may have, Limit.
type Draw struct {
	Pool  string `json:"pool"`
	Adds  int    `json:"adds"`
	Left  int    `json:"left"`
	Limit int    `json:"limit,omitempty"`
}

// Judge takes over what the clouds say of a plan's steps, one answer a step. Each was asked of its region alone: regions
// that fit one by one, but not together, are obstacles from the first one on that has no room.
func (p *Plan) Judge(answers []Preflight) {
	type pool struct {
		provider Provider
		name     string
	}
	need := map[pool]int{}
	for i, a := range answers {
		step := &p.Steps[i]
		provider := step.Region.Provider
		step.Obstacles, step.Monthly = append(step.Obstacles, a.Obstacles...), a.Monthly
		step.Warnings = append(step.Warnings, a.Warnings...)
		step.Region.Kubernetes = step.Region.Kubernetes.Or(a.Kubernetes)
		for _, d := range a.Draws {
			of := pool{provider, d.Pool}
			need[of] += d.Adds
			if d.Adds > 0 && d.Adds <= d.Left && need[of] > d.Left {
				step.Obstacles = append(step.Obstacles, Obstacle{Kind: string(fault.Quota), Message: fmt.Sprintf(
					"with the regions before it the plan needs %d more %s, and the %s account can have %d more: ask for a higher limit", need[of], d.Pool, provider, d.Left)})
			}
		}
		if left := step.Region.Kubernetes.leftOut(); len(left) > 0 && len(step.Obstacles) == 0 && step.Action != Delete {
			step.Obstacles = append(step.Obstacles, Obstacle{Kind: string(fault.Invalid), Message: fmt.Sprintf(
				"%s is left out, and %s has no default for it: write it", strings.Join(left, ", "), provider)})
		}
	}
}

// PlanStatus is the life of a stored plan.
type PlanStatus string

// The statuses of a plan.
const (
	PlanOpen    PlanStatus = "open"
	PlanApplied PlanStatus = "applied"
	PlanStale   PlanStatus = "stale" // the world moved since it was made
)

// Plan is what would bring the world to the platform file, made at one moment of it. Basis is a fingerprint of what the
// plan was made from: apply refuses a plan whose basis is no longer true.
type Plan struct {
	ID        string     `json:"id"`
	Status    PlanStatus `json:"status"`
	Destroy   bool       `json:"destroy"`
	Keep      bool       `json:"keep,omitempty"` // failed bootstraps are kept instead of removed
	Steps     []Step     `json:"steps"`
	Basis     string     `json:"basis"`
	CreatedBy string     `json:"created_by"`
	CreatedAt time.Time  `json:"created_at"`
}

// Blocked reports whether anything stands in the way.
func (p Plan) Blocked() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return len(s.Obstacles) > 0 })
}

// Compare lists the steps from what there is to what is wanted. Regions of platforms that wanted does not name are left
// alone; destroy turns the whole of wanted into deletions.
func Compare(wanted []Spec, have []Region, destroy bool) []Step {
	var steps []Step
	present := map[Key]Region{}
	for _, r := range have {
		if r.Status != Deleted {
			present[r.Spec.Key()] = r
		}
	}
	platforms := map[string]bool{}
	for _, w := range wanted {
		platforms[w.Platform] = true
		r, exists := present[w.Key()]
		delete(present, w.Key())
		if step, differs := compareOne(w, r, exists, destroy); differs {
			steps = append(steps, step)
		}
	}
	for key, r := range present {
		if platforms[key.Platform] && !destroy {
			steps = append(steps, Step{Action: Delete, Region: r.Spec})
		}
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.Region.Key().String(), b.Region.Key().String()) })
	allot(steps, wanted, have)
	return steps
}

func compareOne(w Spec, r Region, exists, destroy bool) (Step, bool) {
	switch {
	case destroy && exists:
		return Step{Action: Delete, Region: r.Spec}, true
	case destroy:
		return Step{}, false
	case !exists:
		return Step{Action: Create, Region: w}, true
	}
	w.Kubernetes = w.Kubernetes.Or(r.kept())
	if w.CIDR == "" && !r.bare() {
		w.CIDR = r.Spec.CIDR
	}
	changes, fixed := r.changes(w)
	if r.Status == Failed || r.Status == Planned {
		changes = append(changes, "status: "+string(r.Status)+" -> "+string(Ready))
	}
	if drift := r.driftInside(); drift != "" {
		changes = append(changes, "drift: "+drift+" -> as applied")
	}
	step := Step{Action: Change, Region: w, Changes: changes}
	if r.built() { // of what was removed again, the account has nothing
		step.Before = &r.Spec
	}
	for _, field := range r.Fixed(fixed, w) {
		step.Obstacles = append(step.Obstacles, Obstacle{Kind: "unsupported", Message: field + " cannot be changed in place: remove the region and make it anew"})
	}
	if runs := r.Cluster.Version; r.upgraded() != "" && w.Kubernetes.Version == r.Spec.Kubernetes.Version {
		step.Changes = append(step.Changes, fmt.Sprintf("kubernetes.version: %s -> %s", Minor(runs), w.Kubernetes.Version))
		step.Obstacles = append(step.Obstacles, Obstacle{Kind: "unsupported", Message: fmt.Sprintf(
			"kubernetes.version: the cluster runs %s by now and cannot go back to %s: write \"%s\", or leave it out", patch(runs), w.Kubernetes.Version, Minor(runs))})
	}
	return step, len(step.Changes) > 0
}

// kept is what a region keeps of what the file leaves out: what was applied, and the version that its cluster runs by now. A region
// of which nothing is left keeps nothing: its provider's defaults may be others by now.
func (r Region) kept() Kubernetes {
	switch {
	case r.bare():
		return Kubernetes{}
	case r.upgraded() != "":
		return Kubernetes{Version: Minor(r.Cluster.Version)}.Or(r.Spec.Kubernetes)
	}
	return r.Spec.Kubernetes
}

// bare reports whether a bootstrap of the region failed and nothing of it is left.
func (r Region) bare() bool { return r.Status == Failed && !r.built() && !r.Network.Begun() }

// changes are the differences from the region to what is wanted of it. What is still left out is the provider's to say.
func (r Region) changes(want Spec) (changes, fixed []string) {
	want.Kubernetes = want.Kubernetes.Or(r.Spec.Kubernetes)
	want.CIDR = cmp.Or(want.CIDR, r.Spec.CIDR)
	return Differences(r.Spec, want)
}

// Fingerprint is the basis of a plan: what was wanted, and which regions there were at which version.
func Fingerprint(wanted []Spec, have []Region, destroy bool) string {
	type mark struct {
		Key     Key
		Status  Status
		Version int64
	}
	marks := make([]mark, 0, len(have))
	for _, r := range have {
		marks = append(marks, mark{r.Spec.Key(), r.Status, r.Version})
	}
	slices.SortFunc(marks, func(a, b mark) int { return cmp.Compare(a.Key.String(), b.Key.String()) })
	data, err := json.Marshal(struct {
		Wanted  []Spec
		Have    []mark
		Destroy bool
	}{wanted, marks, destroy})
	if err != nil {
		panic("region: a plan's basis is plain data: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
