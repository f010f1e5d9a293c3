package smpp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"switchboard/smpp/pdu"
)

// Adding is a part that is being added to its message.
type Adding struct {
	a         *Assembler
	name      *name
	part      *StoredPart
	messageID string
	newID     func() (string, error)

	done chan struct{}
	id   string // once done is closed, as err
	err  error
}

// Add keeps a part, and receives the message when it is the last. People tells
// the messages of different senders and receivers apart. It returns the part's
// ID: newID's (nil gives none), or the one it had when it came before.
func (a *Assembler) Add(ctx context.Context, people string, body pdu.Body, newID func() (string, error)) (id string, err error) {
	return a.Enter(people, body, "", newID).Wait(ctx)
}

// Enter begins to add a part, and does not block; Wait must follow. Parts that
// have entered when one of them is waited for are added together: those that make a
// whole message are not stored before it is received. A message that begins with
// this part gets messageID, if it is given.
func (a *Assembler) Enter(people string, body pdu.Body, messageID string, newID func() (string, error)) *Adding {
	part := &StoredPart{Part: PartOf(MessageOf(body)), Body: body}
	p := &Adding{a: a, part: part, messageID: messageID, newID: newID, done: make(chan struct{})}
	p.name = a.use(nameOf(people, part))
	a.mu.Lock()
	defer a.mu.Unlock()
	p.name.waiting = append(p.name.waiting, p)
	return p
}

// Wait returns what Add does.
func (p *Adding) Wait(ctx context.Context) (id string, err error) {
	for {
		select {
		case <-p.done:
			return p.id, p.err
		default:
		}
		select {
		case <-p.done:
		case p.name.turn <- struct{}{}:
			select {
			case <-p.done: // meanwhile; the name may be forgotten, and begun anew
				<-p.name.turn
			default:
				p.a.work(ctx, p)
			}
		case <-ctx.Done():
			p.withdraw()
			return "", ctx.Err()
		}
	}
}

// withdraw takes back a part that nobody works on.
func (p *Adding) withdraw() {
	p.a.mu.Lock()
	defer p.a.mu.Unlock()
	if i := slices.Index(p.name.waiting, p); i >= 0 {
		p.name.waiting = slices.Delete(p.name.waiting, i, i+1)
		p.a.left(p.name)
	}
}

// settle says what became of a part, the first time.
func (p *Adding) settle(err error) {
	select {
	case <-p.done:
	default:
		p.id, p.err = p.part.ID, err
		close(p.done)
		p.a.leave(p.name)
	}
}

// work has the turn of a name, and ends it. The parts of a message that is received
// are answered before that is noted.
func (a *Assembler) work(ctx context.Context, p *Adding) {
	n := a.use(p.name.text)
	var note func(context.Context)
	defer func() {
		end := func() {
			<-n.turn
			a.leave(n)
		}
		if note == nil {
			end()
			return
		}
		a.notes.Go(func() {
			defer end()
			note(ctx)
		})
	}()
	note = a.addAll(ctx, n, int(p.part.Total))
}

// addAll adds the parts of a name that wait, up to the one that completes a
// message.
func (a *Assembler) addAll(ctx context.Context, n *name, total int) (note func(context.Context)) {
	s, err := a.look(ctx, n.text, total)
	list := a.take(n)
	outcome := errPanic
	defer func() {
		for _, p := range list {
			p.settle(outcome)
		}
	}()
	if err != nil {
		outcome = err
		return nil
	}
	var kept []*StoredPart // those that are not in the store
	for i, p := range list {
		complete, err := a.add(ctx, &s, p, &kept)
		switch {
		case err != nil:
			p.settle(err)
		case complete:
			a.putBack(n, list[i+1:])
			list = list[:i+1]
			note, outcome = a.receive(ctx, &s, false, a.entries(&s, kept)...)
			return note
		}
	}
	if len(kept) > 0 {
		note, err = a.join(ctx, &s, kept)
	}
	outcome = err
	return note
}

