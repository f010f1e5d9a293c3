package sqlstore

import (
	"iter"

	"switchboard/store"
)

// merge joins listings that are each newest first.
func merge(streams []iter.Seq2[store.Record, error]) iter.Seq2[store.Record, error] {
	if len(streams) == 1 {
		return streams[0]
	}
	return func(yield func(store.Record, error) bool) {
		var heads []head
		for _, stream := range streams {
			next, stop := iter.Pull2(stream)
			defer stop()
			heads = append(heads, head{next: next})
		}
		for {
			newest := -1
			for i := range heads {
				heads[i].fill()
				if heads[i].ok && (newest < 0 || heads[i].before(&heads[newest])) {
					newest = i
				}
			}
			if newest < 0 {
				return
			}
			h := &heads[newest]
			if h.full = false; !yield(h.record, h.err) || h.err != nil {
				return
			}
		}
	}
}

// head is the next record of a listing.
type head struct {
	next   func() (store.Record, error, bool)
	record store.Record
	err    error
	ok     bool
	full   bool
}

func (h *head) fill() {
	if !h.full {
		h.record, h.err, h.ok = h.next()
		h.full = true
	}
}

// before puts errors first: nothing after them is certain.
func (h *head) before(o *head) bool {
	if h.err != nil || o.err != nil {
		return h.err != nil
	}
	if !h.record.Date.Equal(o.record.Date) {
		return h.record.Date.After(o.record.Date)
	}
	return h.record.ID > o.record.ID
}
