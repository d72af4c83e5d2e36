package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

type contactRow struct {
	bun.BaseModel `bun:"table:contacts"`

	ID          string `bun:",pk"`
	Member      string // a user's id
	Channel     string
	Address     string
	Status      string // an alert.ContactStatus
	Message     string
	CreatedAt   time.Time
	Sends       int64 // codes that were asked for
	CodeHash    string
	CodeTries   int
	CodeExpires time.Time
}

type contactCodeRow struct {
	bun.BaseModel `bun:"table:contact_codes"`

	ID      string `bun:",pk"`
	Member  string
	Address string
	SentAt  time.Time
}

func (r contactRow) contact(person string) alert.Contact {
	return alert.Contact{ID: r.ID, Person: person, Channel: alert.Channel(r.Channel), Address: r.Address, Status: alert.ContactStatus(r.Status), Message: r.Message,
		CreatedAt: r.CreatedAt.UTC()}
}

// dropCode makes the contact's code good no more.
func (r *contactRow) dropCode() {
	r.CodeHash, r.CodeTries, r.CodeExpires = "", 0, time.Unix(0, 0).UTC()
}

// Contacts returns a user's contacts, those that are not verified too, the oldest first.
func (s *Store) Contacts(ctx context.Context, person string) ([]alert.Contact, error) {
	user, err := mustFindUser(ctx, s.read, person)
	if err != nil {
		return nil, s.explain(err, "read user "+clean(person))
	}
	var rows []contactRow
	if err := s.read.NewSelect().Model(&rows).Where("member = ?", user.ID).Order("created_at", "id").Scan(ctx); err != nil {
		return nil, s.explain(err, "list the contacts of "+user.Name)
	}
	contacts := make([]alert.Contact, len(rows))
	for i, r := range rows {
		contacts[i] = r.contact(user.Name)
	}
	return contacts, nil
}

// ContactByAddress returns the verified contact of that address: there is one at most.
func (s *Store) ContactByAddress(ctx context.Context, channel alert.Channel, address string) (alert.Contact, error) {
	var row contactRow
	err := s.read.NewSelect().Model(&row).Where("channel = ? AND address = ? AND status = ?", string(channel), clean(address), string(alert.ContactVerified)).Scan(ctx)
	if err == nil {
		return s.ofMember(ctx, row)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = fault.New(fault.NotFound, "nobody has verified that %s contact", channel)
	}
	return alert.Contact{}, s.explain(err, "look up a contact")
}

// Contact returns the contact of that id, whoever has it.
func (s *Store) Contact(ctx context.Context, id string) (alert.Contact, error) {
	row, err := findContact(ctx, s.read, id)
	if err != nil {
		return alert.Contact{}, s.explain(err, "read a contact")
	}
	return s.ofMember(ctx, row)
}

func (s *Store) ofMember(ctx context.Context, row contactRow) (alert.Contact, error) {
	var person string
	err := s.read.NewSelect().Model((*userRow)(nil)).Column("name").Where("id = ?", row.Member).Scan(ctx, &person)
	if errors.Is(err, sql.ErrNoRows) {
		err = fault.New(fault.NotFound, "whoever had that contact was removed")
	}
	return row.contact(person), s.explain(err, "look up whose a contact is")
}

func findContact(ctx context.Context, db bun.IDB, id string) (row contactRow, err error) {
	err = db.NewSelect().Model(&row).Where("id = ?", clean(id)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		err = fault.New(fault.NotFound, "there is no contact %q", clean(id))
	}
	return row, err
}

// findOwn finds a contact of a person by its id. Those of others are none.
func findOwn(ctx context.Context, tx bun.Tx, person, id string) (contactRow, userRow, error) {
	user, err := mustFindUser(ctx, tx, person)
	if err != nil {
		return contactRow{}, user, err
	}
	row, err := findContact(ctx, tx, id)
	if err == nil && row.Member != user.ID {
		err = fault.New(fault.NotFound, "there is no contact %q", clean(id))
	}
	return row, user, err
}

// CreateContact adds a contact of a person, which is pending until the code that is sent there comes back.
func (s *Store) CreateContact(ctx context.Context, person string, channel alert.Channel, address string) (alert.Contact, error) {
	if err := alert.CheckContact(channel, address); err != nil {
		return alert.Contact{}, err
	}
	var made alert.Contact
	err := s.transact(ctx, "add a contact", func(ctx context.Context, tx bun.Tx) error {
		user, err := mustFindUser(ctx, tx, person)
		if err != nil {
			return err
		}
		var there []contactRow
		if err := tx.NewSelect().Model(&there).Where("member = ?", user.ID).Scan(ctx); err != nil {
			return err
		}
		if len(there) >= alert.MaxContacts {
			return fault.New(fault.Quota, "%d contacts are the most that one person has: remove one", alert.MaxContacts)
		}
		for _, r := range there {
			if r.Channel == string(channel) && r.Address == address {
				return fault.New(fault.Exists, "there is that contact already: %s, which is %s", r.ID, r.Status)
			}
		}
		row := contactRow{ID: newID("con"), Member: user.ID, Channel: string(channel), Address: address, Status: string(alert.ContactPending), CreatedAt: s.now()}
		row.dropCode()
		made = row.contact(user.Name)
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		return s.tellContact(ctx, tx, row, user.Name, "contact.added", user.Name)
	})
	return made, err
}

