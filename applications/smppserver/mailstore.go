package smppserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
)

// letter is a mail's content.
type letter struct {
	ID   string // of the message it is about, or is
	Kind string // one of the kind constants
	Body *pdu.DeliverSM
}

const (
	kindReceipt = "receipt"
	kindMessage = "message"
)

// storedMail is a mail as the store has it.
type storedMail struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"`
	Until time.Time `json:"until"`
	PDU   []byte    `json:"pdu"`
}

func (l *letter) encode(until time.Time) (string, error) {
	octets, err := (&pdu.PDU{Body: l.Body}).AppendTo(nil)
	if err != nil {
		return "", message.Permanent(fmt.Errorf("writing deliver_sm: %w", err))
	}
	text, err := json.Marshal(storedMail{ID: l.ID, Kind: l.Kind, Until: until, PDU: octets})
	return string(text), err
}

func decodeMail(text string) (letter, time.Time, error) {
	var s storedMail
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return letter{}, time.Time{}, err
	}
	p, err := pdu.Decode(s.PDU)
	if err != nil {
		return letter{}, s.Until, err
	}
	body, ok := p.Body.(*pdu.DeliverSM)
	if !ok {
		return letter{}, s.Until, errors.New("it is no deliver_sm")
	}
	return letter{ID: s.ID, Kind: s.Kind, Body: body}, s.Until, nil
}

func (b *mailbox) fetch(ctx context.Context, from, to uint64) (mails []*mail, err error) {
	var keys []string
	for n := from; n < to; n++ {
		keys = append(keys, b.key(n))
	}
	found, err := b.state.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("fetching what waits for a customer: %w", err)
	}
	for i, key := range keys {
		if text, there := found[key]; there {
			_, until, _ := decodeMail(text)
			mails = append(mails, &mail{number: from + uint64(i), until: until})
		}
	}
	return mails, nil
}

// open is a mail's content, nil when the store has it no more. With it the
// contents of those behind are fetched.
func (b *mailbox) open(ctx context.Context, m *mail) (*letter, error) {
	b.mu.Lock()
	content, missing := m.content, []*mail{}
	for i := 0; content == nil && i < len(b.mails) && len(missing) < atHand; i++ {
		if at := b.mails[i]; at.number >= m.number && at.content == nil {
			missing = append(missing, at)
		}
	}
	b.mu.Unlock()
	if content != nil {
		return content, nil
	}
	keys := make([]string, len(missing))
	for i, at := range missing {
		keys[i] = b.key(at.number)
	}
	found, err := b.state.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("fetching what waits for a customer: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, at := range missing {
		if l, _, err := decodeMail(found[keys[i]]); err == nil {
			at.content = &l
		}
	}
	return m.content, nil
}
