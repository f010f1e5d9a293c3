package switchboard_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport says which of the project's packages a package may import. A name
// covers everything below it; the longest name that fits a package counts. A
// package may always import what is below itself. Tests are free.
//
// What is in toolkit may be imported by all but message: it knows nothing of
// messages, brokers, stores or configurations.
var mayImport = map[string][]string{
	"message":        {},
	"options":        {},
	"broker":         {},
	"smpp":           {},
	"smpp/simulator": {"options", "smpp"},
	"xmpp":           {},
	"configs":        {},
	"store":          {"message"},
	"worker":         {"broker", "options", "message", "store"},
	"middleware":     {"worker", "options", "message", "store"},
	"dispatcher":     {"worker", "options", "message", "store", "broker"},
	"routers":        {"dispatcher", "options", "message", "store"},
	"transports":     {"worker", "options", "message", "store"},
	"applications":   {"worker", "options", "message", "store"},
	// Only these two speak SMPP: one to an SMSC, one as an SMSC.
	"transports/smpp": {"transports", "worker", "options", "message", "store", "smpp", "internal/partstate"},
	// A modem's messages are written as SMPP's are.
	"transports/gsmmodem":     {"transports", "worker", "options", "message", "store", "smpp", "internal/partstate"},
	"applications/smppserver": {"applications", "options", "message", "store", "smpp", "internal/partstate"},
	"internal/partstate":      {"store", "smpp"},
	"transports/xmpp":         {"transports", "worker", "options", "message", "store", "xmpp"},
	"receivers":               {"worker", "broker", "options", "message", "store"},
	"persistence":             {"worker", "broker", "options", "message", "store", "applications"},
	"fleet":                   {"applications", "broker", "options", "dispatcher", "message", "persistence", "store", "transports", "worker"},
	"operate":                 {"fleet", "dispatcher", "options", "message", "store", "worker", "broker", "persistence"},
	// It simulates the SMSC of the fleet that it attacks.
	"operate/chaos":      {"operate", "fleet", "options", "message", "store", "broker", "smpp"},
	"cli":                {""},
	"cmd":                {""},
	"internal":           {},
	"internal/bench":     {""},
	"internal/reference": {""},
	"e2e":                {""},
	"scripts":            {},
	"examples":           {""},
}

// toolkit is the small tools that were once written several times over.
var toolkit = []string{
	"internal/backoff", "internal/batch", "internal/catalogue", "internal/coalesce", "internal/collectors", "internal/current", "internal/endpoint", "internal/expression", "internal/faultproxy", "internal/inflight", "internal/lanes", "internal/listen", "internal/loglimit", "internal/msisdn", "internal/protect", "internal/redact",
	"internal/schedule", "internal/webclient",
	"internal/tlsfiles",
}

// A plugin may import its frame and what the frame stands on, never a broker.
func TestImports(t *testing.T) {
	module := modulePath(t)
	for dir, files := range packages(t) {
		rule, allowed := ruleFor(dir)
		if rule == "" && dir != "." {
			t.Errorf("package %s has no line in mayImport", dir)
			continue
		}
		for _, file := range files {
			if strings.HasSuffix(file.name, "_test.go") || strings.HasSuffix(dir, "test") {
				continue // tests, and packages that exist for tests, are free
			}
			for _, spec := range file.tree.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				target, ours := strings.CutPrefix(imported, module+"/")
				if ours && !permitted(rule, target, allowed) {
					t.Errorf("%s imports %s, which the layers do not allow (see mayImport)", filepath.Join(dir, file.name), imported)
				}
			}
		}
	}
}

// The examples' module asks for what this one asks for.
func TestExamplesModuleIsTidy(t *testing.T) {
	out, err := exec.Command("go", "-C", "examples", "mod", "tidy", "-diff").CombinedOutput()
	if err != nil {
		t.Errorf("cd examples && go mod tidy: %v\n%s", err, out)
	}
}

func modulePath(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimPrefix(first, "module ")
}

func ruleFor(dir string) (rule string, allowed []string) {
	for name, list := range mayImport {
		if within(dir, name) && len(name) > len(rule) {
			rule, allowed = name, list
		}
	}
	return rule, allowed
}

func permitted(rule, target string, allowed []string) bool {
	if within(target, rule) || rule != "message" && slices.Contains(toolkit, target) {
		return true
	}
	for _, name := range allowed {
		if name == "" || within(target, name) {
			return true
		}
	}
	return false
}

func within(dir, name string) bool { return dir == name || strings.HasPrefix(dir, name+"/") }

// Every package says once what it is.
func TestPackageComments(t *testing.T) {
	for dir, files := range packages(t) {
		var comments []string
		sources := 0
		for _, file := range files {
			if strings.HasSuffix(file.name, "_test.go") {
				continue
			}
			sources++
			if file.tree.Doc != nil {
				comments = append(comments, file.name)
			}
		}
		if sources > 0 && len(comments) != 1 {
			t.Errorf("package %s has %d package comments %v, want one", dir, len(comments), comments)
		}
	}
}

type source struct {
	name string
	tree *ast.File
}

func packages(t *testing.T) map[string][]source {
	t.Helper()
	found := map[string][]source{}
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == "testdata" || (strings.HasPrefix(name, ".") && name != ".")) {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		tree, err := parser.ParseFile(set, p, nil, parser.ParseComments|parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(p))
		found[dir] = append(found[dir], source{entry.Name(), tree})
		return nil
	})
	if err != nil || len(found) < 10 {
		t.Fatalf("found %d packages: %v", len(found), err)
	}
	return found
}
