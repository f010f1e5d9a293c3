package smpp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchboard/smpp/pdu"
)

// Assembler puts long messages together. The parts of those that do not come at
// once are in a state store, so that any process may get any of them:
//
//	open/<name>  the Group: the ID the message will have, so that two processes
//	             that both see the last part make one message
//	<name>/<n>   part n
//	<name>/done  which parts the last message of that name had, so that one that
//	             comes again is no new message
//	<name>/over/<id>  that a process is giving the group up
//
// Make one with NewAssembler.
type Assembler struct {
	AssemblerSettings
	mu    sync.Mutex
	open  map[string]Group // those that this process has seen a part of, or found; by name
	busy  map[string]*name
	notes sync.WaitGroup
	found time.Time // when find was last called
}

// AssemblerSettings are what an Assembler needs.
type AssemblerSettings struct {
	State  State
	Prefix string        // of all keys
	Wait   time.Duration // how long parts wait for each other
	// InOrder says that the parts of each message come in order. Then a part that
	// comes again after its message also counts, at once, for the next message
	// that begins like it with its reference; else that waits for DoubtWait.
	InOrder bool
	NewID   func() string // returns IDs for messages
	// Receive takes a message. Where it stores anything, it stores what goes with
	// it in the same step. After an error the parts stay.
	Receive func(ctx context.Context, m *Assembled, with ...Entry) error
	Logger  *slog.Logger
}

// Entry is a value under a key, for a time to live.
type Entry struct {
	Key   string
	Value string
	TTL   time.Duration
}

// State is what an Assembler needs of a state store. Set stores all entries or
// none; Add returns what is stored already, and whether it added; Range returns the
// first entries with from <= key < to, in the order of the keys.
type State interface {
	Get(ctx context.Context, keys ...string) (map[string]string, error)
	Set(ctx context.Context, entries ...Entry) error
	Add(ctx context.Context, e Entry) (value string, added bool, err error)
	Range(ctx context.Context, from, to string, limit int) ([]Entry, error)
	Delete(ctx context.Context, keys ...string) error
}

// Assembled is a message with the parts that came.
type Assembled struct {
	ID      string
	Total   int          // parts it should have
	Parts   []StoredPart // in their order
	Missing []int        // numbers of those that never came
	GivenUp bool         // it was not received when its last part came
	// Forget is set by Receive where the parts, when they come again, are those of
	// a new message, and Stored where it stored what goes with the message.
	Forget, Stored bool
}

// Plain are the parts without how they were stored.
func (m *Assembled) Plain() (list []Part) {
	for i := range m.Parts {
		list = append(list, m.Parts[i].Part)
	}
	return list
}

// StoredPart is a part as it came, and the ID it was answered with.
type StoredPart struct {
	Part
	ID    string
	Body  pdu.Body
	group string // its group's ID; empty where it may be a part of the message before that came again
}

type jsonPart struct {
	PDU   []byte `json:"pdu"`
	ID    string `json:"id,omitempty"`
	Group string `json:"group,omitempty"`
}

// Group is a message whose parts are not all there.
type Group struct {
	Name     string    `json:"name"`
	ID       string    `json:"id"` // of the message to be
	Total    int       `json:"total"`
	Deadline time.Time `json:"deadline"`
}

// donePart is how a part of a message that was received is known again.
type donePart struct {
	Sum string `json:"sum"`
	ID  string `json:"id,omitempty"`
}

const (
	// DoubtWait is how long a message waits for a part of which there is only one
	// that may be of the message before.
	DoubtWait = 10 * time.Second
	// doneTTL is how long a message's parts are known again.
	doneTTL = 10 * time.Minute
	// maxOpen bounds the groups of an Assembler.
	maxOpen   = 100_000
	findBatch = 500
	// findEvery is how often the groups of other processes are looked for.
	findEvery = 30 * time.Second
	// giveUpAgain is when a group whose giving up failed is looked at again, here
	// or by another process.
	giveUpAgain = 10 * time.Second
	// giveUpTimeout is less, so that no two processes receive a group at once.
	giveUpTimeout = 8 * time.Second
)

