package fleet

import "github.com/m3o/platform/internal/sandbox/world"

// FreePlace finds where the runner can keep one more cluster: the first of its places that no cluster of any cloud has. A cloud keeps a
// cluster's place in its document, as a string called "place", for as long as the cluster exists.
func FreePlace(tx *world.Tx, places []string) (place string, found bool, err error) {
	taken, err := tx.Values("place")
	if err != nil {
		return "", false, err
	}
	for _, place := range places {
		if !taken[place] {
			return place, true, nil
		}
	}
	return "", false, nil
}
