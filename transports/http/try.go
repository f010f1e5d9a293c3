package http

import (
	"context"
	"errors"
	"time"

	"switchboard/message"
)

// Tried is one request that sends a message, and what was understood of its
// answer, without secrets.
type Tried struct {
	Request string   `json:"request"`
	Answer  string   `json:"answer"`
	Took    string   `json:"took"`
	Class   Class    `json:"class"`
	IDs     []string `json:"ids,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

// Try sends a message once, whatever the line's state, and says what came of it.
// It ends at the first part that is not sent.
func (t *Transport) Try(ctx context.Context, m *message.Message) ([]Tried, error) {
	r, err := newRun(t, nil)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if r.channel.send == nil || r.channel.send.Fetched {
		return nil, errors.New("this channel sends nothing by itself")
	}
	var all []Tried
	texts := split(m.Content, r.channel.send.MaxLength)
	for i, text := range texts {
		one := &sending{Message: m, to: m.To}
		a, outcomes := r.ask(ctx, []*sending{one}, text, i+1, len(texts))
		o := outcomes[0]
		all = append(all, Tried{
			Request: t.mask.text(a.describeRequest()), Answer: t.mask.text(a.describe()), Took: a.took.Round(time.Millisecond).String(),
			Class: o.Class, IDs: o.IDs, Reason: o.Reason,
		})
		if o.Class != Sent && o.Class != Pending {
			break
		}
	}
	return all, ctx.Err()
}
