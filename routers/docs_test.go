package routers_test

import (
	"errors"
	"os"
	"regexp"
	"testing"

	"switchboard/dispatcher"
	"switchboard/options"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestDocs loads every dispatcher docs/routers.md shows.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/routers.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Fatal("the page shows no dispatcher")
	}
	classes := subjects()
	for _, block := range blocks {
		doc, err := options.Parse("docs/routers.md", block[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		subject, known := classes[doc.Text("router_class")]
		if !known {
			t.Fatalf("no router %q", doc.Text("router_class"))
		}
		doc.Ignore("router_class")
		opts, router := dispatcher.DefaultOptions(), subject.New()
		err = errors.Join(doc.Into(&opts), doc.Into(router), doc.Rest(), doc.Locate(opts.Validate()))
		if v, validates := router.(interface{ Validate() error }); validates && err == nil {
			err = doc.Locate(v.Validate())
		}
		if c, checks := router.(dispatcher.Checker); checks && err == nil {
			err = doc.Locate(c.Check(opts.Names()))
		}
		if err != nil {
			t.Errorf("%v\nin\n%s", err, block[1])
		}
	}
}

// TestDocsNameEveryRouter holds the page's table to the routers there are.
func TestDocsNameEveryRouter(t *testing.T) {
	page, err := os.ReadFile("../docs/routers.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range subjects() {
		if !regexp.MustCompile("(?m)^\\| `" + name + "` \\|").Match(page) {
			t.Errorf("docs/routers.md has no line for %s", name)
		}
	}
}