var (
	// ErrElsewhere says that another process is giving a group up.
	ErrElsewhere = errors.New("another process is receiving the incomplete message")

	errTooLate = errors.New("the other parts of the message were just received without this one")
	errPanic   = errors.New("adding a part of a message did not end")
	errFull    = fmt.Errorf("more than %d messages wait for parts", maxOpen)
)

// NewAssembler makes an Assembler.
func NewAssembler(settings AssemblerSettings) *Assembler {
	return &Assembler{AssemblerSettings: settings, open: map[string]Group{}, busy: map[string]*name{}}
}

// newGroup is a group that is in the store once it is begun.
func (a *Assembler) newGroup(name, id string, total int) (*Group, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.open) >= maxOpen {
		return nil, errFull
	}
	if id == "" {
		id = a.NewID()
	}
	return &Group{Name: name, ID: id, Total: total, Deadline: time.Now().Add(a.Wait)}, nil
}

func (a *Assembler) openEntry(g *Group) Entry {
	text, _ := json.Marshal(g) // texts, a number and a time
	return Entry{Key: a.openKey(g.Name), Value: string(text), TTL: a.ttl()}
}

// begin opens a group, unless another process just did.
func (a *Assembler) begin(ctx context.Context, g *Group) (*Group, error) {
	kept, added, err := a.State.Add(ctx, a.openEntry(g))
	if err != nil {
		return nil, fmt.Errorf("beginning a message of several parts: %w", err)
	}
	if added {
		return g, nil
	}
	other := new(Group)
	if err := json.Unmarshal([]byte(kept), other); err != nil {
		return nil, fmt.Errorf("reading what is kept of a message's parts: %w", err)
	}
	return other, nil
}

// adopt decides which parts of the message before, that came again, are those of
// a group that begins with part n.
func (a *Assembler) adopt(s *groupState, n int) (adopted []*StoredPart) {
	if !a.InOrder {
		return nil
	}
	for seq, p := range s.parts {
		if seq >= n {
			delete(s.parts, seq)
			continue
		}
		p.group = s.group.ID
		adopted = append(adopted, p)
	}
	return adopted
}

// receive has a message of the parts that are there received. Then note is to be
// called, which remembers that, and forgets the parts.
func (a *Assembler) receive(ctx context.Context, s *groupState, givenUp bool, with ...Entry) (note func(context.Context), err error) {
	g, done := s.group, map[int]donePart{}
	m := &Assembled{ID: g.ID, Total: g.Total, GivenUp: givenUp}
	for n := 1; n <= g.Total; n++ {
		p, there := s.parts[n]
		if !there {
			m.Missing = append(m.Missing, n)
			continue
		}
		m.Parts = append(m.Parts, *p)
		done[n] = donePart{sum(p.Payload), p.ID}
	}
	if err := a.Receive(ctx, m, with...); err != nil {
		return nil, err
	}
	if m.Forget {
		clear(done)
	}
	stored := !s.fresh || m.Stored
	return func(ctx context.Context) { a.note(ctx, g, done, stored) }, nil
}

func (a *Assembler) note(ctx context.Context, g *Group, done map[int]donePart, stored bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	text, _ := json.Marshal(done) // texts
	err := a.State.Set(ctx, Entry{Key: a.Prefix + g.Name + "/done", Value: string(text), TTL: doneTTL})
	if err != nil {
		a.Logger.Warn("noting that a long message was received failed; it is received again when its parts would be given up",
			"message_id", g.ID, "error", err)
		return
	}
	a.drop(*g)
	if !stored {
		return
	}
	keys := []string{a.openKey(g.Name)}
	for n := range g.Total {
		keys = append(keys, a.partKey(g.Name, n+1))
	}
	if err := a.State.Delete(ctx, keys...); err != nil {
		a.Logger.Warn("forgetting the parts of a message failed; they expire", "error", err)
	}
}

