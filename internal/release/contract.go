package release

import (
	"fmt"
	"strings"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/answer"
	"github.com/m3o/platform/internal/region"
)

// The workflows of a service, by their registered names.
const (
	OperateWorkflow = "OperateService"
	DeployWorkflow  = "DeployRelease"
	BuildWorkflow   = "BuildImage"
)

// What OperateService answers to.
const (
	DeployUpdate   = "Deploy"   // Request -> Accepted
	RollbackUpdate = "Rollback" // RollbackInput -> Accepted
	KillUpdate     = "Kill"     // KillInput -> Accepted
	ProgressQuery  = "Progress" // -> Progress

	RegionReadySignal   = "RegionReady"   // RegionFact: bring the current release there
	RegionRemovedSignal = "RegionRemoved" // RegionFact: it is no longer a place for the service
)

// OvertakenSignal tells DeployRelease that its release need not be brought out any more. -> Overtaken
const OvertakenSignal = "Overtaken"

// OperateID is the id of the workflow that owns the service.
func (k Key) OperateID() string { return "service/" + k.Project + "/" + k.Name }

// DeployID is the id of the workflow that brings one release to its regions.
func (k Key) DeployID(number int) string {
	return fmt.Sprintf("release/%s/%s/%d", k.Project, k.Name, number)
}

// PlaceID is the id of the n-th deploy of the service that brings a release to regions that became ready later.
func (k Key) PlaceID(number, n int) string { return fmt.Sprintf("%s/place/%d", k.DeployID(number), n) }

// BuildID is the id of the workflow that makes the image of one release.
func (k Key) BuildID(number int) string {
	return fmt.Sprintf("build/%s/%s/%d", k.Project, k.Name, number)
}

// RollbackInput asks for an earlier release again. To 0 means the one before the current.
type RollbackInput struct {
	To int    `json:"to"`
	By string `json:"by"`
}

// KillInput asks for the end of a service.
type KillInput struct {
	By string `json:"by"`
}

// RegionFact tells that something is now true of a region.
type RegionFact struct {
	Region  string `json:"region"`            // its full name, platform/name
	Cluster string `json:"cluster,omitempty"` // the provider's id of the cluster that the region has, when it is ready
	Trace   string `json:"trace,omitempty"`   // of the work that made it true, see internal/lineage
}

// KillFailed begins the message of a service that could not be taken away everywhere.
const KillFailed = "kill: "

// Overtaken tells why a deploy on its way need not go on: a newer release was asked for, or the end of the service, which
// takes away whatever the deploy placed.
type Overtaken struct {
	By     int  `json:"by,omitempty"` // the newer release
	Killed bool `json:"killed,omitempty"`
}

func (o Overtaken) String() string {
	if o.Killed {
		return "the service was killed while it was on its way"
	}
	return fmt.Sprintf("release %d was asked for while it was on its way", o.By)
}

// Allocation asks for the next release of a service under a key: the same key gets the same release. Follows is the release whose settings
// it keeps where the request names none, 0 for none. With RollsBack the release repeats that earlier one, whatever the request says.
type Allocation struct {
	Request    Request `json:"request"`
	RequestKey string  `json:"request_key"`
	Follows    int     `json:"follows,omitempty"`
	RollsBack  int     `json:"rolls_back,omitempty"`
}

// Accepted is the answer to a command: it is recorded and will be done in turn. Release is 0 for a kill.
type Accepted struct {
	Service Key `json:"service"`
	Release int `json:"release"`
}

// OperateInput starts OperateService, and carries its state over when it continues as new.
type OperateInput struct {
	Key   Key   `json:"key"`
	State State `json:"state"`
}

// State is what OperateService remembers.
type State struct {
	Phase       Phase                 `json:"phase,omitempty"`
	Version     int64                 `json:"version"`
	Current     *Release              `json:"current,omitempty"`     // what is meant to run
	Previous    []Release             `json:"previous,omitempty"`    // released before, newest last; bounded
	Waiting     *Release              `json:"waiting,omitempty"`     // the newest release that waits its turn
	Interrupted *Release              `json:"interrupted,omitempty"` // on its way when the owner was lost; its turn is first
	RolledBack  []int                 `json:"rolled_back,omitempty"`
	Unplaced    []string              `json:"unplaced,omitempty"` // regions where bringing or taking back failed: retried
	Tries       int                   `json:"tries,omitempty"`
	Removed     []string              `json:"removed,omitempty"` // regions that are gone
	Latest      int                   `json:"latest"`
	Ended       Status                `json:"ended,omitempty"`   // how the last deploy ended: after one that was superseded the next is not, or none would ever be ready
	Regions     []string              `json:"regions,omitempty"` // that became ready and wait for the current release
	Placements  int                   `json:"placements"`
	Placed      []Placed              `json:"placed,omitempty"` // where the current release runs
	Started     time.Time             `json:"started"`
	Answers     answer.Book[Accepted] `json:"answers"`
	Traces      Traces                `json:"traces,omitzero"`
}

