package store_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"switchboard/store"
)

// TestStatesPage compares the diagrams of docs/states.md with the table.
func TestStatesPage(t *testing.T) {
	page, err := os.ReadFile("../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []store.Direction{store.Outbound, store.Inbound} {
		want := "```mermaid\n" + store.Diagram(d) + "```\n"
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/states.md lacks the present diagram of direction %s:\n%s", d, want)
		}
	}
}

func TestStagesAreOrderedAndComplete(t *testing.T) {
	seen := map[store.Progress]bool{}
	var last store.Stage
	for i, s := range store.Stages() {
		if seen[s.Progress] || i > 0 && s.Direction == last.Direction && s.Progress.Compare(last.Progress) <= 0 {
			t.Errorf("%s is not after %s", s.Progress, last.Progress)
		}
		last = s
		for _, from := range s.After {
			if !seen[from] || from.Compare(s.Progress) >= 0 {
				t.Errorf("%s comes after %s, which is not before it", s.Progress, from)
			}
		}
		seen[s.Progress] = true
		if s.Progress.Status() != s.Status || s.Name == "" || s.Cause == "" || !s.Progress.Known() {
			t.Errorf("stage %+v", s)
		}
	}
}

// TestStoredNumbers: stored numbers never change their meaning. Add lines; never change one,
// and never reuse a number.
func TestStoredNumbers(t *testing.T) {
	want := map[int]string{
		0: "queued", 1: "cancelled", 2: "handed over", 3: "refused", 4: "sent", 5: "undelivered", 6: "delivered",
		8: "received", 9: "replied", 10: "errored", 11: "processed", 12: "pending", 13: "not handed over", 14: "deleted",
	}
	got := map[int]string{}
	for _, s := range store.Stages() {
		got[int(s.Progress)] = s.Name
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if unknown := store.Progress(99); unknown.Known() || unknown.String() != "unknown" {
		t.Errorf("fact 99 is %s", unknown)
	}
}

func TestMessageFollowsItsTransmissions(t *testing.T) {
	for states, want := range map[string]struct{ out, in store.Status }{
		"E": {"E", "E"}, "EQ": {"E", "E"}, "ED": {"E", "E"}, "SE": {"E", "E"},
		"P": {"P", "Q"}, "Q": {"P", "Q"}, "SP": {"P", "Q"}, "DQ": {"P", "Q"},
		"S": {out: "S"}, "SD": {out: "S"}, "D": {out: "D"}, "DD": {out: "D"},
		"R": {in: "R"}, "RR": {in: "R"}, "RQ": {in: "Q"}, "RE": {in: "E"},
	} {
		var counts store.Counts
		for _, s := range states {
			counts = counts.Add(store.Of(store.Status(s)))
		}
		if got := counts.Status(store.Outbound); want.out != "" && got != want.out {
			t.Errorf("outbound %s is %s, want %s", states, got, want.out)
		}
		if got := counts.Status(store.Inbound); want.in != "" && got != want.in {
			t.Errorf("inbound %s is %s, want %s", states, got, want.in)
		}
	}
}

// TestProgressHasNoOrder: the result does not depend on the order of progress, of any
// attempts.
func TestProgressHasNoOrder(t *testing.T) {
	var said []store.AttemptProgress
	for _, s := range store.Stages() {
		for attempt := 1; s.Direction == store.Outbound && attempt <= 3; attempt++ {
			said = append(said, store.AttemptProgress{Attempt: attempt, Progress: s.Progress})
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.SampledFrom(said), 1, 8).Draw(t, "said")
		shuffled := rapid.Permutation(list).Draw(t, "shuffled")
		one, other := store.AttemptProgress{Attempt: 1}, store.AttemptProgress{Attempt: 1}
		for i := range list {
			one, other = one.Advance(list[i].Attempt, list[i].Progress), other.Advance(shuffled[i].Attempt, shuffled[i].Progress)
		}
		if diff := cmp.Diff(one, other); diff != "" {
			t.Errorf("-one +other:\n%s", diff)
		}
	})
}

func TestAttempts(t *testing.T) {
	two := func(f store.Progress) store.AttemptProgress { return store.AttemptProgress{Attempt: 2, Progress: f} }
	for _, c := range []struct {
		was     store.Progress // in attempt 2
		attempt int
		fact    store.Progress
		want    store.AttemptProgress
	}{
		{store.Queued, 1, store.HandedOver, two(store.Queued)},
		{store.Queued, 1, store.Sent, two(store.Queued)},
		{store.Sent, 1, store.Undelivered, two(store.Sent)},
		{store.Refused, 1, store.Delivered, two(store.Delivered)},
		{store.Queued, 0, store.Sent, two(store.Sent)},
		{store.Sent, 2, store.Undelivered, two(store.Undelivered)},
		{store.Undelivered, 3, store.Queued, store.AttemptProgress{Attempt: 3, Progress: store.Queued}},
		{store.Delivered, 3, store.Refused, store.AttemptProgress{Attempt: 3, Progress: store.Delivered}},
	} {
		if got := two(c.was).Advance(c.attempt, c.fact); got != c.want {
			t.Errorf("attempt 2 is %s, and attempt %d is %s: %+v, want %+v", c.was, c.attempt, c.fact, got, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain \u2603 \\": "plain \u2603 \\", "a\x00b": `a\u0000b`, "\xff\xfe": `\xff\xfe`, "\ufffd": "\ufffd",
	} {
		if got := store.Printable(text); got != want {
			t.Errorf("Printable(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x00\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := store.Printable(text)
		if got != strings.ToValidUTF8(got, "") || strings.ContainsRune(got, 0) || store.Printable(got) != got {
			t.Errorf("Printable(%q) = %q", text, got)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	r := store.Record{ID: "a b"}
	f.Add(r.Cursor())
	f.Fuzz(func(t *testing.T, cursor string) {
		date, id, err := store.ParseCursor(cursor)
		if err != nil {
			return
		}
		again := store.Record{Date: date, ID: id}
		if d, i, err := store.ParseCursor(again.Cursor()); err != nil || !d.Equal(date) || i != id {
			t.Errorf("ParseCursor(%q) = %v, %q, which make another cursor", cursor, date, id)
		}
	})
}
