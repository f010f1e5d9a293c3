// Package scripts_test runs the scripts that change or compare the source.
package scripts_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// clone copies the checkout's source, with what is not committed yet.
func clone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path := range strings.SplitSeq(strings.TrimSpace(command(t, "..", "git", "ls-files", "-co", "--exclude-standard")), "\n") {
		text, err := os.ReadFile(filepath.Join("..", path))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		info, statErr := os.Stat(filepath.Join("..", path))
		if err != nil || statErr != nil {
			t.Fatal(err, statErr)
		}
		to := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, info.Mode()&fs.ModePerm); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, said)
	}
	return string(said)
}

// What rename-module makes builds, tests included, and has the same layers and
// reference as before.
func TestRenameModule(t *testing.T) {
	t.Parallel()
	dir := clone(t)
	command(t, dir, "scripts/rename-module", "example.org/team/board")
	command(t, dir, "go", "vet", "-tags", "services", "./...")
	command(t, dir, "go", "test", ".", "./internal/reference")
	command(t, filepath.Join(dir, "examples"), "go", "vet", "./...")
	command(t, dir, "go", "build", "./...")
	if said := command(t, dir, "go", "tool", "gofumpt", "-l", "."); said != "" {
		t.Errorf("not formatted: %s", said)
	}
	if said := command(t, dir, "scripts/rename-module", "example.org/team/board"); !strings.Contains(said, "already") {
		t.Errorf("a second time it said %s", said)
	}
}

// api names what is gone since the last tag, and says when there is none.
func TestAPI(t *testing.T) {
	t.Parallel()
	dir := clone(t)
	git := func(args ...string) {
		command(t, dir, "git", append([]string{"-c", "user.name=test", "-c", "user.email=test@example.org"}, args...)...)
	}
	git("init", "-q")
	if said := command(t, dir, "scripts/api"); !strings.Contains(said, "no tag yet") {
		t.Errorf("without a tag it said %s", said)
	}
	git("add", ".")
	git("commit", "-qm", "a version")
	git("tag", "v0.1.0")
	if said := command(t, dir, "scripts/api"); !strings.Contains(said, "no change since v0.1.0 breaks others") {
		t.Errorf("without a change it said %s", said)
	}
	file := filepath.Join(dir, "message/message.go")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "func New() *Message {", "func New(_ ...string) *Message {", 1)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "scripts/api"))
	said, err := cmd.CombinedOutput()
	if want := "- New: changed from func() *Message to func(...string) *Message"; err == nil || !strings.Contains(string(said), want) {
		t.Errorf("it ended with %v and said %s", err, said)
	}
}