func (a *Assembler) take(n *name) []*Adding {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := n.waiting
	n.waiting = nil
	return list
}

func (a *Assembler) putBack(n *name, list []*Adding) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n.waiting = slices.Concat(list, n.waiting)
}

// add adds one part to what is known of its name. It reports whether the message
// is complete.
func (a *Assembler) add(ctx context.Context, s *groupState, p *Adding, kept *[]*StoredPart) (complete bool, err error) {
	part, seq := p.part, int(p.part.Seq)
	before := s.parts[seq]
	if before != nil && !before.doubtful() && !bytes.Equal(before.Payload, part.Payload) {
		a.Logger.Warn("another message has the reference of one whose parts are not all there; giving that up",
			"message_id", s.group.ID, "parts", len(s.parts), "of", s.group.Total)
		note, err := a.receive(ctx, s, true)
		if err != nil {
			return false, err
		}
		note(ctx)
		before, *kept, *s = nil, nil, groupState{name: s.name, parts: map[int]*StoredPart{}}
	}
	if s.group == nil {
		if done, known := s.done[seq]; known && done.Sum == sum(part.Payload) {
			part.ID, s.parts[seq] = done.ID, part
			*kept = append(*kept, part)
			return false, nil
		}
		if s.group, err = a.newGroup(p.name.text, p.messageID, int(part.Total)); err != nil {
			return false, err
		}
		s.fresh = true
		*kept = append(*kept, a.adopt(s, seq)...)
	}
	if again := before != nil && !before.doubtful(); again {
		part.ID = before.ID
		return s.complete(), nil
	}
	if p.newID != nil {
		if part.ID, err = p.newID(); err != nil {
			return false, err
		}
	}
	part.group, s.parts[seq] = s.group.ID, part
	*kept = append(*kept, part)
	return s.complete(), nil
}

// entries are what is to be stored of a message, parts that came again included.
func (a *Assembler) entries(s *groupState, kept []*StoredPart) (list []Entry) {
	if s.fresh {
		list = append(list, a.openEntry(s.group))
	}
	for _, part := range kept {
		list = append(list, a.entry(s.name, part))
	}
	return list
}

// join stores parts that do not complete their message, unless another process has
// stored those that are missing here meanwhile.
func (a *Assembler) join(ctx context.Context, s *groupState, kept []*StoredPart) (note func(context.Context), err error) {
	g := s.group
	var storing errgroup.Group
	storing.Go(func() error { return a.keep(ctx, s.name, kept) })
	if s.fresh {
		g, err = a.begin(ctx, g)
	}
	if failed := storing.Wait(); err != nil || failed != nil || g == nil {
		return nil, errors.Join(err, failed)
	}
	if g.ID != s.group.ID { // which another process began just now
		for _, part := range kept {
			if !part.doubtful() {
				part.group = g.ID
			}
		}
		if err := a.keep(ctx, s.name, kept); err != nil {
			return nil, err
		}
	}
	after, err := a.look(ctx, g.Name, g.Total)
	switch {
	case err != nil:
		return nil, err
	case after.group == nil || after.group.ID != g.ID:
		for _, part := range kept {
			if !part.doubtful() && after.done[int(part.Seq)].Sum != sum(part.Payload) {
				return nil, errTooLate
			}
		}
		return nil, nil
	case after.complete():
		return a.receive(ctx, &after, false)
	}
	a.await(&after)
	return nil, nil
}

func (a *Assembler) keep(ctx context.Context, name string, kept []*StoredPart) error {
	entries := make([]Entry, len(kept))
	for i, part := range kept {
		entries[i] = a.entry(name, part)
	}
	if err := a.State.Set(ctx, entries...); err != nil {
		return fmt.Errorf("keeping a part of a message: %w", err)
	}
	return nil
}