// Traces are those of whoever asked for what a service has to do, see internal/lineage.
type Traces struct {
	Deploy string `json:"deploy,omitempty"` // the command for the release that waits
	Kill   string `json:"kill,omitempty"`
	Place  string `json:"place,omitempty"` // the last region that became ready
}

// DeployInput starts DeployRelease. Before is what ran until now, to go back to; nil when nothing did. Only limits the
// deploy to the named regions (a region that became ready later); empty means every region that takes services.
type DeployInput struct {
	Release Release  `json:"release"`
	Before  *Release `json:"before,omitempty"`
	Only    []string `json:"only,omitempty"`
	Ran     []string `json:"ran,omitempty"` // regions of Only where it ran before: it is never taken away from there
	Version int64    `json:"version"`
}

// Outcome is how a deploy ended.
type Outcome struct {
	Release Release `json:"release"`
}

// Progress is where a deploy is. Waiting says why nothing moves: what the build waits for, or the first region that waits for something.
type Progress struct {
	Release int       `json:"release"`
	Stage   string    `json:"stage"` // one of the stages below; empty when nothing is at work
	Regions []Placing `json:"regions,omitempty"`
	Waiting string    `json:"waiting,omitempty"`
}

// The stages of a deploy.
const (
	StageRegions  = "find regions"
	StageImage    = "image" // built, or pinned to its digest
	StageRollout  = "rollout"
	StageRollback = "roll back"
)

// Placing is how a deploy comes along in one region.
type Placing struct {
	Region  string     `json:"region"` // its full name, platform/name
	Status  Status     `json:"status"`
	Stage   PlaceStage `json:"stage,omitempty"`   // where it is, while Status is Deploying
	Message string     `json:"message,omitempty"` // why it failed
	Waiting string     `json:"waiting,omitempty"` // what it waits for now
}

// PlaceStage is a stage of a release's way into a region.
type PlaceStage string

// The stages of a release's way into a region, in order.
const (
	PlaceApply     PlaceStage = "apply"     // the cluster is told what to run
	PlaceInstances PlaceStage = "instances" // the instances become ready
	PlaceGateway   PlaceStage = "gateway"   // the region's gateway reaches them
)

// BuildInput starts BuildImage, and is what the builder gets.
type BuildInput struct {
	Service Key    `json:"service"`
	Number  int    `json:"number"`
	Origin  Origin `json:"origin"`
}

// LogFolder is where the blob store keeps the logs of builds, a folder for each project.
const LogFolder = "builds"

// LogName is the blob that keeps the build's log.
func (b BuildInput) LogName() string {
	return fmt.Sprintf("%s/%s/%s/%d.log", LogFolder, b.Service.Project, b.Service.Name, b.Number)
}

// Image is the result of a build: a reference by digest. Found says that an equal build was there already.
type Image struct {
	Reference string `json:"reference"`
	Found     bool   `json:"found"`
}

// Ref names one release.
type Ref struct {
	Service Key `json:"service"`
	Number  int `json:"number"`
}

// Placement is one release in one region.
type Placement struct {
	Region   region.Spec      `json:"region"`
	Endpoint region.Endpoints `json:"endpoint"`
	Release  Release          `json:"release"`
}

// Standing is whether a project is suspended. An older version never replaces a newer one.
type Standing struct {
	Project   string `json:"project"`
	Suspended bool   `json:"suspended"`
	Version   int64  `json:"version"`
}

// Segment is the first segment of a path that leads to the service behind a gateway: its name in the default project, else
// <name>--<project>, which no name can be, and which is the label of its host.
func (k Key) Segment() string {
	if k.Project == account.DefaultProject {
		return k.Name
	}
	return k.Name + joint + k.Project
}

// ParseSegment reads the first segment of a path. The key has no project where the segment names none; false where it leads to no
// service whatever there is.
func ParseSegment(segment string) (Key, bool) {
	name, project, named := strings.Cut(segment, joint)
	k := Key{Project: project, Name: name}
	return k, region.IsLabel(name) && (!named || region.IsLabel(project) && !strings.Contains(project, joint))
}

// URL is the service's base behind the region's gateway, ending in a slash.
func (p Placement) URL() string {
	if p.Endpoint.API == "" {
		return ""
	}
	return p.Endpoint.API + p.Release.Service.Segment() + "/"
}

// Ref names the release.
func (r Release) Ref() Ref { return Ref{Service: r.Service, Number: r.Number} }

func (r Ref) String() string { return fmt.Sprintf("%s/%d", r.Service, r.Number) }
