// Package persistence is the worker that records all that passes the connectors of transports,
// in batches, and hands broadcasts over to the transports.
package persistence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/internal/msisdn"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/worker"
)

// Persistence is the worker's configuration.
type Persistence struct {
	worker.Settings `yaml:",inline"`
	// Transports are the connectors of the transports to record. All that passes on them is
	// recorded, whoever else consumes it.
	Transports options.Names `yaml:"transport_names"`
	// Exposed are the connectors of the applications whose receipts tell that
	// inbound messages were processed.
	Exposed options.Names `yaml:"exposed_names"`
	// Countries says whose national numbers a transport's are, as in {sms_za: ZA}
	// (ISO 3166). 0821234567 and +27821234567 are then one person in opt-outs, in a
	// broadcast's list and in look-ups. Without it the spellings of international numbers
	// are known alone.
	Countries options.Map[string] `yaml:"countries"`
	// RecordBatch is how many bodies are written at once, at most. Default 500.
	RecordBatch int `yaml:"record_batch"`
	// RetentionMonths is how many whole months are kept before the present
	// one; 0, the default, keeps everything.
	RetentionMonths int `yaml:"retention_months"`
	// Broadcasts says whether this worker hands broadcasts over. Default true.
	Broadcasts bool `yaml:"broadcasts"`
	// BroadcastTasks is how many batches of broadcasts are in flight at once. Default 8.
	BroadcastTasks int `yaml:"broadcast_tasks"`
}

// The defaults.
const (
	defaultRecordBatch = 500
	defaultTasks       = 8
	maxRecordBatch     = 5000
	// batchesAhead is how many batches are read ahead: one is written while the next one
	// fills.
	batchesAhead = 3
)

// New is a Persistence with its defaults.
func New() *Persistence {
	return &Persistence{
		Settings:    worker.DefaultSettings(),
		RecordBatch: defaultRecordBatch, Broadcasts: true, BroadcastTasks: defaultTasks,
	}
}

// IgnoredKeys are those that had a meaning once.
func (*Persistence) IgnoredKeys() map[string]string {
	return map[string]string{"record_wait": "what comes alone is recorded at once, and a stream in batches"}
}

// Common are the settings every worker has.
func (p *Persistence) Common() *worker.Settings { return &p.Settings }

// Validate checks the options.
func (p *Persistence) Validate() error {
	errs := []error{p.Settings.Validate()}
	if len(p.Transports) == 0 {
		errs = append(errs, options.Fieldf("transport_names", "is missing; name the transports to record"))
	}
	for key, names := range map[string][]string{"transport_names": p.Transports, "exposed_names": p.Exposed} {
		for _, name := range names {
			if err := worker.CheckConnector(name); err != nil {
				errs = append(errs, options.Field(err, key, name))
			}
		}
	}
	for _, of := range p.Countries {
		_, err := msisdn.Country(of.Value)
		if !slices.Contains(p.Transports, of.Key) {
			err = fmt.Errorf("is not one of transport_names%s", options.DidYouMean(of.Key, p.Transports))
		}
		if err != nil {
			errs = append(errs, options.Field(err, "countries", of.Key))
		}
	}
	if p.RecordBatch < 1 || p.RecordBatch > maxRecordBatch {
		errs = append(errs, options.Fieldf("record_batch", "must be between 1 and %d", maxRecordBatch))
	}
	if p.RetentionMonths < 0 {
		errs = append(errs, options.Fieldf("retention_months", "must not be negative"))
	}
	if p.BroadcastTasks < 1 {
		errs = append(errs, options.Fieldf("broadcast_tasks", "must be at least 1"))
	}
	return errors.Join(errs...)
}

// Worker makes the worker.
func (p *Persistence) Worker(env worker.Dependencies) (worker.Worker, error) {
	if env.Record == nil {
		return nil, message.Permanent(errors.New(
			"worker_class persistence needs a database: set DATABASE_URL to postgres://… or sqlite:PATH"))
	}
	return &recorder{Persistence: p, core: worker.Runtime{Dependencies: env, Settings: p.Settings}, db: env.Record}, nil
}

// recorder is the running worker.
type recorder struct {
	*Persistence
	core     worker.Runtime
	db       store.Database
	declared declarations
}

