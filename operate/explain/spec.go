package explain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchboard/fleet"
	"switchboard/operate/converse"
	"switchboard/options"
)

// Spec is a file of routing tests.
type Spec struct {
	// Config are the files and directories of the fleet, from the test file's own
	// directory. Default that directory.
	Config options.Names `yaml:"config"`
	// Tests are tried one by one, each on a fleet that remembers nothing.
	Tests []Test `yaml:"tests"`
	// Conversations are had with the fleet's applications, each on one that
	// remembers nothing.
	Conversations []converse.Conversation `yaml:"conversations"`

	doc *options.Document
}

// Test is one routing test.
type Test struct {
	// Name says what is tested. Default: its number.
	Name string `yaml:"name"`
	// After are messages that went before, for routers that remember.
	After []Question `yaml:"after"`
	// At is when, for rules about times: 2026-11-21T22:30:00+02:00. Default now.
	At time.Time `yaml:"at"`
	// Down are transports that are down meanwhile.
	Down options.Names `yaml:"down"`
	// Message is the message, or with flow: event the event.
	Message Question `yaml:"message"`
	// Expect is what is to happen to it; what it does not name is not looked at.
	Expect Expect `yaml:"expect"`
}

// Expect is what a test expects.
type Expect struct {
	// To are the connectors where the message comes to rest, in any order.
	To *options.Names `yaml:"to"`
	// Rule are the rules that decide, one for each dispatcher on the way.
	Rule options.Names `yaml:"rule"`
	// Rewritten are fields of the message as it arrives, by their names on the
	// wire: `{to_addr: "123", routing_metadata.endpoint_name: billing}`.
	Rewritten map[string]any `yaml:"rewritten"`
	// RepliesTo are the connectors to which replies go.
	RepliesTo *options.Names `yaml:"replies_to"`
	// EventsTo are the connectors to which events go.
	EventsTo *options.Names `yaml:"events_to"`
	// Discard is part of the reason why the message is dropped on purpose.
	Discard string `yaml:"discard"`
	// Error is part of the reason why the message is dead-lettered.
	Error string `yaml:"error"`
}

// Validate checks the tests by themselves.
func (s *Spec) Validate() error {
	if len(s.Tests)+len(s.Conversations) == 0 {
		return options.Fieldf("tests", "is missing; write a list of tests, or of conversations")
	}
	var errs []error
	for i := range s.Conversations {
		at := strconv.Itoa(i)
		if s.Conversations[i].Name == "" {
			s.Conversations[i].Name = "conversations." + at
		}
		errs = append(errs, options.Under(s.Conversations[i].Validate(), "conversations", at))
	}
	for i := range s.Tests {
		test, at := &s.Tests[i], strconv.Itoa(i)
		if test.Name == "" {
			test.Name = "tests." + at
		}
		errs = append(errs, options.Under(test.Message.Validate(), "tests", at, "message"))
		for j := range test.After {
			errs = append(errs, options.Under(test.After[j].Validate(), "tests", at, "after", strconv.Itoa(j)))
		}
		if test.Expect.isEmpty() {
			errs = append(errs, options.Field(errors.New("expects nothing; write at least one of to, rule, rewritten, replies_to, events_to, discard, error"),
				"tests", at, "expect"))
		}
	}
	return errors.Join(errs...)
}

func (e *Expect) isEmpty() bool {
	return e.To == nil && e.RepliesTo == nil && e.EventsTo == nil && len(e.Rule)+len(e.Rewritten) == 0 && e.Discard == "" && e.Error == ""
}

// ReadSpec reads a file of routing tests.
func ReadSpec(path string) (*Spec, error) {
	doc, err := options.Read(path)
	if err != nil {
		return nil, err
	}
	s := &Spec{doc: doc}
	if err := errors.Join(doc.Into(s), doc.Rest()); err != nil {
		return nil, err
	}
	return s, doc.Locate(s.Validate())
}

// paths are the files of the fleet.
func (s *Spec) paths() []string {
	dir := filepath.Dir(s.doc.Path)
	if len(s.Config) == 0 {
		return []string{dir}
	}
	paths := make([]string, len(s.Config))
	for i, path := range s.Config {
		if paths[i] = path; !filepath.IsAbs(path) {
			paths[i] = filepath.Join(dir, path)
		}
	}
	return paths
}

// SpecFiles lists the files of routing tests in files and directories.
func SpecFiles(paths ...string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, fmt.Errorf("looking for routing tests: %w", err)
		case !info.IsDir() && !strings.HasSuffix(path, fleet.TestSuffix):
			continue // a shell's * names other files, too
		case !info.IsDir():
			files = append(files, path)
			continue
		}
		found, err := filepath.Glob(filepath.Join(path, "*"+fleet.TestSuffix))
		if err != nil {
			return nil, fmt.Errorf("looking for routing tests: %w", err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: there is no file that ends in %s in this directory", path, fleet.TestSuffix)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: routing tests are in files that end in %s", strings.Join(paths, " "), fleet.TestSuffix)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}
