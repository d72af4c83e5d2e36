package twilio

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/call"
	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	apiVersion  = "2010-04-01"
	maxBody     = 64 << 10
	maxText     = 1600 // characters of a message
	defaultPage = 50
	maxPage     = 1000
)

// route is one operation of the API.
type route struct {
	pattern, operation string
	handle             func(*exchange) (int, any, error)
}

// routes is the API, as far as the sandbox has it.
var routes = []route{
	{"POST /" + apiVersion + "/Accounts/{account}/Messages.json", "CreateMessage", createMessage},
	{"GET /" + apiVersion + "/Accounts/{account}/Messages.json", "ListMessage", listMessages},
	{"GET /" + apiVersion + "/Accounts/{account}/Messages/{sid}", "FetchMessage", fetchMessage},
	{"GET /" + apiVersion + "/Accounts/{account}", "FetchAccount", fetchAccount},
}

// exchange is one request being answered.
type exchange struct {
	call.Call
	cloud *Cloud
	form  url.Values
}

// refusal is an error as the API words it.
type refusal struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	More    string `json:"more_info"`
	Status  int    `json:"status"`
}

func (r *refusal) Error() string { return r.Message }

func refuse(status, code int, format string, args ...any) error {
	return &refusal{Code: code, Message: fmt.Sprintf(format, args...), More: "https://www.twilio.com/docs/errors/" + strconv.Itoa(code), Status: status}
}

func (c *Cloud) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.pattern, c.serve(r))
	}
	mux.Handle("/", c.serve(route{operation: "unknown", handle: notHere}))
	return mux
}

func (c *Cloud) serve(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		one := &exchange{cloud: c, Call: call.Call{Provider: Name, World: c.World, Operation: r.operation, ID: "RQ" + strings.ReplaceAll(uuid.NewString(), "-", ""),
			At: c.World.Clock.Now(), Request: request}}
		status, body, err := one.answer(r)
		if err != nil {
			status, body = one.refusal(err)
		}
		one.Finish(status)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Twilio-Request-Id", one.ID)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the caller may have gone
	})
}

// refusal turns an error into an answer. What went wrong with us is logged, not told.
func (c *exchange) refusal(err error) (int, any) {
	var r *refusal
	switch {
	case errors.As(err, &r):
	case errors.Is(err, world.ErrNotFound):
		return c.refusal(notFound(c.Request.URL.Path))
	default:
		c.cloud.Logger.ErrorContext(c.Request.Context(), "sandbox: twilio: a request failed", "operation", c.Operation, "request", c.ID, "error", err)
		return c.refusal(refuse(http.StatusInternalServerError, 20500, "Internal Server Error"))
	}
	return r.Status, r
}

func (c *exchange) answer(r route) (int, any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, c.Request.Body, maxBody))
	if err == nil {
		c.form, err = url.ParseQuery(string(body))
	}
	if err != nil {
		return 0, nil, refuse(http.StatusBadRequest, 20001, "the request's body is no form of up to %d bytes", maxBody)
	}
	if !c.authorized() {
		return 0, nil, refuse(http.StatusUnauthorized, 20003, "Authenticate")
	}
	if account := strings.TrimSuffix(c.Request.PathValue("account"), ".json"); r.operation != "unknown" && account != c.cloud.Credentials.AccountSID {
		return 0, nil, notFound(c.Request.URL.Path)
	}
	c.Target = c.form.Get("To")
	fault, found, err := c.Misbehave()
	if err != nil {
		return 0, nil, err
	}
	if found {
		return 0, nil, spoil(fault)
	}
	return r.handle(c)
}

