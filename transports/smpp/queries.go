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
	"switchboard/transports/smpp/binds"
	"switchboard/transports/smpp/submissions"
)

const (
	// queryEvery is how often due queries are looked for; sooner for a short query_after.
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
	shared
	pace    *rate.Limiter
	refused bool // the SMSC knows no query_sm
}

var errNoQueries = errors.New("the SMSC knows no query_sm")

// sweep asks about what has fallen due, until the SMSC says that it cannot be asked.
func (q *querier) sweep(ctx context.Context, _ time.Time) {
	for !q.refused {
		more, err := q.queryDue(ctx)
		switch {
		case errors.Is(err, errNoQueries):
			q.logger.Error("the SMSC does not know query_sm and is asked no more; set query_after to 0")
			q.refused = true
		case err != nil && ctx.Err() == nil:
			q.logger.Warn("asking about messages failed; trying again", "error", err)
		}
		if !more || err != nil {
			return
		}
	}
}

// queryPause is how long it is between two sweeps.
func (o *Options) queryPause() time.Duration {
	return max(time.Millisecond, min(queryEvery, o.QueryAfter.Std()/queryShare))
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
			err := q.guard("asking about a message", func() error { return q.query(each, one) })
			if err == nil || errors.Is(err, errNoQueries) || each.Err() != nil {
				return err
			}
			q.logger.Warn("asking about a message failed; trying again", "smsc_message_id", one.ID, "error", err)
			return nil // the others go on
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
	source, err := q.options.source(one.Part.From) // it must be the submit_sm's (§4.8.1)
	body := &pdu.QuerySM{MessageID: one.ID, Source: source}
	if err = errors.Join(err, (&pdu.PDU{Body: body}).Validate()); err != nil {
		q.logger.Warn("a message cannot be asked about", "message_id", one.Part.ID, "error", err)
		one.Refused = submissions.MaxRefusals
		return q.submissions.Postpone(ctx, one)
	}
	r, err := q.ask(ctx, body)
	if err != nil {
		return err
	}
	switch {
	case r.Status == pdu.StatusInvCmdID:
		return errNoQueries
	case r.Unanswered != nil || r.Status.Throttling():
		q.metrics.query("unanswered")
	case r.Status != pdu.StatusOK:
		q.metrics.query("refused")
		one.Refused++
	default:
		if found := q.receiptOf(r.Query); found.Status.Final() {
			q.metrics.query("final")
			return q.submissions.Queried(ctx, one, found)
		}
		q.metrics.query("pending")
	}
	one.Asked++
	return q.submissions.Postpone(ctx, one)
}

// ask waits for the answer to a query_sm.
func (q *querier) ask(ctx context.Context, body pdu.Body) (r binds.Result, err error) {
	answered := make(chan binds.Result, 1)
	query := &binds.Submit{Body: body, Query: true, Done: func(r binds.Result) {
		if !r.Late {
			answered <- r
		}
	}}
	q.queue.Submit(query)
	select {
	case r = <-answered:
		return r, nil
	case <-ctx.Done():
		q.queue.Abandon(query)
		return r, ctx.Err()
	case <-q.queue.Stopped():
		return r, submissions.ErrStopped
	}
}

// receiptOf is the receipt that the SMSC might have sent. In answers, ACCEPTED is pending.
func (q *querier) receiptOf(answer *pdu.QuerySMResp) submissions.Receipt {
	r := submissions.Receipt{Status: q.parsed.receipts.Statuses.OfState(answer.State), Raw: answer.State.String()}
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
