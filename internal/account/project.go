package account

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// ProjectStatus is where a project is.
//
//	state     | event                          | next
//	(none)    | created                        | active
//	active    | suspended for a first reason   | suspended
//	suspended | the last reason is lifted      | active
//	either    | its removal is accepted        | removing
//	removing  | everything of it is gone       | removed
type ProjectStatus string

// The statuses of a project.
const (
	ProjectActive    ProjectStatus = "active"
	ProjectSuspended ProjectStatus = "suspended"
	ProjectRemoving  ProjectStatus = "removing" // refuses new work; what it has is being removed
	ProjectRemoved   ProjectStatus = "removed"  // nobody finds it; its name is never given again
)

// Reason is why a project is suspended.
type Reason string

// The reasons. A project is suspended while there is one; lifting one leaves the others.
const (
	ByOperator Reason = "operator"
	ByCap      Reason = "cap"     // a spending cap is reached
	ByDunning  Reason = "dunning" // an invoice is not paid
)

// Reasons lists the reasons that there are.
func Reasons() []Reason { return []Reason{ByOperator, ByCap, ByDunning} }

// Suspension is one reason for which a project is suspended.
type Suspension struct {
	Reason  Reason    `json:"reason" enum:"operator,cap,dunning"`
	Message string    `json:"message,omitempty"`
	By      string    `json:"by"`
	Since   time.Time `json:"since"`
}

// Project is what everything belongs to. Platform is empty for the default project before the first platform is applied.
type Project struct {
	Name        string        `json:"name"`
	Platform    string        `json:"platform"`
	Status      ProjectStatus `json:"status" enum:"active,suspended,removing"`
	Suspensions []Suspension  `json:"suspensions,omitempty"`
	Version     int64         `json:"version" doc:"Grows when its suspensions change."`
	CreatedAt   time.Time     `json:"created_at"`
	CreatedBy   string        `json:"created_by,omitempty"`
}

// Takes reports why a project takes no work: that it is the platform's own, suspended, or being removed. Nil when it does.
func (p Project) Takes() error {
	if p.Name == PlatformProject {
		return ReservedProject("no service runs in it")
	}
	switch p.Status {
	case ProjectRemoving:
		return fault.New(fault.Conflict, "project %q is being removed", p.Name)
	case ProjectSuspended:
		return fault.New(fault.Denied, "project %q is suspended: %s", p.Name, p.Why())
	}
	return nil
}

// ReservedProject says why something cannot be done to the project of the platform's own alerts.
func ReservedProject(so string) error {
	return fault.New(fault.Conflict, "project %q is reserved for the platform's own alerts: %s", PlatformProject, so)
}

// Why lists the reasons for which a project is suspended, in words.
func (p Project) Why() string {
	words := make([]string, len(p.Suspensions))
	for i, s := range p.Suspensions {
		if words[i] = string(s.Reason); s.Message != "" {
			words[i] += " (" + s.Message + ")"
		}
	}
	return strings.Join(words, ", ")
}

// Limits of names: <service>--<project> is one DNS label.
const (
	maxLabel = 63
	joint    = "--"
	maxNames = maxLabel - len(joint)
)

var projectName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`)

// ProjectNameRule is the sentence that explains what a project's name must look like.
const ProjectNameRule = "must be a DNS label: lower-case letters, digits and hyphens, beginning with a letter, at most 40 characters, without two hyphens in a row"

// reserved is the project whose part of the registry, <registry>/m3o/, holds the platform's own images.
const reserved = "m3o"

// CheckProject reports what is wrong with a project's name.
func CheckProject(field, name string) error {
	var c fault.Checker
	c.Check(projectName.MatchString(name) && !strings.Contains(name, joint), field, "%.80q %s", name, ProjectNameRule)
	c.Check(name != reserved, field, "%q is reserved: the platform's own images have its part of the registry", name)
	return c.Err()
}

// CheckReason reports whether a reason is one, and what is said of it is short enough.
func CheckReason(r Reason, message string) error {
	var c fault.Checker
	c.Check(slices.Contains(Reasons(), r), "reason", "%.80q is none; there are operator, cap and dunning", r)
	c.Check(len(message) <= maxMessage, "message", "%d bytes are more than %d", len(message), maxMessage)
	return c.Err()
}

const maxMessage = 500

// The workflows of a project, by their registered names, and what they answer to.
const (
	SuspendWorkflow = "SuspendProject" // brings a project's standing to every region
	SuspendUpdate   = "Suspend"        // SuspendInput -> Project
	ChangedSignal   = "RegionsChanged" // a region became ready: bring it there, too; or the project is being removed

	RemoveWorkflow = "RemoveProject" // RemovalInput
	RemoveUpdate   = "Remove"        // RemoveInput -> Project
	ProgressQuery  = "Progress"      // -> Removal
)

// SuspendID is the id of the workflow that brings a project's standing to every region; RemoveID of the one that removes it.
func SuspendID(project string) string { return fmt.Sprintf("project/%s/suspension", project) }
func RemoveID(project string) string  { return fmt.Sprintf("project/%s/remove", project) }

// ProjectInput starts a workflow of a project.
type ProjectInput struct {
	Project string `json:"project"`
}

// RemovalInput starts RemoveProject. All but the project is what one run carries to the next.
type RemovalInput struct {
	Project string        `json:"project"`
	Status  RemovalStatus `json:"status,omitempty"`
	By      string        `json:"by,omitempty"`
	Round   int           `json:"round,omitempty"` // of orders to kill services
}

// RemovalStatus is where a removal is.
//
//	state   | event                        | next
//	asked   | a command closed the project | closed
//	asked   | a command was refused        | refused
//	refused | another closed the project   | closed
type RemovalStatus string

// The statuses of a removal.
const (
	RemovalAsked   RemovalStatus = ""
	RemovalRefused RemovalStatus = "refused"
	RemovalClosed  RemovalStatus = "closed"
)

// SuspendInput suspends a project for a reason, or lifts that one.
type SuspendInput struct {
	Project string `json:"project"`
	Reason  Reason `json:"reason"`
	Message string `json:"message,omitempty"`
	Lift    bool   `json:"lift,omitempty"`
	By      string `json:"by"`
}

// RemoveInput asks for the end of a project. Cascade takes its services with it.
type RemoveInput struct {
	Project string `json:"project"`
	Cascade bool   `json:"cascade,omitempty"`
	By      string `json:"by"`
}

// Removal is where the removal of a project is, and what it waits for.
type Removal struct {
	Stage   string `json:"stage"`
	Waiting string `json:"waiting,omitempty"`
}
