package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/smpp"
	"switchboard/smpp/pdu"
)

// mapState is a state store without times to live.
type mapState struct {
	mu     sync.Mutex
	values map[string]string
}

func (s *mapState) Get(_ context.Context, keys ...string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]string{}
	for _, key := range keys {
		if value, there := s.values[key]; there {
			found[key] = value
		}
	}
	return found, nil
}

func (s *mapState) Set(_ context.Context, entries ...smpp.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		s.values[e.Key] = e.Value
	}
	return nil
}

func (s *mapState) Add(_ context.Context, e smpp.Entry) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, there := s.values[e.Key]; there {
		return value, false, nil
	}
	s.values[e.Key] = e.Value
	return e.Value, true, nil
}

func (s *mapState) Range(_ context.Context, from, to string, limit int) (list []smpp.Entry, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if key >= from && key < to && len(list) < limit {
			list = append(list, smpp.Entry{Key: key, Value: s.values[key]})
		}
	}
	return list, nil
}

func (s *mapState) Delete(_ context.Context, keys ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.values, key)
	}
	return nil
}

// receiver keeps what Assemblers receive, by ID.
type receiver struct {
	mu    sync.Mutex
	texts map[string]string
}

func (r *receiver) receive(_ context.Context, m *smpp.Assembled, _ ...smpp.Entry) error {
	parts := make([]smpp.Part, len(m.Parts))
	for i := range m.Parts {
		parts[i] = m.Parts[i].Part
	}
	text, err := smpp.Codings{}.Text(parts)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts[m.ID] = fmt.Sprint(text, m.Missing)
	return err
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Values(r.texts))
}

// assemblers makes processes that share a state.
func assemblers(n int, change func(*smpp.AssemblerSettings)) (*receiver, []*smpp.Assembler) {
	r, state := &receiver{texts: map[string]string{}}, &mapState{values: map[string]string{}}
	var mu sync.Mutex
	ids := 0
	settings := smpp.AssemblerSettings{
		State: state, Prefix: "p/", Wait: time.Hour, Receive: r.receive, Logger: slog.New(slog.DiscardHandler),
		NewID: func() string {
			mu.Lock()
			defer mu.Unlock()
			ids++
			return fmt.Sprint("message ", ids)
		},
	}
	change(&settings)
	var list []*smpp.Assembler
	for range n {
		list = append(list, smpp.NewAssembler(settings))
	}
	return r, list
}

func part(total, seq byte, text string) *pdu.SubmitSM {
	return &pdu.SubmitSM{Message: pdu.Message{ESMClass: pdu.ESMUDHI, ShortMessage: append([]byte{5, 0, 3, 7, total, seq}, text...)}}
}

func add(t *testing.T, a *smpp.Assembler, body pdu.Body) {
	t.Helper()
	if _, err := a.Add(t.Context(), "a to b", body, nil); err != nil {
		t.Error(err)
	}
}

// Parts that come to several processes at once make one message, whoever sees the
// last.
func TestPartsAtSeveralProcesses(t *testing.T) {
	for range 50 {
		r, list := assemblers(3, func(*smpp.AssemblerSettings) {})
		var group sync.WaitGroup
		for i, a := range list {
			group.Go(func() { add(t, a, part(3, byte(i+1), fmt.Sprint(i))) })
		}
		group.Wait()
		if got := r.got(); !slices.Equal(got, []string{"012[]"}) {
			t.Fatalf("received %q", got)
		}
	}
}

// A process that starts finds what others have left, and gives it up once it is due.
func TestPartsLeftByAnotherProcess(t *testing.T) {
	r, list := assemblers(3, func(*smpp.AssemblerSettings) {})
	add(t, list[0], part(3, 2, "two"))
	later := time.Now().Add(2 * time.Hour)
	for _, a := range list[1:] {
		if a.Sweep(t.Context(), time.Now()); a.Open() != 1 {
			t.Fatalf("%d groups are found", a.Open())
		}
	}
	list[1].Sweep(t.Context(), later)
	list[2].Sweep(t.Context(), later)
	if got := r.got(); !slices.Equal(got, []string{"two[1 3]"}) || list[1].Open() != 0 || list[2].Open() != 0 {
		t.Errorf("received %q; %d and %d groups are open", got, list[1].Open(), list[2].Open())
	}
}

// What a process leaves is found by those that were running already.
func TestPartsLeftWhileOthersRun(t *testing.T) {
	r, list := assemblers(2, func(*smpp.AssemblerSettings) {})
	list[1].Sweep(t.Context(), time.Now())
	add(t, list[0], part(2, 1, "one"))
	list[1].Sweep(t.Context(), time.Now().Add(2*time.Hour))
	if got := r.got(); !slices.Equal(got, []string{"one[2]"}) {
		t.Errorf("received %q", got)
	}
}

