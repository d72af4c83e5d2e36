package region

import (
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// ParseKey reads a region's full name, "platform/name", as Key.String writes it.
func ParseKey(text string) (Key, error) {
	platform, name, _ := strings.Cut(text, "/")
	if !IsLabel(platform) || !IsLabel(name) {
		return Key{}, fault.New(fault.Invalid, "%.100q is not the full name of a region, like micro/lon1: platform and name, each of which %s", text, LabelRule)
	}
	return Key{Platform: platform, Name: name}, nil
}

// ShortName is a region's name without its platform. Only where one platform is talked about does it name one region.
func ShortName(full string) string { return full[strings.LastIndex(full, "/")+1:] }
