package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

type counterRow struct {
	bun.BaseModel `bun:"table:counters"`

	Name  string `bun:",pk"`
	Value int64
}

type projectRow struct {
	bun.BaseModel `bun:"table:projects"`

	Name        string `bun:",pk"`
	Platform    string
	Status      string // an account.ProjectStatus
	Suspensions string
	Version     int64
	CreatedAt   time.Time
	CreatedBy   string
}

type userRow struct {
	bun.BaseModel `bun:"table:users"`

	ID        string `bun:",pk"`
	Name      string
	Email     string
	Status    string
	CreatedAt time.Time
	CreatedBy string
}

type serviceAccountRow struct {
	bun.BaseModel `bun:"table:service_accounts"`

	ID        string `bun:",pk"`
	Project   string
	Name      string
	CreatedAt time.Time
	CreatedBy string
}

// roleRow without a project is a role on the platform.
type roleRow struct {
	bun.BaseModel `bun:"table:roles"`

	Member  string `bun:",pk"`
	Project string `bun:",pk"`
	Role    string `bun:",pk"`
}

type invitationRow struct {
	bun.BaseModel `bun:"table:invitations"`

	Member    string `bun:",pk"`
	Hash      string
	CreatedBy string
	ExpiresAt time.Time
}

type regionRow struct {
	bun.BaseModel `bun:"table:regions"`

	Platform string `bun:",pk"`
	Name     string `bun:",pk"`
	Status   string
	Message  string
	Version  int64
	Doc      string
}

type planRow struct {
	bun.BaseModel `bun:"table:plans"`

	ID     string `bun:",pk"`
	Status string
	Doc    string
	Wanted string
}

type numberRow struct {
	bun.BaseModel `bun:"table:release_numbers"`

	Project string `bun:",pk"`
	Service string `bun:",pk"`
	Last    int
}

type releaseRow struct {
	bun.BaseModel `bun:"table:releases"`

	Project    string `bun:",pk"`
	Service    string `bun:",pk"`
	Number     int    `bun:",pk"`
	RequestKey string
	Status     string
	Message    string
	Version    int64
	Doc        string
}

type serviceRow struct {
	bun.BaseModel `bun:"table:services"`

	Project string `bun:",pk"`
	Name    string `bun:",pk"`
	Status  string
	Message string
	Version int64
	Doc     string
}

type healthRow struct {
	bun.BaseModel `bun:"table:health"`

	Project string `bun:",pk"`
	Service string `bun:",pk"`
	Region  string `bun:",pk"`
	Doc     string // a release.Health, or a region.Sight
}

type leaseRow struct {
	bun.BaseModel `bun:"table:leases"`

	Name      string `bun:",pk"`
	Holder    string
	Beat      int64
	RenewedAt time.Time
}

type eventRow struct {
	bun.BaseModel `bun:"table:events"`

	Seq     int64 `bun:",pk"`
	Time    time.Time
	Project string
	Kind    string
	Subject string
	Region  string
	Message string
}

// conditionRow is a turn that began and has not ended.
type conditionRow struct {
	bun.BaseModel `bun:"table:conditions"`

	Kind    string `bun:",pk"` // of the event that began it
	Subject string `bun:",pk"`
	Project string
	Region  string
	Message string
	Since   time.Time
}

type auditRow struct {
	bun.BaseModel `bun:"table:audits"`

	Seq       int64 `bun:",pk"`
	Time      time.Time
	Subject   string
	Kind      string
	Project   string
	Action    string
	Target    string
	Caller    string
	RequestID string
	Status    int
}

type tokenRow struct {
	bun.BaseModel `bun:"table:tokens"`

	Hash      string `bun:",pk"`
	ID        string
	Owner     string
	Kind      string
	Name      string
	Scopes    string
	Project   string
	CreatedAt time.Time
	CreatedBy string
	ExpiresAt time.Time `bun:",nullzero"`
	LastUsed  time.Time `bun:",nullzero"`
}

type sessionRow struct {
	bun.BaseModel `bun:"table:sessions"`

	Hash      string `bun:",pk"`
	Token     string
	ExpiresAt time.Time
}

type claimRow struct {
	bun.BaseModel `bun:"table:claims"`

	Principal  string `bun:",pk"`
	Route      string `bun:",pk"`
	RequestKey string `bun:",pk"`
	BodyHash   string
	Attempt    int64
	State      string
	Status     int
	Body       []byte
	LeasedTo   time.Time
	ExpiresAt  time.Time
}

// encode writes a noun into its doc column. Nouns are plain data, so it fails only for a programming mistake.
func encode(noun any) (string, error) {
	data, err := json.Marshal(noun)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", noun, err)
	}
	return string(data), nil
}

func decode[T any](doc string) (T, error) {
	var noun T
	if err := json.Unmarshal([]byte(doc), &noun); err != nil {
		return noun, fmt.Errorf("decode %T: %w", noun, err)
	}
	return noun, nil
}

// clean makes free text fit for a column: the engines refuse NUL, and PostgreSQL what is not UTF-8.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// orNow is t as the database will return it, and the present when t is not set.
func (s *Store) orNow(t time.Time) time.Time {
	if t.IsZero() {
		return s.now()
	}
	return t.UTC().Truncate(time.Microsecond)
}
