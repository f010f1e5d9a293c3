package http

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/store"
)

const (
	// pollEvery is how often the provider is asked, where the description does not
	// say; pollMax how long it is left alone after failures.
	pollEvery = 30 * time.Second
	pollMax   = 5 * time.Minute
	// The wait before what was fetched is published again.
	publishRetryMin = 100 * time.Millisecond
	publishRetryMax = 5 * time.Second
)

// poll asks the provider for what has come until ctx ends.
func (r *run) poll(ctx context.Context, p *poll, number int) {
	failing := backoff.Backoff{Min: time.Second, Max: pollMax}
	for ctx.Err() == nil {
		err := r.pollOnce(ctx, p, "cursor/"+strconv.Itoa(number))
		switch {
		case err == nil:
			failing.Reset()
			r.reachable()
			backoff.Sleep(ctx, cmp.Or(p.Every.Std(), pollEvery))
		case ctx.Err() == nil:
			r.unreachable(err)
			r.reject("poll", "error", r.transport.mask.text(err.Error()))
			failing.Wait(ctx)
		}
	}
}

// pollOnce asks once. The cursor moves on when the broker has what came before it.
func (r *run) pollOnce(ctx context.Context, p *poll, key string) error {
	found, err := r.memory.state.Get(ctx, key)
	if err != nil {
		return err
	}
	s := r.channel.settings.with(scope{"cursor": found[key]})
	a := r.call(ctx, &p.call, s)
	if a.err != nil {
		return a.err
	}
	if a.status < 200 || a.status > 299 {
		problem := r.channel.problems.of("", a.status)
		return fmt.Errorf("asking for messages: %s", problem.Sentence(codeOr("", a.status), ""))
	}
	s = r.answerScope(s, &p.call, a)
	t, err := r.pickAll(p.messages, p.receipts, s)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if err := r.takeFetched(ctx, t); err != nil {
		return err
	}
	if len(t.messages)+len(t.receipts) > 0 {
		r.log.polled(a, t)
	}
	return r.moveOn(ctx, p, s, key)
}

// takeFetched insists until the broker has everything: some providers hand it out only
// once. A stop leaves it the transport's stopGrace.
func (r *run) takeFetched(ctx context.Context, t *taken) error {
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		backoff.Sleep(work, r.transport.stopGrace)
		giveUp()
	})()
	for _, m := range t.messages {
		if err := r.insist(work, &taken{messages: []*inbound{m}}); err != nil {
			return err
		}
	}
	for _, found := range t.receipts {
		if err := r.insist(work, &taken{receipts: []*receipt{found}}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) insist(ctx context.Context, t *taken) error {
	retry := backoff.Backoff{Min: publishRetryMin, Max: publishRetryMax}
	for {
		err := r.takeAll(ctx, t)
		switch {
		case err == nil:
			return nil
		case message.IsPermanent(err):
			r.reject("poll", "error", r.transport.mask.text(err.Error()))
			return nil
		}
		r.logger.Warn("publishing what was fetched failed; trying again", "error", err)
		if !retry.Wait(ctx) {
			return err
		}
	}
}

func (r *run) moveOn(ctx context.Context, p *poll, s scope, key string) error {
	cursor := ""
	for _, m := range p.messages {
		err := items(s["body"], m.Each, func(it, up any) error {
			next, err := p.cursor.text(s.with(scope{"it": it, "up": up}))
			cursor = cmp.Or(next, cursor)
			return err
		})
		if err != nil {
			return err
		}
	}
	if cursor == "" {
		return nil
	}
	return r.memory.state.Set(ctx, store.Entry{Key: key, Value: cursor})
}