// Run records until ctx ends.
func (r *recorder) Run(ctx context.Context) error {
	if err := r.awaitSchema(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	jobs := []func(context.Context) error{r.consume, r.sweep, r.audit, r.watchSchema}
	if r.Broadcasts {
		jobs = append(jobs, r.relay, r.publishBatches)
	}
	return runAll(ctx, jobs)
}

// runAll runs jobs until all have ended; the first error ends the others.
func runAll(ctx context.Context, jobs []func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make(chan error, len(jobs))
	for _, job := range jobs {
		go func() {
			defer stop()
			errs <- worker.Protect(func() error { return job(ctx) })
		}()
	}
	var all []error
	for range jobs {
		if err := <-errs; err != nil && !errors.Is(err, context.Canceled) {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

const (
	schemaRetry = 3 * time.Second // while the database is out of reach
	schemaEvery = time.Minute     // between looks at the schema's version
)

// awaitSchema waits for a database that is out of reach, and fails for one with another
// schema. The queue keeps what passes meanwhile.
func (r *recorder) awaitSchema(ctx context.Context) error {
	for {
		err := r.db.Check(ctx)
		if err == nil {
			err = errors.Join(Recorded{r.Transports, r.Exposed}.Note(ctx, r.db), r.setCountries(ctx))
		}
		r.reportDatabase(ctx, err)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrSchemaOlder), errors.Is(err, store.ErrSchemaNewer):
			return message.Permanent(err)
		}
		r.core.Logger.Error("the database cannot be reached; the queue keeps what is to be recorded",
			"queue", r.queue().Name, "error", err, "again_in", schemaRetry)
		// Without the queue what passes now would be lost.
		if err := r.core.Broker.Declare(ctx, r.queue()); err != nil && ctx.Err() == nil {
			return fmt.Errorf("declaring %s: %w", r.queue().Name, err)
		}
		if !backoff.Sleep(ctx, schemaRetry) {
			return nil
		}
	}
}

// reportDatabase shows to operators whether the database is there.
func (r *recorder) reportDatabase(ctx context.Context, err error) {
	switch {
	case err == nil:
		r.core.Monitor.Report(worker.DependsOnDatabase, "record", message.OK, "")
	case ctx.Err() == nil:
		r.core.Monitor.Report(worker.DependsOnDatabase, "record", message.Down, err.Error())
	}
}

func (r *recorder) setCountries(ctx context.Context) error {
	for _, of := range r.Countries {
		if err := r.db.SetCountry(ctx, of.Key, of.Value); err != nil {
			return err
		}
	}
	return nil
}

// watchSchema ends the worker when the database was migrated while it ran: newer programs do
// not read what it would write.
func (r *recorder) watchSchema(ctx context.Context) error {
	for {
		if !backoff.Sleep(ctx, schemaEvery) {
			return nil
		}
		err := r.db.Check(ctx)
		r.reportDatabase(ctx, err)
		if errors.Is(err, store.ErrSchemaOlder) || errors.Is(err, store.ErrSchemaNewer) {
			return message.Permanent(fmt.Errorf("the database was migrated while this worker ran: %w", err))
		}
	}
}

// queue is bound to the same keys as the queues of dispatchers and transports: the one publish
// that a transport waits for puts a message on both.
func (r *recorder) queue() broker.Queue {
	q := broker.Queue{Name: RecordQueue(r.core.Name), Type: r.QueueType}
	for _, name := range r.Transports {
		for _, flow := range [...]message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			q.Keys = append(q.Keys, message.Key(name, flow))
		}
	}
	for _, name := range slices.Concat(r.Transports, r.Exposed) {
		q.Keys = append(q.Keys, message.ReceiptKey(name))
	}
	return q
}

const sweepEvery = time.Hour

// sweep deletes months that are older than the retention.
func (r *recorder) sweep(ctx context.Context) error {
	if r.RetentionMonths == 0 {
		<-ctx.Done()
		return nil
	}
	for {
		dropped, err := r.db.Retention(ctx, r.RetentionMonths)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.core.Logger.Warn("deleting old records failed; trying again later", "error", err, "in", sweepEvery)
		case dropped > 0:
			r.core.Logger.Info("deleted old records", "retention_months", r.RetentionMonths, "dropped", dropped)
		}
		if !backoff.Sleep(ctx, sweepEvery) {
			return nil
		}
	}
}
