package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// link is a link within the repository.
var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

// Every page is on the index, and no link leads nowhere.
func TestDocsAreLinked(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Clone(pages)
	for _, pattern := range []string{"*.md", "docs/*/*.md", "e2e/*.md", "examples/*.md", "configs/*/*.md", "configs/*.md"} {
		more, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, more...)
	}
	index := "../../docs/README.md"
	linked := map[string]bool{index: true}
	for _, page := range all {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			target := filepath.Join(filepath.Dir(page), found[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", strings.TrimPrefix(page, "../../"), found[1])
			}
			if page == index {
				linked[target] = true
			}
		}
	}
	for _, page := range pages {
		if !linked[page] {
			t.Errorf("docs/README.md does not link to %s", filepath.Base(page))
		}
	}
}

// Decisions are numbered without gaps, under a title with their number, and the
// index lists each.
func TestDecisionsAreNumbered(t *testing.T) {
	files, err := filepath.Glob("../../docs/decisions/[0-9]*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %v, %v", files, err)
	}
	index, err := os.ReadFile("../../docs/decisions/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		title, _, _ := strings.Cut(string(text), "\n")
		number, title, _ := strings.Cut(strings.TrimPrefix(title, "# "), ". ")
		if !strings.HasPrefix(name, fmt.Sprintf("%02d-", i+1)) || number != strconv.Itoa(i+1) {
			t.Errorf("%s is decision %s and should be number %d", name, number, i+1)
		}
		if entry := fmt.Sprintf("%d. [%s](%s)", i+1, title, name); !strings.Contains(string(index), entry) {
			t.Errorf("docs/decisions/README.md lacks: %s", entry)
		}
	}
}

// CONTRIBUTING.md says where a change begins: each place is there.
func TestChangesBeginSomewhere(t *testing.T) {
	page, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Where a change begins")
	rows := regexp.MustCompile("(?m)^\\| a.* \\| .*?`([a-z_A-Z/]+\\.(?:go|md)|store/postgres/migrations)`").FindAllStringSubmatch(table, -1)
	if len(rows) != 10 {
		t.Fatalf("the table has %d rows with a place", len(rows))
	}
	for _, row := range rows {
		if _, err := os.Stat(filepath.Join("../..", row[1])); err != nil {
			t.Errorf("%s is not there", row[1])
		}
	}
}
