package gcp

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// page is the part of a list that a request asks for: those that pass the filter, so many at a time, from the token's on.
func (r *request) page(kind, path string, docs []document) (any, error) {
	items, next, err := r.cut(docs)
	if err != nil {
		return nil, err
	}
	answer := document{"kind": kind, "id": strings.TrimSuffix(path, "/"), "selfLink": computeLink(strings.TrimSuffix(path, "/"))}
	if len(items) > 0 { // an empty list has no items, as there
		answer["items"] = items
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

// aggregated is a list over all places, each with its own, or with a warning that it has none.
func (r *request) aggregated(kind, collection string, places []string, docs []document) (any, error) {
	items, next, err := r.cut(docs)
	if err != nil {
		return nil, err
	}
	by := map[string]any{}
	for _, place := range places {
		by[place] = document{"warning": document{"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope '" + place + "' on this page.",
			"data": []document{{"key": "scope", "value": place}}}}
	}
	found := map[string][]document{}
	for _, doc := range items {
		path, _ := linkPath(doc.text("selfLink"))
		parts := strings.Split(path, "/")
		place := strings.Join(parts[2:4], "/")
		found[place] = append(found[place], doc)
	}
	for place, list := range found {
		by[place] = document{collection: list}
	}
	answer := document{"kind": kind, "id": "projects/" + ProjectID + "/aggregated/" + collection, "items": by,
		"selfLink": computeLink("projects/" + ProjectID + "/aggregated/" + collection)}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

// cut applies filter, maxResults and pageToken.
func (r *request) cut(docs []document) (items []document, next string, err error) {
	query := r.Request.URL.Query()
	f, err := parseFilter(query.Get("filter"))
	if err != nil {
		return nil, "", err
	}
	for _, doc := range docs {
		if f.fits(doc) {
			items = append(items, doc)
		}
	}
	size := defaultPage
	if text := query.Get("maxResults"); text != "" {
		if size, err = strconv.Atoi(text); err != nil || size < 0 || size > defaultPage {
			return nil, "", invalidField("maxResults", text, "Values must be within the range: [0, %d]", defaultPage)
		}
		if size == 0 {
			size = defaultPage
		}
	}
	start, err := startOf(query.Get("pageToken"))
	if err != nil {
		return nil, "", err
	}
	start = min(start, len(items))
	end := min(start+size, len(items))
	if end < len(items) {
		next = base64.RawURLEncoding.EncodeToString([]byte("from " + strconv.Itoa(end)))
	}
	return items[start:end], next, nil
}

// startOf reads a page token.
func startOf(token string) (int, error) {
	if token == "" {
		return 0, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(token)
	text, isOurs := strings.CutPrefix(string(data), "from ")
	n, numberErr := strconv.Atoi(text)
	if err != nil || !isOurs || numberErr != nil || n < 0 {
		return 0, invalidField("pageToken", token, "The page token is invalid.")
	}
	return n, nil
}