// tellContact tells of a contact without its address: events are read by many.
func (s *Store) tellContact(ctx context.Context, tx bun.Tx, row contactRow, person, kind, by string) error {
	return s.tellBy(ctx, tx, by, "", kind, person+"/"+row.Channel, row.ID)
}

// RemoveContact removes a contact of a person. Its code is good no more.
func (s *Store) RemoveContact(ctx context.Context, person, id string) error {
	return s.transact(ctx, "remove a contact", func(ctx context.Context, tx bun.Tx) error {
		row, user, err := findOwn(ctx, tx, person, id)
		if err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.tellContact(ctx, tx, row, user.Name, alert.ContactRemovedEvent, user.Name)
	})
}

// BeginCode counts a code that is to be sent to a contact of a person, and returns how many there were with it. It fails, with when to
// come back, for more than people need: whoever has a token could bother strangers.
func (s *Store) BeginCode(ctx context.Context, person, id string) (n int64, err error) {
	err = s.transact(ctx, "begin to verify a contact", func(ctx context.Context, tx bun.Tx) error {
		row, user, err := findOwn(ctx, tx, person, id)
		if err != nil {
			return err
		}
		if row.Status == string(alert.ContactVerified) {
			return fault.New(fault.Conflict, "contact %s is verified already", row.ID)
		}
		if err := s.mayCode(ctx, tx, user, row.Address); err != nil {
			return err
		}
		code := contactCodeRow{ID: newID("cod"), Member: user.ID, Address: row.Address, SentAt: s.now()}
		if _, err := tx.NewInsert().Model(&code).Exec(ctx); err != nil {
			return err
		}
		row.Sends++
		row.Message = ""
		n = row.Sends
		_, err = tx.NewUpdate().Model(&row).Column("sends", "message").WherePK().Exec(ctx)
		return err
	})
	return n, err
}

// mayCode says why no further code is sent to an address, and forgets what no limit looks at.
func (s *Store) mayCode(ctx context.Context, tx bun.Tx, user userRow, address string) error {
	now := s.now()
	if _, err := tx.NewDelete().Model((*contactCodeRow)(nil)).Where("sent_at < ?", now.Add(-24*time.Hour)).Exec(ctx); err != nil {
		return err
	}
	var sent []contactCodeRow
	if err := tx.NewSelect().Model(&sent).Where("member = ? OR address = ?", user.ID, address).Order("sent_at").Scan(ctx); err != nil {
		return err
	}
	var there, theirs []time.Time
	for _, c := range sent {
		if c.Address == address && now.Sub(c.SentAt) < time.Hour {
			there = append(there, c.SentAt)
		}
		if c.Member == user.ID {
			theirs = append(theirs, c.SentAt)
		}
	}
	wait := func(until time.Time, format string, args ...any) error {
		err := fault.New(fault.Throttled, format, args...)
		err.RetryAfter = max(until.Sub(now), time.Second)
		return err
	}
	if n := len(there); n > 0 && now.Sub(there[n-1]) < alert.CodePause {
		return wait(there[n-1].Add(alert.CodePause), "a code was sent there less than %s ago", alert.Duration(alert.CodePause))
	}
	if n := len(there); n >= alert.CodesPerHour {
		return wait(there[n-alert.CodesPerHour].Add(time.Hour), "%d codes within an hour are the most that are sent to one address", alert.CodesPerHour)
	}
	if n := len(theirs); n >= alert.CodesPerDay {
		return wait(theirs[n-alert.CodesPerDay].Add(24*time.Hour), "%d codes within a day are the most that are sent for one person", alert.CodesPerDay)
	}
	return nil
}

// RecordCode puts the hash of the contact's n-th code into force, or says why there is none. Of a code that is not the newest, and of a
// contact that is verified or gone, nothing is kept.
func (s *Store) RecordCode(ctx context.Context, in alert.CodeRecord) error {
	return s.transact(ctx, "keep a code", func(ctx context.Context, tx bun.Tx) error {
		row, err := findContact(ctx, tx, in.Contact)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil || row.Sends != in.N || row.Status == string(alert.ContactVerified) || row.CodeHash == in.Hash && in.Why == row.Message {
			return err
		}
		row.dropCode()
		row.Message = clean(in.Why)
		if in.Hash != "" {
			row.CodeHash, row.CodeExpires = in.Hash, s.orNow(in.Expires)
		}
		_, err = tx.NewUpdate().Model(&row).Column("code_hash", "code_tries", "code_expires", "message").WherePK().Exec(ctx)
		return err
	})
}

