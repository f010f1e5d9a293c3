package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/store"
)

func rangeBetween(t *testing.T, s store.State) {
	set(t, s, store.Entry{Key: "ask/3/c", Value: "3"}, store.Entry{Key: "ask/1/a", Value: "1", TTL: time.Hour},
		store.Entry{Key: "ask/2/\xff", Value: "2"}, store.Entry{Key: "ask/0", TTL: brief}, store.Entry{Key: "asl", Value: "4"})
	gone(t, s, "ask/0")
	all := []store.Entry{{Key: "ask/1/a", Value: "1"}, {Key: "ask/2/\xff", Value: "2"}, {Key: "ask/3/c", Value: "3"}}
	for _, c := range []struct {
		from, to string
		limit    int
		want     []store.Entry
	}{
		{"ask/", "ask0", 10, all},
		{"ask/", "ask0", 2, all[:2]},
		{"ask/1/a", "ask/3/c", 10, all[:2]}, // the first is in, the last is not
		{"ask/4", "ask0", 10, nil},
		{"b", "a", 10, nil},
		{"ask/", "ask0", 0, nil},
	} {
		got, err := s.Range(t.Context(), c.from, c.to, c.limit)
		if err != nil {
			t.Fatalf("Range: %v", err)
		}
		if diff := cmp.Diff(c.want, append([]store.Entry(nil), got...)); diff != "" {
			t.Errorf("Range(%q, %q, %d), -want +got:\n%s", c.from, c.to, c.limit, diff)
		}
	}
	if err := s.Delete(t.Context(), "ask/1/a"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Range(t.Context(), "ask/", "ask0", 1); err != nil || len(got) != 1 || got[0].Key != "ask/2/\xff" {
		t.Errorf("after Delete Range = %v, %v", got, err)
	}
}
