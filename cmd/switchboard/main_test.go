package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"switchboard/fleet"
)

// Every fleet in configs/ loads with the classes of this program.
func TestConfigs(t *testing.T) {
	dirs := map[string]bool{}
	err := filepath.WalkDir("../../configs", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".yaml") && !strings.HasSuffix(path, fleet.TestSuffix) && !notAFleet(path) {
			dirs[filepath.Dir(path)] = true
		}
		return err
	})
	if err != nil || len(dirs) < 3 {
		t.Fatalf("found %d fleets: %v", len(dirs), err)
	}
	for dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			defs, err := classes().Load(dir)
			if err != nil {
				t.Error(err)
			}
			for _, d := range defs {
				for _, warning := range d.Warnings {
					t.Log(warning)
				}
			}
		})
	}
}

// notAFleet: the scripts of simulators are no workers.
func notAFleet(path string) bool {
	return strings.Contains(filepath.ToSlash(path), "configs/simulators/")
}

// variable is one that a page's reader has to set.
var variable = regexp.MustCompile(`\$\{([A-Z_]+)\}`)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Every worker's YAML that the README and the docs show loads.
func TestYAMLInDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md") {
		if page == tutorial || page == "../../docs/tutorial-ten-minutes.md" {
			continue // its program knows a class more; TestTutorial and TestTutorials
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllSubmatch(text, -1) {
			if !strings.Contains(string(block[1]), "_class:") {
				continue
			}
			found++
			for _, name := range variable.FindAllSubmatch(block[1], -1) {
				t.Setenv(string(name[1]), "set")
			}
			file := filepath.Join(t.TempDir(), "worker.yaml")
			if err := os.WriteFile(file, block[1], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := classes().Load(file); err != nil {
				t.Errorf("%s shows what does not load: %v\n%s", page, err, block[1])
			}
		}
	}
	if found == 0 {
		t.Error("no page shows a worker")
	}
}