// VerifyContact makes a contact of a person verified if the code is the one that was sent there last. A wrong code counts as a try,
// which is kept although the call fails.
func (s *Store) VerifyContact(ctx context.Context, person, id, code string) (alert.Contact, error) {
	var verified alert.Contact
	var refused error
	err := s.transact(ctx, "verify a contact", func(ctx context.Context, tx bun.Tx) error {
		row, user, err := findOwn(ctx, tx, person, id)
		if err != nil {
			return err
		}
		verified, refused = row.contact(user.Name), nil
		if row.Status == string(alert.ContactVerified) {
			return nil
		}
		if refused, err = s.tryCode(ctx, tx, &row, code); err != nil || refused != nil {
			return err
		}
		if err := onlyOne(ctx, tx, row); err != nil {
			return err
		}
		row.dropCode()
		row.Status, row.Message = string(alert.ContactVerified), ""
		if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		verified = row.contact(user.Name)
		return s.tellContact(ctx, tx, row, user.Name, alert.ContactVerifiedEvent, user.Name)
	})
	if err == nil {
		err = refused
	}
	return verified, err
}

// tryCode says why a code is refused, and counts the try.
func (s *Store) tryCode(ctx context.Context, tx bun.Tx, row *contactRow, code string) (refused, err error) {
	switch {
	case row.CodeHash == "" && row.Message != "":
		return fault.New(fault.Conflict, "no code is good: %s", row.Message), nil
	case row.CodeHash == "" && row.Sends > 0:
		return fault.New(fault.Conflict, "no code is good: the last one has not been sent yet, or is used up; ask for another one"), nil
	case row.CodeHash == "":
		return fault.New(fault.Conflict, "no code has been sent there: ask for one"), nil
	case !row.CodeExpires.After(s.now()):
		return fault.New(fault.Conflict, "the code expired at %s: ask for another one", row.CodeExpires.UTC().Format(time.RFC3339)), nil
	case alert.IsCode(code, row.CodeHash):
		return nil, nil
	}
	row.CodeTries++
	left := alert.CodeTries - row.CodeTries
	if left <= 0 {
		row.dropCode()
		refused = badField("code", "is not the one that was sent, and was the last of the tries: ask for another one")
	} else {
		refused = badField("code", "is not the one that was sent last; tries that are left: "+strconv.Itoa(left))
	}
	_, err = tx.NewUpdate().Model(row).Column("code_hash", "code_tries", "code_expires").WherePK().Exec(ctx)
	return refused, err
}

// onlyOne fails if somebody else has verified the address: whoever answers from there must be one person.
func onlyOne(ctx context.Context, tx bun.Tx, row contactRow) error {
	n, err := tx.NewSelect().Model((*contactRow)(nil)).Where("channel = ? AND address = ? AND status = ?", row.Channel, row.Address, string(alert.ContactVerified)).Count(ctx)
	if err == nil && n > 0 {
		err = fault.New(fault.Conflict, "somebody else has verified this %s contact: it must be removed there first", row.Channel)
	}
	return err
}

// RefuseContact makes a verified contact pending again, because a provider says that it is no more. Gone is fine.
func (s *Store) RefuseContact(ctx context.Context, id, why string) error {
	return s.transact(ctx, "refuse a contact", func(ctx context.Context, tx bun.Tx) error {
		row, err := findContact(ctx, tx, id)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil || row.Status != string(alert.ContactVerified) {
			return err
		}
		row.dropCode()
		row.Status, row.Message = string(alert.ContactPending), clean(why)
		if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		var user userRow
		if err := tx.NewSelect().Model(&user).Where("id = ?", row.Member).Scan(ctx); err != nil {
			return err
		}
		return s.tellContact(ctx, tx, row, user.Name, "contact.refused", "its provider")
	})
}

// forgetReach removes what is kept of how a user is reached, and ends overrides by the user: the schedule's turns hold again.
func (s *Store) forgetReach(ctx context.Context, tx bun.Tx, user userRow) error {
	for _, model := range []any{(*contactRow)(nil), (*contactCodeRow)(nil), (*notifyRow)(nil)} {
		if _, err := tx.NewDelete().Model(model).Where("member = ?", user.ID).Exec(ctx); err != nil {
			return err
		}
	}
	now := s.now()
	if _, err := tx.NewDelete().Model((*overrideRow)(nil)).Where("person = ? AND begins >= ?", user.Name, now).Exec(ctx); err != nil {
		return err
	}
	_, err := tx.NewUpdate().Model((*overrideRow)(nil)).Set("ends = ?", now).Where("person = ? AND ends > ?", user.Name, now).Exec(ctx)
	return err
}

// findActive finds a user who can be on call.
func findActive(ctx context.Context, tx bun.Tx, field, person string) (userRow, error) {
	user, known, err := findUser(ctx, tx, person)
	switch {
	case err != nil:
		return user, err
	case !known:
		return user, badField(field, "there is no user "+strconv.Quote(clean(person)))
	case account.Status(user.Status) != account.Active:
		return user, badField(field, "user "+strconv.Quote(clean(person))+" is "+user.Status)
	}
	return user, nil
}
