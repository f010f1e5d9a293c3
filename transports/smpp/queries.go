package smpp

import (
	"context"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/transports/smpp/submissions"
)

const (
	// queryEvery is how often due queries are looked for, or sooner where
	// query_after is short.
	queryEvery = time.Second
	queryShare = 4
	// queryBatch is how many due queries are looked at together, and maxQueries how
	// many of these are asked; the others are postponed.
	queryBatch = 500
	maxQueries = 100
	// queriesAtOnce is how many query_sm are unanswered at once.
	queriesAtOnce = 5
	// rateShare is the part of mt_tps that is left to query_sm.
	rateShare = 0.1
)

// querier asks the SMSC, by query_sm, about messages whose final receipt is
// missing.
type querier struct {
	*engine
	pace *rate.Limiter
}

var errNoQueries = errors.New("the SMSC knows no query_sm")

// queryLoop asks about what has fallen due until ctx ends, or until the SMSC says
// that it cannot be asked.
func (e *engine) queryLoop(ctx context.Context) {
	q := &querier{engine: e, pace: rate.NewLimiter(e.options.queryRate(), 1)}
	tick := time.NewTicker(max(time.Millisecond, min(queryEvery, e.options.QueryAfter.Std()/queryShare)))
	defer tick.Stop()
	for ctx.Err() == nil {
		more := false
		err := e.guard("asking about messages", func() (err error) {
			more, err = q.queryDue(ctx)
			return err
		})
		switch {
		case errors.Is(err, errNoQueries):
			e.logger.Error("the SMSC does not know query_sm and is asked no more; set query_after to 0")
			return
		case err != nil && ctx.Err() == nil:
			e.logger.Warn("asking about messages failed; trying again", "error", err)
		case more && err == nil:
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (o *Options) queryRate() rate.Limit {
	most := rate.Limit(o.QueryTPS)
	if o.MTTPS > 0 {
		most = min(most, rate.Limit(float64(o.MTTPS*o.Binds)*rateShare))
	}
	return most
}

// queryDue asks about the messages that fell due first, and postpones those that
// are too many. More says that others may be due.
func (q *querier) queryDue(ctx context.Context) (more bool, err error) {
	due, more, err := q.submissions.Due(ctx, queryBatch)
	if err != nil {
		return false, err
	}
	now := due[:min(len(due), maxQueries)]
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(queriesAtOnce)
	for _, one := range now {
		group.Go(func() error {
			return q.guard("asking about a message", func() error { return q.query(each, one) })
		})
	}
	later := due[len(now):]
	for range later {
		q.metrics.query("postponed")
	}
	return more, errors.Join(q.submissions.Postpone(ctx, later...), group.Wait())
}

// query asks about one message, unless another replica does.
func (q *querier) query(ctx context.Context, one *submissions.Query) error {
	if mine, err := q.submissions.Claim(ctx, one); err != nil || !mine {
		return err
	}
	if err := q.pace.Wait(ctx); err != nil {
		return err
	}
	frame, err := q.queryFrame(one)
	if err != nil {
		q.logger.Warn("a message cannot be asked about", "message_id", one.Part.ID, "error", err)
		one.Refused = submissions.MaxRefusals
		return q.submissions.Postpone(ctx, one)
	}
	t := &ticket{frame: frame, query: true, outcome: make(chan outcome, 1)}
	q.gate.submit(t, false)
	o, err := q.gate.await(ctx, t)
	if err != nil {
		return err
	}
	switch {
	case o.status == pdu.StatusInvCmdID:
		return errNoQueries
	case o.unknown || o.status.Throttling():
		q.metrics.query("unanswered")
	case o.status != pdu.StatusOK:
		q.metrics.query("refused")
		one.Refused++
	default:
		if r := q.receiptOf(o.state); r.Status.Final() {
			q.metrics.query("final")
			return q.submissions.Queried(ctx, one, r)
		}
		q.metrics.query("pending")
	}
	one.Asked++
	return q.submissions.Postpone(ctx, one)
}

// queryFrame encodes the query_sm. Its source address must be the submit_sm's
// (§4.8.1).
func (e *engine) queryFrame(q *submissions.Query) ([]byte, error) {
	source, err := e.options.source(q.Part.From)
	if err != nil {
		return nil, err
	}
	p := &pdu.PDU{Body: &pdu.QuerySM{MessageID: q.ID, Source: source}}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p.AppendTo(nil)
}

// receiptOf is the receipt that the SMSC might have sent. In answers, ACCEPTED is
// what SMSCs say of messages that are underway.
func (e *engine) receiptOf(answer *pdu.QuerySMResp) submissions.Receipt {
	r := submissions.Receipt{Status: e.parser.Statuses.OfState(answer.State), Raw: answer.State.String()}
	if answer.State == pdu.StateAccepted {
		r.Status = receipt.Pending
	}
	if answer.ErrorCode != 0 {
		r.Error = strconv.Itoa(int(answer.ErrorCode))
	}
	if at, err := pdu.ParseTime(answer.FinalDate); err == nil && !at.Relative {
		r.Done = at.Moment
	}
	return r
}
