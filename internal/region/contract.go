package region

import (
	"fmt"

	"github.com/m3o/platform/internal/answer"
)

// The workflows of a region, by their registered names.
const (
	PlanWorkflow      = "PlanPlatform"
	ApplyWorkflow     = "ApplyPlan"
	OperateWorkflow   = "OperateRegion"
	BootstrapWorkflow = "BootstrapRegion"
	TeardownWorkflow  = "TeardownRegion"
)

// What OperateRegion answers to. Updates are commands and are validated; the query tells where the work is.
const (
	ApplyUpdate      = "Apply"      // ApplyInput -> Accepted: make the region so
	RemoveUpdate     = "Remove"     // RemoveInput -> Accepted: take it down
	RetryUpdate      = "Retry"      // RetryInput -> Accepted: go on with a bootstrap that waits
	KubeconfigUpdate = "Kubeconfig" // KubeconfigInput -> SealedKubeconfig
	ProgressQuery    = "Progress"   // -> Progress
)

// RetrySignal carries a Spec to a BootstrapRegion that waits for the operator: go on, with that.
const RetrySignal = "RetryRequested"

// GiveUpSignal tells a BootstrapRegion that waits for the operator to remove what is built.
const GiveUpSignal = "RemovalRequested"

// Words of messages that others than their authors understand.
const (
	AtStep   = "step: "                    // begins the message of a region that something is done to, and names what
	Undoing  = ". Removing what was built" // ends that of a region whose failed bootstrap is still being undone
	WaitsFor = "workflow "                 // begins Progress.Waiting of an owner, and names what it waits for
)

// OperateID is the id of the workflow that owns the region.
func (k Key) OperateID() string { return "region/" + k.Platform + "/" + k.Name }

// BootstrapID is the id of the n-th bootstrap of the region.
func (k Key) BootstrapID(n int) string { return fmt.Sprintf("%s/bootstrap/%d", k.OperateID(), n) }

// TeardownID is the id of the n-th teardown of the region.
func (k Key) TeardownID(n int) string { return fmt.Sprintf("%s/teardown/%d", k.OperateID(), n) }

// PlanID is the id of the workflow that makes a plan; ApplyID of the one that carries it out.
func PlanID(plan string) string  { return "plan/" + plan }
func ApplyID(plan string) string { return "apply/" + plan }

// PlanInput asks for a plan: the regions wanted, or, with Destroy, the regions to take down.
type PlanInput struct {
	ID        string `json:"id"`
	Wanted    []Spec `json:"wanted"`
	Destroy   bool   `json:"destroy"`
	Keep      bool   `json:"keep"`
	CreatedBy string `json:"created_by"`
}

// ApplyPlanInput carries out a stored plan.
type ApplyPlanInput struct {
	Plan string `json:"plan"`
	By   string `json:"by"`
}

// ApplyInput asks OperateRegion for a region. Keep leaves a failed bootstrap as it is for a look at it.
type ApplyInput struct {
	Spec Spec   `json:"spec"`
	Plan string `json:"plan"`
	By   string `json:"by"`
	Keep bool   `json:"keep"`
}

// RemoveInput asks OperateRegion to take the region down.
type RemoveInput struct {
	By string `json:"by"`
}

// RetryInput asks a bootstrap that waits for quota or permission to try again.
type RetryInput struct {
	By string `json:"by"`
}

// Accepted is the answer to a command: it is recorded and will be done in turn.
type Accepted struct {
	Operation int    `json:"operation"` // counts the region's operations
	Status    Status `json:"status"`
}

// OperateInput starts OperateRegion, and carries its state over when it continues as new.
type OperateInput struct {
	Key   Key   `json:"key"`
	State State `json:"state"`
}

// State is what OperateRegion remembers.
type State struct {
	Phase     Phase                 `json:"phase,omitempty"`
	Region    Region                `json:"region"`
	Operation int                   `json:"operation"`
	Version   int64                 `json:"version"`
	Queue     []Order               `json:"queue,omitempty"`
	Answers   answer.Book[Accepted] `json:"answers"`
}

// Order is one operation that waits for its turn.
type Order struct {
	Operation int    `json:"operation"`
	Action    Action `json:"action"`
	Spec      Spec   `json:"spec"`
	By        string `json:"by"`
	Keep      bool   `json:"keep"`
	Trace     string `json:"trace,omitempty"` // of the command that gave the order, see internal/lineage
}

// BootstrapInput starts BootstrapRegion. Region is what there is of it; Spec is what it is to become.
type BootstrapInput struct {
	Region  Region `json:"region"`
	Spec    Spec   `json:"spec"`
	Keep    bool   `json:"keep"`
	Version int64  `json:"version"` // records of this run begin here
}

// Outcome is how a bootstrap or a teardown ended. Removed says that nothing of the region is left, Repeat that the operator
// asked for another attempt when it was too late for this one.
type Outcome struct {
	Region  Region `json:"region"`
	Removed bool   `json:"removed"`
	Repeat  bool   `json:"repeat,omitempty"`
}

// TeardownInput starts TeardownRegion.
type TeardownInput struct {
	Region  Region `json:"region"`
	Version int64  `json:"version"`
}

// Progress is where an operation is. Waiting says why nothing moves, and what would move it.
type Progress struct {
	Status  Status `json:"status"`
	Stage   string `json:"stage,omitempty"`
	Done    int    `json:"done"`
	Of      int    `json:"of"`
	Waiting string `json:"waiting,omitempty"`
}
