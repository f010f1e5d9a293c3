// Package scheduler is the worker that sends texts at the times its file gives, as
// `switchboard send` does by hand. Replicas share a database: each time is one
// broadcast, whichever of them stores it.
package scheduler

import (
	"errors"
	"time"

	"github.com/robfig/cron/v3"

	"switchboard/fleet"
	"switchboard/internal/schedule"
	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// Scheduler is the worker's configuration.
type Scheduler struct {
	worker.Settings `yaml:",inline"`
	// Schedules are the texts, by names of your choice.
	Schedules options.Map[Schedule] `yaml:"schedules"`
	// Timezone is the zone of their times. Default UTC. Example: `Africa/Johannesburg`.
	Timezone string `yaml:"timezone"`
	// MaxLate is how late a text is still sent when no scheduler ran, or no database
	// answered, at its time. Of several such times the last counts. Default 1h.
	MaxLate options.Duration `yaml:"max_late"`

	plans []plan // by Validate
}

// Schedule is a text, its times, and whom it goes to.
type Schedule struct {
	// Cron is when: minute, hour, day of the month, month, day of the week.
	// Example: `0 8 * * mon-fri`.
	Cron string `yaml:"cron"`
	// At is the one time, in place of cron. Example: `2026-12-24 18:00`.
	At string `yaml:"at"`
	// Transport is the transport to send by, where the list does not say.
	Transport string `yaml:"transport"`
	// To are the addresses.
	To options.Names `yaml:"to"`
	// FromFile is a CSV file of addresses, in place of to, as `switchboard send` takes
	// it. It is read anew each time.
	FromFile string `yaml:"from_file"`
	// From is the from_addr of the messages.
	From string `yaml:"from_addr"`
	// Endpoint is where they are sent on; default default.
	Endpoint string `yaml:"endpoint"`
	// Text is what is sent; {{name}} is a column of the file.
	Text string `yaml:"text"`
	// Rate is how many messages are sent in a second at most. Default 0: no limit.
	Rate float64 `yaml:"rate"`
}

var _ fleet.Unqueued = (*Scheduler)(nil)

// plan is a schedule that was checked.
type plan struct {
	Schedule
	name  string
	times times
}

// times are when a schedule is due.
type times interface {
	// Next is the first time after t; zero when there is none.
	Next(t time.Time) time.Time
}

// once is a single time.
type once time.Time

func (o once) Next(t time.Time) time.Time {
	if t.Before(time.Time(o)) {
		return time.Time(o)
	}
	return time.Time{}
}

// The bounds of max_late: a little late is always, and no time is looked for further back.
const (
	leastLate = time.Minute
	mostLate  = 24 * time.Hour
)

// New is a Scheduler with its defaults.
func New() *Scheduler {
	return &Scheduler{Settings: worker.DefaultSettings(), Timezone: "UTC", MaxLate: options.Duration(time.Hour)}
}

// Common are the settings every worker has.
func (s *Scheduler) Common() *worker.Settings { return &s.Settings }

// Validate checks the options.
func (s *Scheduler) Validate() error {
	errs := []error{s.Settings.Validate()}
	if len(s.Schedules) == 0 {
		errs = append(errs, options.Fieldf("schedules", "is missing; give at least one"))
	}
	if s.MaxLate.Std() < leastLate || s.MaxLate.Std() > mostLate {
		errs = append(errs, options.Fieldf("max_late", "must be between %s and %s", leastLate, mostLate))
	}
	zone, err := schedule.Zone(s.Timezone)
	if err != nil {
		return errors.Join(append(errs, options.Field(err, "timezone"))...)
	}
	s.plans = nil
	for _, pair := range s.Schedules {
		times, err := pair.Value.check(zone)
		errs = append(errs, options.Under(err, "schedules", pair.Key))
		s.plans = append(s.plans, plan{pair.Value, pair.Key, times})
	}
	return errors.Join(errs...)
}

// fields are those of a line of cron's: no seconds, no @every, whose times nobody shares.
const fields = cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow

func (s *Schedule) check(zone *time.Location) (when times, err error) {
	switch {
	case (s.Cron == "") == (s.At == ""):
		err = options.Fieldf("cron", "or at must say when, one of them")
	case s.Cron != "":
		if when, err = cron.NewParser(fields).Parse(s.Cron); err != nil {
			err = options.Fieldf("cron", "is %q; write minute, hour, day, month and day of the week, as in 0 8 * * mon-fri: %w", s.Cron, err)
		} else {
			when = inZone{when, zone}
		}
	default:
		var at time.Time
		if at, err = time.ParseInLocation("2006-01-02 15:04", s.At, zone); err != nil {
			err = options.Fieldf("at", "is %q; write it like 2026-12-24 18:00", s.At)
		}
		when = once(at)
	}
	errs := []error{err}
	if s.Text == "" {
		errs = append(errs, options.Fieldf("text", "is missing"))
	}
	if (len(s.To) == 0) == (s.FromFile == "") {
		errs = append(errs, options.Fieldf("to", "or from_file must say to whom, one of them"))
	}
	if s.Transport == "" && len(s.To) > 0 {
		errs = append(errs, options.Fieldf("transport", "is missing"))
	} else if err := worker.CheckConnector(s.Transport); s.Transport != "" && err != nil {
		errs = append(errs, options.Field(err, "transport"))
	}
	if s.Rate < 0 {
		errs = append(errs, options.Fieldf("rate", "must not be negative"))
	}
	return when, errors.Join(errs...)
}

// inZone reads times by the clock of a zone.
type inZone struct {
	times
	zone *time.Location
}

func (z inZone) Next(t time.Time) time.Time { return z.times.Next(t.In(z.zone)) }

// Unqueued says that times are all it waits for.
func (*Scheduler) Unqueued() {}

// Worker makes the worker.
func (s *Scheduler) Worker(env worker.Dependencies) (worker.Worker, error) {
	if env.Record == nil {
		return nil, message.Permanent(errors.New("worker_class scheduler needs a database: set DATABASE_URL to postgres://… or sqlite:PATH"))
	}
	return newRunner(s, env)
}

// due is the last time after settled that is not too late, how many before it were
// missed, and the next one to wait for.
func due(when times, settled, now time.Time, maxLate time.Duration) (at time.Time, missed int, next time.Time) {
	t := settled
	if oldest := now.Add(-maxLate - 1); t.Before(oldest) {
		if first := when.Next(t); !first.IsZero() && !first.After(oldest) {
			missed++ // at least one
		}
		t = oldest
	}
	for {
		next = when.Next(t)
		if next.IsZero() || next.After(now) {
			return at, missed, next
		}
		if !at.IsZero() {
			missed++
		}
		at, t = next, next
	}
}

func (p *plan) words() string {
	if p.At != "" {
		return p.At
	}
	return p.Cron
}
