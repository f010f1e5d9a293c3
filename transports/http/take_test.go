package http

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	statememory "switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

// slowRange answers with what was there when it was asked.
type slowRange struct {
	*statememory.State
	answer chan struct{}
}

func (s slowRange) Range(ctx context.Context, from, to string, limit int) ([]store.Entry, error) {
	found, err := s.State.Range(ctx, from, to, limit)
	<-s.answer
	return found, err
}

// Of two parts that come at once, each may be stored after the other looked.
func TestTwoPartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := slowRange{statememory.New(), make(chan struct{})}
		defer state.Close()
		tr, out := New(), transporttest.NewPublisher()
		tr.ReassemblyTTL, tr.RememberReceived = options.Duration(time.Minute), options.Duration(time.Minute)
		tr.env = transports.Env{Now: time.Now}
		r := &run{transport: tr, publisher: out, memory: &memory{state: store.NewBatcher(state, store.BatchSettings{}), options: tr}}
		r.memory.deliveries = transports.NewDeliveries(t.Context(), r.memory.state, time.Minute, slog.New(slog.DiscardHandler))
		part := func(number int, text string) {
			m := message.New()
			m.Content = text
			if err := r.takePart(t.Context(), &inbound{Message: m, join: "j", number: number, total: 2}); err != nil {
				t.Error(err)
			}
		}
		go part(1, "hello ")
		synctest.Wait()
		go part(2, "world")
		synctest.Wait()
		close(state.answer)
		synctest.Wait()
		list := out.All()
		if len(list) != 1 || list[0].Content != "hello world" {
			t.Errorf("received %v", list)
		}
	})
}
