package submissions

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"switchboard/store"
)

const (
	// queryClaim is how long other replicas leave a query to the one that asks.
	queryClaim = time.Minute
	// MaxRefusals is how often an SMSC may refuse to say what became of a message
	// before it is asked no more.
	MaxRefusals = 3
	// maxQueryPause is the longest time between two queries about a message.
	maxQueryPause = 24 * time.Hour
)

// Query is an accepted part whose final receipt is missing: the SMSC is asked about it by
// query_sm (§4.8). Queries are in the state store, in the order in which they fall due.
type Query struct {
	ID      string `json:"id"`          // as the SMSC spelt it
	Asked   int    `json:"n,omitempty"` // how often
	Refused int    `json:"r,omitempty"` // how often the SMSC did not say

	Part Part `json:"-"`
	name string
}

// firstQuery is the query about a part that was accepted, where one may be wanted.
func (s *Store) firstQuery(row submission, id string) []store.Entry {
	if s.QueryAfter == 0 || row.NoReceipt || row.Ambiguous {
		return nil
	}
	return []store.Entry{s.queryEntry(&Query{ID: id})}
}

// queryEntry falls due twice as late each time. Its key has the due time in Unix
// milliseconds of 13 digits.
func (s *Store) queryEntry(q *Query) store.Entry {
	pause := s.QueryAfter
	for range q.Asked {
		pause = min(2*pause, max(s.QueryAfter, maxQueryPause))
	}
	due := time.Now().Add(pause).UnixMilli()
	return entry(fmt.Sprintf("%sask/%013d/%s", s.Prefix, due, s.ids.stored(q.ID)), q, s.IDTTL)
}

// Due returns the queries that fell due first, at most limit, and whether there
// may be more. Those whose final receipt came are forgotten.
func (s *Store) Due(ctx context.Context, limit int) (due []*Query, more bool, err error) {
	prefix := s.Prefix + "ask/"
	entries, err := s.State.Range(ctx, prefix, fmt.Sprintf("%s%013d", prefix, time.Now().UnixMilli()), limit)
	if err != nil || len(entries) == 0 {
		return nil, false, err
	}
	all, keys := make([]*Query, len(entries)), make([]string, len(entries))
	for i, e := range entries {
		all[i] = &Query{name: strings.TrimPrefix(e.Key, prefix)}
		if err := json.Unmarshal([]byte(e.Value), all[i]); err != nil {
			s.Logger.Warn("a row of the SMPP state cannot be read", "key", e.Key, "error", err)
		}
		keys[i] = s.idKey(all[i].ID)
	}
	found, err := s.State.Get(ctx, keys...)
	if err != nil {
		return nil, false, err
	}
	var over []*Query
	for i, q := range all {
		if row, open := s.open(found, keys[i]); open {
			q.Part = row.Part
			due = append(due, q)
		} else {
			over = append(over, q)
		}
	}
	return due, len(entries) == limit, s.forgetQueries(ctx, over...)
}

// open reads the row of an id whose one message waits for its final receipt. Of
// an ambiguous id no answer would say which message it is about.
func (s *Store) open(found map[string]string, key string) (row submission, open bool) {
	row, ok := read[submission](s, found, key)
	return row, ok && row.open() && !row.Ambiguous
}

// Claim is true for the one replica that is to ask.
func (s *Store) Claim(ctx context.Context, q *Query) (mine bool, err error) {
	_, mine, err = s.State.Add(ctx, store.Entry{Key: s.Prefix + "asking/" + q.name, TTL: queryClaim})
	return mine, err
}

// Postpone leaves queries for later; those that the SMSC has refused too often are
// forgotten.
func (s *Store) Postpone(ctx context.Context, list ...*Query) error {
	var entries []store.Entry
	for _, q := range list {
		if q.Refused < MaxRefusals {
			entries = append(entries, s.queryEntry(q))
		}
	}
	if len(entries) > 0 {
		if err := s.State.Set(ctx, entries...); err != nil {
			return err
		}
	}
	return s.forgetQueries(ctx, list...)
}

func (s *Store) forgetQueries(ctx context.Context, list ...*Query) error {
	if len(list) == 0 {
		return nil
	}
	keys := make([]string, len(list))
	for i, q := range list {
		keys[i] = s.Prefix + "ask/" + q.name
	}
	return s.State.Delete(ctx, keys...)
}

// Queried takes the SMSC's final answer to a query as the receipt that is missing,
// unless it came meanwhile. The receipt's ID and addresses are filled in.
func (s *Store) Queried(ctx context.Context, q *Query, r Receipt) error {
	key := s.idKey(q.ID)
	found, err := s.State.Get(ctx, key)
	if err != nil {
		return err
	}
	if row, open := s.open(found, key); open {
		r.ID, r.From, r.To, r.Reference = q.ID, row.To, row.From, row.Reference()
		if err := s.report(ctx, match{submission: row, key: key, by: "query"}, r); err != nil {
			return err
		}
	}
	return s.forgetQueries(ctx, q)
}