// authorized compares digests, so that neither content nor length of the secret leaks through time.
func (c *exchange) authorized() bool {
	user, password, _ := c.Request.BasicAuth()
	got := sha256.Sum256([]byte(user + ":" + password))
	want := sha256.Sum256([]byte(c.cloud.Credentials.AccountSID + ":" + c.cloud.Credentials.AuthToken))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// spoil puts a fault in the API's words.
func spoil(fault world.Fault) error {
	switch fault.Fault {
	case world.Throttle:
		return refuse(http.StatusTooManyRequests, 20429, "Too Many Requests")
	case world.Denied:
		return refuse(http.StatusForbidden, 20006, "Access Denied")
	}
	return refuse(max(fault.Status, http.StatusInternalServerError), 20500, "Internal Server Error")
}

func notFound(path string) error {
	return refuse(http.StatusNotFound, 20404, "The requested resource %s was not found", path)
}

func notHere(c *exchange) (int, any, error) { return 0, nil, notFound(c.Request.URL.Path) }

var number = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// createMessage accepts a message.
func createMessage(c *exchange) (int, any, error) {
	if err := c.checkMessage(); err != nil {
		return 0, nil, err
	}
	if err := c.checkRecipient(); err != nil {
		return 0, nil, err
	}
	sid, err := newSID()
	if err != nil {
		return 0, nil, err
	}
	m := message{SID: sid, From: c.form.Get("From"), To: c.form.Get("To"), Body: c.form.Get("Body"), Direction: "outbound-api", Status: queued,
		Callback: c.form.Get("StatusCallback"), CreatedAt: c.At, UpdatedAt: c.At}
	m.Key = keyOf(m.Callback)
	err = c.Commit(func(tx *world.Tx) error {
		t, err := c.transitOf(tx, m)
		if err != nil {
			return err
		}
		for _, do := range []func() error{
			func() error { return putMessage(tx, m) },
			func() error { return tx.Put(ref(kindTransit, sid), world.Meta{}, t) },
			func() error { return tx.Record(m.effect(world.Sent, c.Operation)) },
		} {
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	})
	return http.StatusCreated, c.cloud.wire(m), err
}

// keyOf is the sender's key of a message. Twilio has no field for one: it is in the query of the URL that is called back.
func keyOf(callback string) string {
	u, err := url.Parse(callback)
	if err != nil {
		return ""
	}
	return u.Query().Get("page")
}

// checkMessage says what Twilio does not accept.
func (c *exchange) checkMessage() error {
	to, from, body, callback := c.form.Get("To"), c.form.Get("From"), c.form.Get("Body"), c.form.Get("StatusCallback")
	switch {
	case to == "":
		return refuse(http.StatusBadRequest, 21604, "A 'To' phone number is required.")
	case !number.MatchString(to):
		return refuse(http.StatusBadRequest, 21211, "Invalid 'To' Phone Number: %s", to)
	case from == "":
		return refuse(http.StatusBadRequest, 21603, "A 'From' phone number is required.")
	case from != c.cloud.Credentials.Number:
		return refuse(http.StatusBadRequest, 21606, "The 'From' phone number %s is not a valid, message-capable Twilio phone number for this destination.", from)
	case body == "":
		return refuse(http.StatusBadRequest, 21602, "Message body is required.")
	case utf8.RuneCountInString(body) > maxText:
		return refuse(http.StatusBadRequest, 21617, "The concatenated message body exceeds the %d character limit", maxText)
	}
	if u, err := url.Parse(callback); callback != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return refuse(http.StatusBadRequest, 21609, "The 'StatusCallback' URL %s is not a valid URL.", callback)
	}
	return nil
}

// checkRecipient says whether the account may write to the recipient, who may have opted out. Faults are used up in a commit of their own.
func (c *exchange) checkRecipient() error {
	var out string
	var f world.Fault
	err := c.View(func(tx *world.Tx) (err error) {
		if out, err = tx.NameOf(ref(kindOptOut, c.Target)); err != nil {
			return err
		}
		f, _, err = tx.TakeFault(Name, c.Operation, c.Target, world.OptedOut, world.Unverified)
		return err
	})
	switch {
	case err != nil:
		return err
	case out != "" || f.Fault == world.OptedOut:
		return refuse(http.StatusBadRequest, 21610, "Attempt to send to unsubscribed recipient")
	case f.Fault == world.Unverified:
		return refuse(http.StatusBadRequest, 21608, "The number %s is unverified. Trial accounts cannot send messages to unverified numbers; verify it at "+
			"twilio.com/user/account/phone-numbers/verified, or purchase a Twilio number to send messages to unverified numbers.", c.Target)
	}
	return nil
}

// transitOf is a new message's way, by the faults that are about it.
func (c *exchange) transitOf(tx *world.Tx, m message) (transit, error) {
	t := transit{SID: m.SID, Status: sent, Due: c.World.Clock.Due(c.At, sending, m.SID)}
	f, found, err := tx.TakeFault(Name, c.Operation, c.Target, world.Undeliverable, world.Dropped, world.LateReceipt)
	if err != nil || !found {
		return t, err
	}
	t.Fault = f.Fault
	if f.Fault == world.LateReceipt {
		t.Wait = f.Wait()
	}
	return t, nil
}

func fetchMessage(c *exchange) (int, any, error) {
	var m message
	err := c.View(func(tx *world.Tx) (err error) {
		m, err = world.Get[message](tx, ref(kindMessage, strings.TrimSuffix(c.Request.PathValue("sid"), ".json")))
		return err
	})
	return http.StatusOK, c.cloud.wire(m), err
}

func listMessages(c *exchange) (int, any, error) {
	query := c.Request.URL.Query()
	size, err := strconv.Atoi(query.Get("PageSize"))
	if err != nil || size < 1 || size > maxPage {
		size = defaultPage
	}
	page, err := strconv.Atoi(query.Get("Page"))
	if err != nil || page < 0 || page > maxPage {
		page = 0
	}
	var found []message
	err = c.View(func(tx *world.Tx) (err error) {
		found, err = world.Newest[message](tx, ref(kindMessage, ""), query.Get("To"), (page+2)*size)
		return err
	})
	slices.Reverse(found)
	if from := query.Get("From"); from != "" {
		found = slices.DeleteFunc(found, func(m message) bool { return m.From != from })
	}
	from := min(page*size, len(found))
	list := wireList{Messages: []wireMessage{}, Page: page, Size: size, Start: page * size, URI: c.Request.URL.RequestURI(),
		First: c.pageURI(0, size)}
	for _, m := range found[from:min(from+size, len(found))] {
		list.Messages = append(list.Messages, c.cloud.wire(m))
	}
	list.End = max(list.Start, list.Start+len(list.Messages)-1)
	if len(found) > from+size {
		next := c.pageURI(page+1, size)
		list.Next = &next
	}
	if page > 0 {
		previous := c.pageURI(page-1, size)
		list.Previous = &previous
	}
	return http.StatusOK, list, err
}

func (c *exchange) pageURI(page, size int) string {
	query := c.Request.URL.Query()
	query.Set("Page", strconv.Itoa(page))
	query.Set("PageSize", strconv.Itoa(size))
	return c.Request.URL.Path + "?" + query.Encode()
}

func fetchAccount(c *exchange) (int, any, error) {
	sid := c.cloud.Credentials.AccountSID
	at := "/" + apiVersion + "/Accounts/" + sid
	return http.StatusOK, map[string]any{"sid": sid, "friendly_name": "M3O sandbox", "status": "active", "type": "Full", "owner_account_sid": sid,
		"date_created": rfc2822(c.At), "date_updated": rfc2822(c.At), "uri": at + ".json",
		"subresource_uris": map[string]string{"messages": at + "/Messages.json"}}, nil
}
