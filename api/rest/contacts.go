package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// ContactRequest adds a contact of the caller.
type ContactRequest struct {
	Channel alert.Channel `json:"channel" maxLength:"16" doc:"email, sms or slack."`
	Address string        `json:"address" maxLength:"254" doc:"name@host, a phone number such as +447700900123, or the id of a Slack member."`
}

// ContactPath names a contact of the caller.
type ContactPath struct {
	Contact string `path:"contact" maxLength:"64" doc:"Id of the contact."`
}

// ContactView is a contact, and whether a code is on its way there.
type ContactView struct {
	alert.Contact
	CodeSent bool `json:"code_sent" doc:"A code is being sent there. If not, message says why."`
}

// NotifyChoice is how a person wants to be paged.
type NotifyChoice struct {
	High []alert.Notify `json:"high" maxItems:"10" doc:"For what is urgent: by which channel, and how long after the line before. Empty: as the project's rules say. What is not urgent is never paged."`
}

// Reach is how a person whom a project pages is reached, as far as others may know.
type Reach struct {
	Person   string          `json:"person"`
	Why      string          `json:"why,omitempty" doc:"Why a page of the project would not reach the person, or be of no use."`
	Contacts []MaskedContact `json:"contacts"`
}

// MaskedContact is a contact without what it takes to use it.
type MaskedContact struct {
	Channel alert.Channel       `json:"channel"`
	Address string              `json:"address" doc:"a***@example.com"`
	Status  alert.ContactStatus `json:"status" enum:"pending,verified"`
}

func (a *API) registerContacts() {
	typed(a, "list-contacts", http.MethodGet, "/v1/contacts", "List the caller's contacts", account.ReadContacts, 200, a.listContacts)
	typed(a, "add-contact", http.MethodPost, "/v1/contacts", "Add a contact of the caller, and send a code there", account.WriteContacts, 201, a.addContact, http.StatusConflict)
	typed(a, "remove-contact", http.MethodDelete, "/v1/contacts/{contact}", "Remove a contact of the caller", account.WriteContacts, 204, a.removeContact)
	typed(a, "send-contact-code", http.MethodPost, "/v1/contacts/{contact}/code", "Send another code to a contact; the one before is void", account.WriteContacts, 202, a.sendCode,
		mayRefuse...)
	typed(a, "verify-contact", http.MethodPost, "/v1/contacts/{contact}/verify", "Say the code that was sent to a contact", account.WriteContacts, 200, a.verifyContact,
		http.StatusConflict)
	typed(a, "get-contact-rules", http.MethodGet, "/v1/contacts/rules", "Show how the caller wants to be paged", account.ReadContacts, 200, a.getNotify)
	typed(a, "set-contact-rules", http.MethodPut, "/v1/contacts/rules", "Say how the caller wants to be paged", account.WriteContacts, 200, a.setNotify)
	typed(a, "list-project-contacts", http.MethodGet, "/v1/projects/{project}/contacts", "List how the people are reached whom a project pages", account.WriteMembers, 200, a.listReach)
}

// person is who calls, if it is a person: programs are not paged.
func person(ctx context.Context) (string, error) {
	p := caller(ctx)
	if p.Kind != account.Person {
		return "", fault.New(fault.Denied, "%s is a service account: contacts are people's", p.Subject)
	}
	return p.Subject, nil
}

func (a *API) listContacts(ctx context.Context, _ *struct{}) (*Body[List[alert.Contact]], error) {
	who, err := person(ctx)
	if err != nil {
		return nil, problem(ctx, err)
	}
	items, err := a.Contacts.Contacts(ctx, who)
	return listed(ctx, items, err)
}

func (a *API) addContact(ctx context.Context, in *struct{ Body ContactRequest }) (*Body[ContactView], error) {
	who, err := person(ctx)
	if err != nil {
		return nil, problem(ctx, err)
	}
	made, err := a.Contacts.CreateContact(ctx, who, in.Body.Channel, in.Body.Address)
	if err != nil {
		return nil, problem(ctx, err)
	}
	named(ctx, "/v1/contacts/"+made.ID)
	view := ContactView{Contact: made, CodeSent: true}
	if err := a.startCode(ctx, who, made.ID); err != nil { // the contact is there: another code is asked for later
		view.CodeSent, view.Message = false, "no code was sent: "+fault.Message(err)
	}
	return &Body[ContactView]{view}, nil
}

// startCode has a code sent to a contact.
func (a *API) startCode(ctx context.Context, who, contact string) error {
	n, err := a.Contacts.BeginCode(ctx, who, contact)
	if err != nil {
		return err
	}
	return a.ContactCommands.VerifyContact(ctx, alert.VerifyInput{Contact: contact, N: n})
}

func (a *API) removeContact(ctx context.Context, in *ContactPath) (*Nothing, error) {
	who, err := person(ctx)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return done(ctx, a.Contacts.RemoveContact(ctx, who, in.Contact))
}

func (a *API) sendCode(ctx context.Context, in *ContactPath) (*Nothing, error) {
	who, err := person(ctx)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return done(ctx, a.startCode(ctx, who, in.Contact))
}

func (a *API) verifyContact(ctx context.Context, in *struct {
	ContactPath
	Body struct {
		Code string `json:"code" maxLength:"32" doc:"As it was sent; case, spaces and hyphens do not matter."`
	}
}) (*Body[alert.Contact], error) {
	who, err := person(ctx)
	if err != nil {
		return nil, problem(ctx, err)
	}
	c, err := a.Contacts.VerifyContact(ctx, who, in.Contact, in.Body.Code)
	return answered(ctx, c, err)
}

func (a *API) getNotify(ctx context.Context, _ *struct{}) (*Body[NotifyChoice], error) {
	who, err := person(ctx)
	if err != nil {
		return nil, problem(ctx, err)
	}
	by, err := a.NotifyRules.NotifyRules(ctx, who)
	return answered(ctx, NotifyChoice{High: append([]alert.Notify{}, by[alert.High]...)}, err)
}

func (a *API) setNotify(ctx context.Context, in *struct{ Body NotifyChoice }) (*Body[NotifyChoice], error) {
	who, err := person(ctx)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return answered(ctx, in.Body, a.NotifyRules.SetNotifyRules(ctx, who, map[alert.Urgency][]alert.Notify{alert.High: in.Body.High}))
}

// listReach shows of each person whom the project's rules and overrides name how they are reached. Of who has nothing to do with the project
// it shows no contacts: an owner can name anybody in a file.
func (a *API) listReach(ctx context.Context, _ *ProjectPath) (*Body[List[Reach]], error) {
	now := time.Now()
	rules, overrides, err := a.rota(ctx, now, now.Add(maxShifts))
	if err != nil {
		return nil, problem(ctx, err)
	}
	names := rules.OnCallPeople(overrides)
	why, err := a.OnCall.Unreachable(ctx, project(ctx).Name, names)
	if err != nil {
		return nil, problem(ctx, err)
	}
	members, err := a.OnCall.ContactsIn(ctx, project(ctx).Name, names)
	if err != nil {
		return nil, problem(ctx, err)
	}
	items := make([]Reach, len(names))
	for i, name := range names {
		items[i] = Reach{Person: name, Why: why[name], Contacts: []MaskedContact{}}
		for _, c := range members[name] {
			items[i].Contacts = append(items[i].Contacts, MaskedContact{Channel: c.Channel, Address: c.Masked(), Status: c.Status})
		}
	}
	return listed(ctx, items, nil)
}