// A message that cannot be received stays, and the part that comes again completes
// it under the same ID.
func TestReceiveFails(t *testing.T) {
	var ids []string
	_, list := assemblers(1, func(s *smpp.AssemblerSettings) {
		s.Receive = func(_ context.Context, m *smpp.Assembled, _ ...smpp.Entry) error {
			if ids = append(ids, m.ID); len(ids) == 1 {
				return errors.New("the broker is away")
			}
			return nil
		}
	})
	add(t, list[0], part(2, 1, "one "))
	if _, err := list[0].Add(t.Context(), "a to b", part(2, 2, "two"), nil); err == nil {
		t.Error("the part was taken")
	}
	add(t, list[0], part(2, 2, "two"))
	list[0].Flush()
	if len(ids) != 2 || ids[0] != ids[1] || list[0].Open() != 0 {
		t.Errorf("received as %q, %d groups are open", ids, list[0].Open())
	}
}

// A part that comes again after its message begins the next one like it only where
// parts come in order; elsewhere the next waits for a part of its own.
func TestPartOfTheMessageBefore(t *testing.T) {
	for inOrder, want := range map[bool][]string{true: {"one three[]", "one two[]"}, false: {"one two[]"}} {
		r, list := assemblers(1, func(s *smpp.AssemblerSettings) { s.InOrder = inOrder })
		for _, p := range []*pdu.SubmitSM{part(2, 1, "one "), part(2, 2, "two"), part(2, 1, "one "), part(2, 2, "three")} {
			add(t, list[0], p)
		}
		if got := r.got(); !slices.Equal(got, want) {
			t.Errorf("in order %t: received %q, want %q", inOrder, got, want)
		}
	}
}

// Parts that enter together are a message that needs one look at the state, and
// leaves in it only that it was received.
func TestPartsThatComeTogether(t *testing.T) {
	state := &mapState{values: map[string]string{}}
	r, list := assemblers(1, func(s *smpp.AssemblerSettings) { s.State = state })
	a := list[0]
	var parts []*smpp.Adding
	for i, text := range []string{"one ", "two ", "three"} {
		parts = append(parts, a.Enter("a to b", part(3, byte(i+1), text), "its own id", nil))
	}
	if _, err := parts[0].Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.texts["its own id"]; got != "one two three[]" {
		t.Errorf("after the first part is answered, received %q", r.texts)
	}
	for _, p := range parts[1:] {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	a.Flush()
	if keys := slices.Collect(maps.Keys(state.values)); len(keys) != 1 || !strings.HasSuffix(keys[0], "/done") || a.Open() != 0 {
		t.Errorf("%q are kept, %d groups are open", keys, a.Open())
	}
	add(t, a, part(3, 2, "two ")) // again
	if got := r.got(); len(got) != 1 {
		t.Errorf("received %q", got)
	}
}

// Parts of two messages that enter together, with one reference, are both whole.
func TestTwoMessagesThatComeTogether(t *testing.T) {
	r, list := assemblers(1, func(*smpp.AssemblerSettings) {})
	var parts []*smpp.Adding
	for _, body := range []*pdu.SubmitSM{part(2, 1, "one "), part(2, 2, "two"), part(2, 1, "three "), part(2, 2, "four"), part(2, 1, "five ")} {
		parts = append(parts, list[0].Enter("a to b", body, "", nil))
	}
	for _, p := range slices.Backward(parts) { // whoever waits first
		if _, err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	list[0].Flush()
	if got := r.got(); !slices.Equal(got, []string{"one two[]", "three four[]"}) || list[0].Open() != 1 {
		t.Errorf("received %q, %d groups are open", got, list[0].Open())
	}
}

// A part that another's turn adds, while it is about to take its own, leaves the name
// to those who come next.
func TestPartsThatComeAtOneMoment(t *testing.T) {
	for range 1000 {
		r, list := assemblers(1, func(*smpp.AssemblerSettings) {})
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() { add(t, list[0], part(1, 1, fmt.Sprint(i))) })
		}
		group.Wait()
		list[0].Flush()
		if got := r.got(); len(got) != 20 {
			t.Fatalf("received %q", got)
		}
	}
}

// A part for which there is no time is not added later.
func TestNoTimeForAPart(t *testing.T) {
	begun, release := make(chan struct{}, 9), make(chan struct{})
	r, list := assemblers(1, func(s *smpp.AssemblerSettings) {
		receive := s.Receive
		s.Receive = func(ctx context.Context, m *smpp.Assembled, with ...smpp.Entry) error {
			begun <- struct{}{}
			<-release
			return receive(ctx, m, with...)
		}
	})
	received := make(chan struct{})
	go func() {
		defer close(received)
		add(t, list[0], part(1, 1, "one"))
	}()
	<-begun
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := list[0].Enter("a to b", part(1, 1, "late"), "", nil).Wait(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the late part says %v", err)
	}
	close(release)
	<-received
	add(t, list[0], part(1, 1, "two"))
	if got := r.got(); !slices.Equal(got, []string{"one[]", "two[]"}) {
		t.Errorf("received %q", got)
	}
}