// Flush waits until all that was received is noted.
func (a *Assembler) Flush() { a.notes.Wait() }

// find finds the groups that any process has begun: it may have ended since.
func (a *Assembler) find(ctx context.Context) error {
	from, to := a.openKey(""), strings.TrimSuffix(a.openKey(""), "/")+"0" // the octet after /
	for a.Open() < maxOpen {
		found, err := a.State.Range(ctx, from, to, findBatch)
		if err != nil {
			return fmt.Errorf("looking for messages whose parts are missing: %w", err)
		}
		if len(found) == 0 {
			break
		}
		from = found[len(found)-1].Key + " "
		a.mu.Lock()
		for _, e := range found {
			var g Group
			if json.Unmarshal([]byte(e.Value), &g) != nil {
				continue
			}
			if _, known := a.open[g.Name]; !known {
				a.open[g.Name] = g
			}
		}
		a.mu.Unlock()
	}
	return nil
}

// Sweep receives what is there of messages whose other parts have not come. It
// passes over those of which a part is being added. One call follows the other.
func (a *Assembler) Sweep(ctx context.Context, now time.Time) {
	if now.Sub(a.found) >= findEvery {
		a.found = now
		if err := a.find(ctx); err != nil && ctx.Err() == nil {
			a.Logger.Warn("finding unfinished messages failed; trying again", "error", err, "in", findEvery)
		}
	}
	for _, g := range a.Due(now) {
		if a.isBusy(g.Name) {
			continue
		}
		err := a.GiveUp(ctx, g)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !errors.Is(err, ErrElsewhere) {
			a.Logger.Warn("giving up a message whose parts did not come failed; trying again", "message_id", g.ID, "error", err)
		}
		a.mu.Lock()
		g.Deadline = time.Now().Add(giveUpAgain)
		a.open[g.Name] = g
		a.mu.Unlock()
	}
}

// Due returns the groups whose parts have waited for long enough, the longest
// first.
func (a *Assembler) Due(now time.Time) (list []Group) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.open {
		if g.Deadline.Before(now) {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b Group) int { return a.Deadline.Compare(b.Deadline) })
	return list
}

// Open returns how many groups wait for parts.
func (a *Assembler) Open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}

// GiveUp receives what is there of a message. Another process may have done so,
// and may have begun another of the same name, with time of its own.
func (a *Assembler) GiveUp(ctx context.Context, g Group) error {
	name := a.use(g.Name)
	defer a.leave(name)
	name.turn <- struct{}{}
	defer func() { <-name.turn }()
	ctx, cancel := context.WithTimeout(ctx, giveUpTimeout)
	defer cancel()
	found, err := a.look(ctx, g.Name, g.Total)
	if err != nil {
		return err
	}
	if found.group == nil || found.group.ID != g.ID || len(found.parts) == 0 {
		a.drop(g)
		return nil
	}
	_, mine, err := a.State.Add(ctx, Entry{Key: a.Prefix + g.Name + "/over/" + g.ID, TTL: giveUpAgain})
	switch {
	case err != nil:
		return fmt.Errorf("giving up a message whose parts did not come: %w", err)
	case !mine:
		return ErrElsewhere
	}
	if len(found.parts) < g.Total {
		a.Logger.Warn("parts of a message never came", "message_id", g.ID, "parts", len(found.parts), "of", g.Total)
	}
	note, err := a.receive(ctx, &found, true)
	if err == nil {
		note(ctx)
	}
	return err
}

// await remembers when a group is to be given up.
func (a *Assembler) await(s *groupState) {
	g := *s.group
	if len(s.parts) == g.Total {
		g.Deadline = time.Now().Add(DoubtWait)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[g.Name] = g
}

// drop forgets a group; one that has its name meanwhile stays.
func (a *Assembler) drop(g Group) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[g.Name].ID == g.ID {
		delete(a.open, g.Name)
	}
}

// groupState is what the store has of the messages of one name.
type groupState struct {
	name  string
	group *Group // nil when none is open
	fresh bool   // the group is not in the store
	parts map[int]*StoredPart
	done  map[int]donePart // of the last of this name that was received
}

