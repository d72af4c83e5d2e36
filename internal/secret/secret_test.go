package secret

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/m3o/platform/internal/fault"
)

func TestASecretIsMadeOnceAndForItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	made := make([]string, 8)
	var together sync.WaitGroup
	for i := range made {
		together.Go(func() {
			var err error
			if made[i], err = LoadOrCreate(path, "m3o_"); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
	for _, m := range made {
		if m != made[0] || !strings.HasPrefix(m, "m3o_") || len(m) < shortest {
			t.Errorf("made %q and %q", made[0], m)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestWhatIsThereIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for content, ok := range map[string]bool{"": false, "short": false, strings.Repeat("two words", 9): false, strings.Repeat("a", shortest) + "\n": true} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := LoadOrCreate(path, "m3o_")
		if ok != (err == nil) || ok && got != strings.TrimSpace(content) || !ok && !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %q, %v", content, got, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != content {
			t.Errorf("%q became %q, %v", content, after, err)
		}
	}
	if err := Create(path, []byte("other")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create = %v", err)
	}
	if _, err := LoadOrCreate(filepath.Join(path, "nowhere"), ""); err == nil {
		t.Error("a file in no folder was made")
	}
}
