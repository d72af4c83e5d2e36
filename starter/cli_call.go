package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

type callFlags struct {
	region, method string
	headers        []string
	include        bool
}

// maxCallBody bounds the body of a call that is read from standard input.
const maxCallBody = 64 << 20

func callCommand() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{Use: "call NAME PATH [JSON]", Short: "Call a service", GroupID: groupServices, Args: takes(2, 3),
		ValidArgsFunction: completeNames(serviceNames),
		Long: "Call a service through a region's gateway and print what it answers. With a body the method is POST. The body is JSON, unless a\n" +
			"Content-Type says otherwise; - reads it from standard input. Exits with 1 when the answer's status is 400 or above.",
		Example: "  m3o call hello /\n  m3o call hello /greet '{\"name\":\"Ada\"}'\n  m3o call hello /greet --region nyc3 -X PUT -H 'Content-Type: text/plain' - < note.txt",
		RunE:    action(func(s *session, args []string) error { return s.call(&f, args) })}
	flags := cmd.Flags()
	flags.StringVar(&f.region, "region", "", "through this region (default: the first that is ready)")
	flags.StringVarP(&f.method, "request", "X", "", "method (default: GET, with a body POST)")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "a header \"Name: value\"; may be repeated")
	flags.BoolVarP(&f.include, "include", "i", false, "print status and headers, too")
	completeFlag(cmd, "region", regionNames)
	return cmd
}

func (s *session) call(f *callFlags, args []string) error {
	request, err := f.request(args, s.cmd.InOrStdin())
	if err != nil {
		return err
	}
	permit, err := s.api.CallTicket(s.ctx(), args[0])
	if err != nil {
		return err
	}
	sites, err := s.callSites(args[0], f.region, permit.Regions)
	if err != nil {
		return err
	}
	resp, err := s.callOneOf(sites, permit.Ticket, request)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if there, unknown := client.Unknown(resp); unknown {
		if err := s.noService(args[0], there); err != nil {
			return err
		}
	}
	return s.printAnswer(resp, f.include)
}

// callOneOf calls the service at the first site whose gateway answers and knows the service.
func (s *session) callOneOf(sites []client.Site, ticket string, request client.Call) (*http.Response, error) {
	for i, site := range sites {
		resp, err := s.api.Call(s.ctx(), site, ticket, request)
		last := i == len(sites)-1
		switch {
		case last || err != nil && !neverSent(err):
			return resp, err
		case err != nil:
			fmt.Fprintf(s.err, "m3o: %s; trying %s\n", fault.Message(err), sites[i+1].Region)
			continue
		}
		if _, unknown := client.Unknown(resp); !unknown {
			return resp, nil
		}
		resp.Body.Close()
	}
	return nil, fault.New(fault.Unavailable, "the service runs in no region")
}

// noService explains that gateways do not know the service: nil for one that was brought out, of which their own words say more.
func (s *session) noService(name string, there []string) error {
	_, err := s.api.Service(s.ctx(), name)
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	known, listing := s.api.Services(s.ctx())
	registered := slices.DeleteFunc(there, func(n string) bool {
		return slices.ContainsFunc(known, func(k release.Service) bool { return k.Key.Name == n })
	})
	if listing != nil || len(registered) == 0 {
		return err
	}
	return fault.New(fault.NotFound, "%s; registered by themselves: %s", fault.Message(err), strings.Join(registered, ", "))
}

// request is the call that flags and arguments describe.
func (f *callFlags) request(args []string, stdin io.Reader) (client.Call, error) {
	call := client.Call{Method: strings.ToUpper(f.method), Path: args[1], Header: http.Header{}}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return call, misuse("--header: %q is not of the form \"Name: value\"", h)
		}
		call.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if len(args) == 3 {
		call.Body = []byte(args[2])
		if args[2] == "-" {
			var err error
			if call.Body, err = readFile("-", stdin, maxCallBody); err != nil {
				return call, err
			}
		}
		if kind := call.Header.Get("Content-Type"); kind == "" || kind == "application/json" {
			if err := json.Unmarshal(call.Body, new(any)); err != nil {
				return call, misuse("the body is not JSON: %v (say -H 'Content-Type: …' to send something else)", err)
			}
			call.Header.Set("Content-Type", "application/json")
		}
	}
	if call.Method == "" {
		if call.Method = http.MethodGet; len(args) == 3 {
			call.Method = http.MethodPost
		}
	}
	return call, nil
}

// callSites are the gateways to try, in turn: the one that was named, else those where the service is ready, else all, as for one that
// registered itself.
func (s *session) callSites(name, region string, sites []client.Site) ([]client.Site, error) {
	if region != "" {
		return client.In(sites, name, region)
	}
	service, err := s.api.Service(s.ctx(), name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	ready := slices.DeleteFunc(slices.Clone(sites), func(site client.Site) bool {
		return !slices.ContainsFunc(service.Regions, func(p release.Placed) bool { return p.Region == site.Region && p.Status == release.Ready })
	})
	if len(ready) > 0 {
		return ready, nil
	}
	if len(sites) == 0 {
		return nil, fault.New(fault.Unavailable, "service %s runs in no region: see `m3o status %s`", name, name)
	}
	return sites, nil
}

// printAnswer prints what a service answered: JSON for people in several lines, everything else as it is.
func (s *session) printAnswer(resp *http.Response, include bool) error {
	if include {
		fmt.Fprintf(s.err, "%s %s\n", resp.Proto, resp.Status)
		if err := resp.Header.Write(s.err); err != nil {
			return err
		}
		fmt.Fprintln(s.err)
	}
	if err := s.copyAnswer(resp); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the service answered %s", resp.Status)
	}
	return nil
}

func (s *session) copyAnswer(resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	isJSON := strings.HasPrefix(kind, "application/json") || strings.HasPrefix(kind, "application/problem+json")
	pretty := isJSON && onTerminal(s.out)
	if !pretty && !s.json {
		_, err := io.Copy(s.out, resp.Body)
		return err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxCallBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("the answer broke off: %w", err)
	case len(data) > maxCallBody:
		return fault.New(fault.Invalid, "the answer is larger than %d bytes: leave --json out", maxCallBody)
	case s.json && !(isJSON && json.Valid(data)):
		return printJSON(s.out, string(data))
	}
	var indented bytes.Buffer
	if json.Indent(&indented, data, "", "  ") == nil {
		data = append(bytes.TrimSpace(indented.Bytes()), '\n')
	}
	_, err = s.out.Write(plainJSON(data))
	return err
}
