package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	maxBody   = 64 << 10
	maxReply  = 1600 // characters of an SMS
	listed    = 200  // messages of a list, unless asked otherwise
	maxListed = 10_000
)

// ErrNotHere says that a message cannot be answered in that way.
var ErrNotHere = errors.New("this channel's messages cannot be answered like that")

// Replier is a channel whose recipients can write back.
type Replier interface {
	// Reply has the message's recipient answer it.
	Reply(ctx context.Context, m Message, text string) error
}

// Presser is a channel whose messages have buttons.
type Presser interface {
	// Press has a person press the message's button.
	Press(ctx context.Context, m Message, b Button, by Person) error
}

// Server is the page and the routes.
type Server struct {
	World *world.World
	// Channels are those of messages, by name, as far as they can be answered.
	Channels map[string]any
}

// Routes adds the routes for tests to those of the sandbox, and the page.
func (s Server) Routes(control, pages *http.ServeMux) {
	control.HandleFunc("GET /_sandbox/inbox", s.list)
	control.HandleFunc("POST /_sandbox/inbox/{id}/reply", s.reply)
	control.HandleFunc("POST /_sandbox/inbox/{id}/press", s.press)
	control.HandleFunc("GET /_sandbox/people", s.people)
	control.HandleFunc("POST /_sandbox/people", s.addPerson)
	pages.HandleFunc("GET /inbox", s.page)
	pages.HandleFunc("POST /inbox/{id}/reply", s.byForm)
	pages.HandleFunc("POST /inbox/{id}/press", s.byForm)
}

func (s Server) messages(ctx context.Context, to string, n int) (found []Message, err error) {
	err = s.World.View(ctx, func(tx *world.Tx) (err error) {
		found, err = Last(tx, to, n)
		return err
	})
	return found, err
}

func (s Server) list(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		n = listed
	}
	found, err := s.messages(r.Context(), r.URL.Query().Get("to"), min(max(n, 1), maxListed))
	tell(w, http.StatusOK, map[string]any{"messages": found}, err)
}

func (s Server) people(w http.ResponseWriter, r *http.Request) {
	var all []Person
	err := s.World.View(r.Context(), func(tx *world.Tx) (err error) {
		all, err = People(tx)
		return err
	})
	tell(w, http.StatusOK, map[string]any{"people": all}, err)
}

func (s Server) addPerson(w http.ResponseWriter, r *http.Request) {
	var p Person
	err := decode(r, &p)
	if err == nil {
		err = s.World.Update(r.Context(), func(tx *world.Tx) error { return Add(tx, p) })
	}
	tell(w, http.StatusCreated, p, err)
}

func (s Server) reply(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Text string `json:"text"`
	}
	err := decode(r, &asked)
	if err == nil {
		err = s.answer(r.Context(), r.PathValue("id"), asked.Text, "", "")
	}
	s.tellMessage(w, r, err)
}

func (s Server) press(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Button string `json:"button"` // its id or its label
		By     string `json:"by"`     // a person; empty: the message's own
	}
	err := decode(r, &asked)
	if err == nil && asked.Button == "" {
		err = errors.New("button: name one, by its id or its label")
	}
	if err == nil {
		err = s.answer(r.Context(), r.PathValue("id"), "", asked.Button, asked.By)
	}
	s.tellMessage(w, r, err)
}

// answer replies to a message, or presses one of its buttons.
func (s Server) answer(ctx context.Context, id, text, button, by string) error {
	var m Message
	var person Person
	err := s.World.View(ctx, func(tx *world.Tx) (err error) {
		if m, err = Get(tx, id); err != nil {
			return err
		}
		person, err = named(tx, m, by)
		return err
	})
	if err != nil {
		return err
	}
	if button != "" {
		return s.pressOf(ctx, m, button, person)
	}
	if text == "" || len(text) > maxReply {
		return fmt.Errorf("text: it has %d bytes, and 1 to %d are allowed", len(text), maxReply)
	}
	channel, can := s.Channels[m.Channel].(Replier)
	if !can {
		return ErrNotHere
	}
	return channel.Reply(ctx, m, text)
}

func (s Server) pressOf(ctx context.Context, m Message, button string, by Person) error {
	channel, can := s.Channels[m.Channel].(Presser)
	if !can {
		return ErrNotHere
	}
	for _, b := range m.Buttons {
		if b.ID == button || b.Label == button {
			return channel.Press(ctx, m, b, by)
		}
	}
	return fmt.Errorf("button: the message has no %.80q", button)
}

// named finds who answers: by name, or whose the message is, or in a channel of many the first of all.
func named(tx *world.Tx, m Message, name string) (Person, error) {
	people, err := People(tx)
	if err != nil {
		return Person{}, err
	}
	if name == "" {
		name = m.Person
	}
	for _, p := range people {
		if p.Name == name || name == "" {
			return p, nil
		}
	}
	return Person{}, fmt.Errorf("by: nobody is called %.40q", name)
}

func (s Server) tellMessage(w http.ResponseWriter, r *http.Request, err error) {
	var m Message
	if err == nil {
		err = s.World.View(r.Context(), func(tx *world.Tx) (err error) {
			m, err = Get(tx, r.PathValue("id"))
			return err
		})
	}
	tell(w, http.StatusOK, m, err)
}

// byForm is what the page's forms send.
func (s Server) byForm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	err := s.answer(r.Context(), r.PathValue("id"), r.PostFormValue("text"), r.PostFormValue("button"), r.PostFormValue("by"))
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	http.Redirect(w, r, "/inbox#"+r.PathValue("id"), http.StatusSeeOther)
}

func decode(r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func statusOf(err error) int {
	if errors.Is(err, world.ErrNotFound) {
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

func tell(w http.ResponseWriter, status int, body any, err error) {
	if err != nil {
		status, body = statusOf(err), map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the reader may have gone
}
