package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a finding keeps a fleet from running.
type Severity string

// The severities: a warning may be as it should be, because another program
// serves a name or other machines run the rest of the fleet.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is something wrong with a fleet's files: where, what, what to do.
type Finding struct {
	Severity Severity `json:"severity"`
	At       string   `json:"at"` // file:line, or file
	Text     string   `json:"text"`
}

// String is `file:line: text`, with the word warning where it is one.
func (f Finding) String() string {
	if f.Severity == Warning {
		return f.At + ": warning: " + f.Text
	}
	return f.At + ": " + f.Text
}

// Examine reads files and directories as Load does, and holds the workers
// against each other more closely: names nobody serves, circles, two workers
// on one queue or port. It goes on after an error, to find them all.
func (c Classes) Examine(paths ...string) ([]*Definition, []Finding, error) {
	files, err := Files(paths...)
	if err != nil {
		return nil, nil, err
	}
	var all findings
	defs := make([]*Definition, 0, len(files))
	for _, path := range files {
		d, err := c.define(path)
		if err != nil {
			all.fromError(path, err)
			continue
		}
		for _, warning := range d.Warnings {
			all.add(Warning, path, "%s", warning)
		}
		defs = append(defs, d)
	}
	all.fromError("", Check(defs))
	if len(defs) == len(files) { // else what is missing may be in a file with an error
		all.names(defs)
	}
	all.circles(defs)
	all.sharedQueues(defs)
	all.sharedPorts(defs)
	all.sharedAccounts(defs)
	return defs, all.sorted(files), nil
}

type findings []Finding

func (all *findings) add(severity Severity, at, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	// An error made elsewhere says its place itself.
	if rest, begins := strings.CutPrefix(text, at); begins && at != "" {
		if line, what, cut := strings.Cut(rest, ": "); cut {
			at, text = at+line, what
		}
	}
	*all = append(*all, Finding{severity, at, text})
}

// fromError adds every part of a joined error; those of Check begin with the
// path, wherever that is.
func (all *findings) fromError(path string, err error) {
	if err == nil {
		return
	}
	if joined, is := err.(interface{ Unwrap() []error }); is {
		for _, part := range joined.Unwrap() {
			all.fromError(path, part)
		}
		return
	}
	if positioned, ok := errors.AsType[positionError](err); ok {
		all.add(Error, positioned.at, "%s", positioned.text)
		return
	}
	all.add(Error, path, "%s", err)
}

// positionError is an error at a position in a file.
type positionError struct{ at, text string }

func (e positionError) Error() string { return e.at + ": " + e.text }

func positionf(at, format string, args ...any) error {
	return positionError{at, fmt.Sprintf(format, args...)}
}

// sorted puts the findings into the files' order, and each file's into its
// lines'.
func (all findings) sorted(files []string) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int {
		fileA, lineA := splitPosition(a.At, files)
		fileB, lineB := splitPosition(b.At, files)
		if fileA != fileB {
			return fileA - fileB
		}
		return lineA - lineB
	})
	return all
}

func splitPosition(at string, files []string) (file, line int) {
	for i, path := range files {
		if rest, begins := strings.CutPrefix(at, path); begins && (rest == "" || rest[0] == ':') {
			_, _ = fmt.Sscanf(rest, ":%d", &line)
			return i, line
		}
	}
	return len(files), 0
}
