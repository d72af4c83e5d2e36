package digitalocean

import (
	"net/http"
	"net/url"
	"strconv"
)

const (
	defaultPerPage = 20
	maxPerPage     = 200
	maxPage        = 1_000_000
)

// page is the part of a list that was asked for.
type page struct {
	number, per int
	url         url.URL
}

// links and meta are what every list carries.
type links struct {
	Pages *pageLinks `json:"pages,omitempty"`
}

type pageLinks struct {
	First string `json:"first,omitempty"`
	Prev  string `json:"prev,omitempty"`
	Next  string `json:"next,omitempty"`
	Last  string `json:"last,omitempty"`
}

type meta struct {
	Total int `json:"total"`
}

// pageOf reads page and per_page. As there, too many per page are 200, and what is no number is the default.
func pageOf(r *http.Request) page {
	query := r.URL.Query()
	p := page{number: positive(query.Get("page"), 1, maxPage), per: positive(query.Get("per_page"), defaultPerPage, maxPerPage), url: *r.URL}
	p.url.Scheme, p.url.Host = "http", r.Host
	if r.TLS != nil {
		p.url.Scheme = "https"
	}
	return p
}

func positive(text string, otherwise, most int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return otherwise
	}
	return min(n, most)
}

// listed is one page of a list, as the body of an answer. key is what the list is called in it.
func listed[T any](p page, key string, all []T) map[string]any {
	return p.body(key, append([]T{}, onPage(p, all)...), len(all))
}

// onPage are those of a list that are on the page.
func onPage[T any](p page, all []T) []T {
	from := min((p.number-1)*p.per, len(all))
	return all[from:min(from+p.per, len(all))]
}

// body is the answer that holds a part of so many.
func (p page) body(key string, part any, total int) map[string]any {
	return map[string]any{key: part, "links": p.links(total), "meta": meta{Total: total}}
}

func (p page) links(total int) links {
	last := max(1, (total+p.per-1)/p.per)
	if last == 1 && p.number == 1 {
		return links{}
	}
	var pages pageLinks
	if p.number > 1 {
		pages.First = p.at(1)
		pages.Prev = p.at(min(p.number-1, last))
	}
	if p.number < last {
		pages.Next = p.at(p.number + 1)
		pages.Last = p.at(last)
	}
	return links{Pages: &pages}
}

func (p page) at(number int) string {
	query := p.url.Query()
	query.Set("page", strconv.Itoa(number))
	query.Set("per_page", strconv.Itoa(p.per))
	p.url.RawQuery = query.Encode()
	return p.url.String()
}
