package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const tutorial = "../../docs/tutorial-application.md"

// namedBlock is a file as the tutorial shows it: its name, then its text.
var namedBlock = regexp.MustCompile("(?ms)^`([a-z_./]+)`\n\n```(?:go|yaml)\n(.*?)```")

// What the tutorial has a developer type is a module whose tests pass and whose
// fleet is checked without a warning.
func TestTutorial(t *testing.T) {
	dir, root := t.TempDir(), repository(t)
	page, err := os.ReadFile(tutorial)
	if err != nil {
		t.Fatal(err)
	}
	blocks := namedBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 7 {
		t.Fatalf("the tutorial shows %d files", len(blocks))
	}
	for _, block := range blocks {
		put(t, filepath.Join(dir, block[1]), block[2])
	}
	// The versions are this module's, so that nothing is downloaded.
	needs, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(needs), "\n")
	ours := strings.TrimPrefix(first, "module ")
	module := "module example.org/poll\n" + rest + "\nrequire " + ours + " v0.0.0\nreplace " + ours + " => " + root + "\n"
	put(t, filepath.Join(dir, "go.mod"), module)
	put(t, filepath.Join(dir, "go.sum"), string(sums))

	run(t, dir, "vet", "./...")
	run(t, dir, "test", "./...")
	if said := run(t, dir, "run", ".", "check", "fleet"); !strings.Contains(said, "4 workers, 0 warnings, nothing wrong") {
		t.Errorf("check said %s", said)
	}
}

func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return string(said)
}
