package azure

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// pageSize is how many resources one answer lists.
const pageSize = 500

// page answers with a part of a list, and the link to the next.
func (r *request) page(all []any) (reply, error) {
	query := r.http.URL.Query()
	from, err := skipped(query.Get("$skiptoken"))
	if err != nil {
		return reply{}, err
	}
	size := pageSize
	if top := query.Get("$top"); top != "" {
		n, err := strconv.Atoi(top)
		if err != nil || n < 1 {
			return reply{}, arm(http.StatusBadRequest, "InvalidTopQueryParameter", "The query parameter '$top' with value '%s' is invalid.", top)
		}
		size = min(n, pageSize)
	}
	from = min(from, len(all))
	to := min(from+size, len(all))
	body := map[string]any{"value": append([]any{}, all[from:to]...)}
	if to < len(all) {
		query.Set("$skiptoken", strconv.FormatInt(int64(to), 36))
		next := url.URL{Scheme: "https", Host: r.http.Host, Path: r.http.URL.Path, RawQuery: query.Encode()}
		body["nextLink"] = next.String()
	}
	return reply{status: http.StatusOK, body: body}, nil
}

func skipped(token string) (int, error) {
	if token == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(token, 36, 32)
	if err != nil || n < 0 {
		return 0, arm(http.StatusBadRequest, "InvalidSkipToken", "%s", fmt.Sprintf("The skip token '%s' is invalid.", token))
	}
	return int(n), nil
}
