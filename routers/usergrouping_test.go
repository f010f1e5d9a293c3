package routers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/worker"
)

func newState(t *testing.T) store.State {
	t.Helper()
	s := memory.New()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func toolsWith(s store.State) worker.Env {
	return worker.Env{Name: "grouping", State: s, Logger: slog.New(slog.DiscardHandler)}
}

func from(user string) dispatcher.Arrival {
	a := userMessage(message.Inbound, "smpp", "smpp", "hi")
	a.Message.From = user
	return a
}

const twoGroups = `
group_mappings: {b: other, a: app}
dispatcher_name: test
transport_mappings: {old: smpp}
`

func TestUserGrouping(t *testing.T) {
	r := mustLoad(t, NewUserGrouping(), names, toolsWith(newState(t)), twoGroups)
	checkAll(t, r, []routed{
		{name: "the first user", arrival: from("u1"), want: "app"},
		{name: "the second user", arrival: from("u2"), want: "other"},
		{name: "the third user", arrival: from("u3"), want: "app"},
		{name: "the first user again", arrival: from("u1"), want: "app"},
		{name: "the second user again", arrival: from("u2"), want: "other"},
		{name: "nobody", arrival: from(""), err: "it has no from_addr"},
		{name: "outbound", arrival: userMessage(message.Outbound, "app", "old", "hi"), want: "smpp"},
		{name: "event", arrival: event("smpp", "smpp"), err: "it can be any of app, other"},
	})
}

// Two dispatchers that see the same new users at the same time agree on each,
// and the groups stay of one size.
func TestUserGroupingIsShared(t *testing.T) {
	state := newState(t)
	const users, replicas = 200, 4
	var seen [replicas][users]string
	var group sync.WaitGroup
	for i := range replicas {
		r := mustLoad(t, NewUserGrouping(), names, toolsWith(state), twoGroups)
		group.Go(func() {
			for u := range users {
				targets, err := r.Route(context.Background(), from(fmt.Sprint(u)))
				if err != nil {
					t.Error(err)
					return
				}
				seen[i][u] = targets[0].Connector
			}
		})
	}
	group.Wait()
	for i := range replicas {
		if seen[i] != seen[0] {
			t.Errorf("replica %d sent users elsewhere than replica 0", i)
		}
	}
}

// A group that is taken out of the file hands its users to the others, the same
// way in every replica; the users of the others stay.
func TestUserGroupingWithoutAGroup(t *testing.T) {
	state := newState(t)
	before := mustLoad(t, NewUserGrouping(), names, toolsWith(state), twoGroups)
	for _, u := range []string{"u1", "u2"} {
		if _, err := before.Route(t.Context(), from(u)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		after := mustLoad(t, NewUserGrouping(), names, toolsWith(state), "group_mappings: {b: other}\ndispatcher_name: test")
		checkAll(t, after, []routed{
			{name: "of the lost group", arrival: from("u1"), want: "other"},
			{name: "of the other", arrival: from("u2"), want: "other"},
		})
	}
}

// Users prepared for in one go are in the groups they would be in one by one.
func TestUserGroupingPrepares(t *testing.T) {
	state := newState(t)
	load := func() *UserGrouping { return mustLoad(t, NewUserGrouping(), names, toolsWith(state), twoGroups) }
	old := load()
	if _, err := old.Route(t.Context(), from("old")); err != nil { // takes the first turn
		t.Fatal(err)
	}
	r := load()
	r.Prepare(t.Context(), []dispatcher.Arrival{from("u1"), from("old"), from("u2"), from("u1"), from(""), event("smpp", "smpp"), from("u3")})
	r.state = brokenState{} // what was prepared for asks no more
	checkAll(t, r, []routed{
		{name: "known before", arrival: from("old"), want: "app"},
		{name: "first", arrival: from("u1"), want: "other"},
		{name: "second", arrival: from("u2"), want: "app"},
		{name: "third", arrival: from("u3"), want: "other"},
	})
	r.Prepare(t.Context(), []dispatcher.Arrival{from("u4")}) // in vain, and no harm
}

type brokenState struct{ store.State }

func (brokenState) Get(context.Context, ...string) (map[string]string, error) {
	return nil, errors.New("out of reach")
}

func TestUserGroupingTriesAgain(t *testing.T) {
	r := mustLoad(t, NewUserGrouping(), names, toolsWith(brokenState{}), twoGroups)
	if _, err := r.Route(t.Context(), from("u1")); err == nil || message.IsPermanent(err) {
		t.Errorf("got %v, want an error that asks for another try", err)
	}
}

func TestUserGroupingForgetsWhoIsGone(t *testing.T) {
	var c recent
	for i := range 3 * recentSize {
		c.put(fmt.Sprint(i), "g")
		c.get("0")
	}
	if n := len(c.young) + len(c.old); n > 2*recentSize {
		t.Errorf("remembers %d users", n)
	}
	if c.get("0") != "g" || c.get("1") != "" {
		t.Error("forgot the user it saw all the time, or nobody")
	}
}

func TestUserGroupingRefuses(t *testing.T) {
	checkRefused(t, NewUserGrouping, []refused{
		{"nothing", "", "group_mappings: is missing"},
		{"an unknown application", "group_mappings: {a: ap}", `did you mean "app"?`},
		{"no store", "group_mappings: {a: app}", "and there is none"},
	})
}

// Users who had a group before keep it; one who is remembered here keeps that.
func TestUserGroupingImportsAssignments(t *testing.T) {
	state := newState(t)
	r := mustLoad(t, NewUserGrouping(), names, toolsWith(state), twoGroups)
	checkAll(t, r, []routed{{name: "remembered", arrival: from("u1"), want: "app"}})
	file := filepath.Join(t.TempDir(), "groups.csv")
	lines := "u1,b\nu2,b\n"
	for i := range 1200 {
		lines += fmt.Sprintf("user%d,b\n", i)
	}
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	r = mustLoad(t, NewUserGrouping(), names, toolsWith(state), twoGroups+"assignments: "+file)
	checkAll(t, r, []routed{
		{name: "a user remembered here", arrival: from("u1"), want: "app"},
		{name: "a user of the file", arrival: from("u2"), want: "other"},
		{name: "the last of the file", arrival: from("user1199"), want: "other"},
		{name: "a new user", arrival: from("u3"), want: "other"}, // the second turn
	})
	for text, want := range map[string]string{
		"u9,c\n":         `:1: group "c" is none of group_mappings`,
		"u9\n":           "write user,group on each line",
		"u8,a\n\"u9,a\n": "assignments: ",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		bad := NewUserGrouping()
		bad.Assignments, bad.DispatcherName, bad.apps = file, "test", map[string]string{"a": "app"}
		err := bad.Provision(t.Context(), toolsWith(state))
		if err == nil || !message.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