// look finds what there is of a group, and of the one before it.
func (a *Assembler) look(ctx context.Context, name string, total int) (s groupState, err error) {
	keys := []string{a.openKey(name), a.Prefix + name + "/done"}
	for n := range total {
		keys = append(keys, a.partKey(name, n+1))
	}
	found, err := a.State.Get(ctx, keys...)
	if err != nil {
		return s, fmt.Errorf("looking for a message's parts: %w", err)
	}
	s.name, s.parts = name, map[int]*StoredPart{}
	_ = json.Unmarshal([]byte(found[keys[1]]), &s.done) // nothing where there is none
	if text := found[keys[0]]; text != "" {
		s.group = new(Group)
		if err := json.Unmarshal([]byte(text), s.group); err != nil {
			return s, fmt.Errorf("reading what is kept of a message's parts: %w", err)
		}
	}
	for n := range total {
		if p := readPart(found[a.partKey(name, n+1)]); p != nil && a.belongs(p, s.group) {
			s.parts[n+1] = p
		}
	}
	return s, nil
}

func (a *Assembler) belongs(p *StoredPart, g *Group) bool {
	if g == nil || !a.InOrder && p.doubtful() {
		return p.doubtful()
	}
	return p.group == g.ID
}

// doubtful: the part may be of the message before.
func (p *StoredPart) doubtful() bool { return p.group == "" }

// complete: all parts are there, without a doubt.
func (s *groupState) complete() bool {
	for _, p := range s.parts {
		if p.doubtful() {
			return false
		}
	}
	return len(s.parts) == s.group.Total
}

func readPart(text string) *StoredPart {
	var stored jsonPart
	if json.Unmarshal([]byte(text), &stored) != nil {
		return nil
	}
	read, err := pdu.Decode(stored.PDU)
	if err != nil {
		return nil
	}
	m := MessageOf(read.Body)
	if m == nil {
		return nil
	}
	return &StoredPart{Part: PartOf(m), ID: stored.ID, Body: read.Body, group: stored.Group}
}

func (a *Assembler) entry(name string, p *StoredPart) Entry {
	octets, _ := (&pdu.PDU{Body: p.Body}).AppendTo(nil) // what was decoded can be encoded
	text, _ := json.Marshal(jsonPart{PDU: octets, ID: p.ID, Group: p.group})
	ttl := a.ttl()
	if p.doubtful() {
		ttl = doneTTL
	}
	return Entry{Key: a.partKey(name, int(p.Seq)), Value: string(text), TTL: ttl}
}

// ttl is longer than the parts wait for each other, so that they are there when
// they are given up.
func (a *Assembler) ttl() time.Duration { return 2*a.Wait + time.Minute }

func nameOf(people string, p *StoredPart) string {
	return sum(fmt.Appendf(nil, "%s\x00%d\x00%t\x00%d", people, p.Reference, p.Wide, p.Total))
}

func (a *Assembler) openKey(name string) string { return a.Prefix + "open/" + name }

func (a *Assembler) partKey(name string, n int) string {
	return a.Prefix + name + "/" + strconv.Itoa(n)
}

func sum(octets []byte) string {
	full := sha256.Sum256(octets)
	return hex.EncodeToString(full[:16])
}

// name is the name of a message that is being worked on, by one after the other.
type name struct {
	text    string
	turn    chan struct{} // full while one works
	users   int           // guarded by the Assembler's mutex, as waiting
	waiting []*Adding
}

func (a *Assembler) use(text string) *name {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.busy[text]
	if n == nil {
		n = &name{text: text, turn: make(chan struct{}, 1)}
		a.busy[text] = n
	}
	n.users++
	return n
}

func (a *Assembler) leave(n *name) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left(n)
}

// left needs the mutex.
func (a *Assembler) left(n *name) {
	if n.users--; n.users == 0 {
		delete(a.busy, n.text)
	}
}

func (a *Assembler) isBusy(text string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.busy[text] != nil
}
