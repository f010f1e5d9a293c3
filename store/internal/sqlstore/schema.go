package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"switchboard/internal/backoff"
	"switchboard/store"
)

// Version is the version of the database's schema, and the one the program wants.
func (db *DB) Version(ctx context.Context) (current, latest int64, err error) {
	if latest, err = db.latest(); err != nil {
		return 0, 0, err
	}
	current, err = db.current(ctx)
	return current, latest, err
}

// latest is the newest version among the migrations.
func (db *DB) latest() (latest int64, err error) {
	files, err := fs.Glob(db.migrations, "*.sql")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		n, err := goose.NumericComponent(file)
		if err != nil {
			return 0, fmt.Errorf("reading migration's number: %w", err)
		}
		latest = max(latest, n)
	}
	return latest, nil
}

// current is 0 for a database that was never migrated.
func (db *DB) current(ctx context.Context) (int64, error) {
	var version sql.NullInt64
	exists := false
	err := db.Write.QueryRowContext(ctx, db.Dialect.HasVersionTable()).Scan(&exists)
	if err == nil && exists {
		err = db.Write.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	}
	if err != nil {
		return 0, fmt.Errorf("reading schema version: %w", err)
	}
	return version.Int64, nil
}

// Check fails with store.ErrSchemaOlder or store.ErrSchemaNewer when the schema is not
// the one the program wants.
func (db *DB) Check(ctx context.Context) error {
	current, latest, err := db.Version(ctx)
	switch {
	case err != nil:
		return err
	case current > latest:
		return fmt.Errorf("%w: it has version %d, this program knows %d", store.ErrSchemaNewer, current, latest)
	case current < latest:
		return fmt.Errorf("%w: it has version %d, this program wants %d", store.ErrSchemaOlder, current, latest)
	}
	return nil
}

// Up applies the migrations that the database lacks.
func (db *DB) Up(ctx context.Context, dialect goose.Dialect, options ...goose.ProviderOption) error {
	options = append(options, goose.WithDisableGlobalRegistry(true))
	p, err := goose.NewProvider(dialect, db.Write, db.migrations, options...)
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	_, err = p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) && partial.Failed != nil {
		return fmt.Errorf("migrating to version %d: %w", partial.Failed.Source.Version, partial.Err)
	}
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}

// Rows are partitioned by the month of their own timestamp. Absurd timestamps are undated.
const (
	undated     = 0
	monthsBack  = 24
	monthsAhead = 1
)

func monthOf(t time.Time) int64 {
	t = t.UTC()
	return int64(t.Year())*100 + int64(t.Month())
}

func addMonths(month int64, n int) int64 {
	count := month/100*12 + month%100 - 1 + int64(n)
	return count/12*100 + count%12 + 1
}

// keyMonth is the month whose partition keeps a row with the timestamp t.
func keyMonth(t, now time.Time) int64 {
	month, this := monthOf(t), monthOf(now)
	if month < addMonths(this, -monthsBack) || month > addMonths(this, monthsAhead) {
		return undated
	}
	return month
}

// months caches which partitions exist.
type months struct {
	mu    sync.Mutex
	known map[int64]bool
}

func (m *months) missing(wanted []int64) (missing []int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, month := range wanted {
		if month != undated && !m.known[month] && !slices.Contains(missing, month) {
			missing = append(missing, month)
		}
	}
	return missing
}

func (m *months) add(months []int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[int64]bool{}
	}
	for _, month := range months {
		m.known[month] = true
	}
}

func (m *months) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = nil
}

// ensureMonths makes the partitions that are not known to exist.
func (db *DB) ensureMonths(ctx context.Context, wanted []int64) error {
	missing := db.months.missing(wanted)
	if len(missing) == 0 {
		return nil
	}
	err := db.retry(ctx, func() error { return db.Dialect.MakeMonths(ctx, db.Write, missing) })
	if err != nil {
		return fmt.Errorf("making months: %w", err)
	}
	db.months.add(missing)
	return nil
}

// MakeAhead makes the partitions of this month and the next, so that no recorder waits for
// them.
func (db *DB) MakeAhead(ctx context.Context) error {
	this := monthOf(time.Now())
	wanted := []int64{this}
	for n := range monthsAhead {
		wanted = append(wanted, addMonths(this, n+1))
	}
	db.months.clear()
	return db.ensureMonths(ctx, wanted)
}

const (
	sweepEvery  = time.Minute
	monthsEvery = time.Hour
)

var _ store.Retention = (*DB)(nil)

// open are the conditions of rows that Retention keeps, however old: outbound messages that
// are not final, all of a broadcast that is not done, and their events.
var open = map[string]string{
	"transmission": openTransmission,
	"message":      "(direction = 'O' AND (open_count > 0 OR id IN (SELECT message_id FROM broadcast WHERE state IN ('running', 'paused'))))",
	"event":        "EXISTS (SELECT 1 FROM transmission WHERE transmission.id = event.message_id AND transmission.direction = event.direction AND " + openTransmission + ")",
}

const openTransmission = `(transmission.direction = 'O' AND (transmission.status IN ('Q', 'P')
	OR coalesce(transmission.broadcast_id, 0) IN (SELECT id FROM broadcast WHERE state IN ('running', 'paused'))))`

// Retention implements store.Retention.
func (db *DB) Retention(ctx context.Context, keepMonths int) (int64, error) {
	if keepMonths < 0 {
		return 0, fmt.Errorf("retention of %d months: it must not be negative", keepMonths)
	}
	oldest := addMonths(monthOf(time.Now()), -keepMonths)
	db.months.clear()
	months, err := db.oldMonths(ctx, oldest)
	if err != nil {
		return 0, fmt.Errorf("finding months before %d: %w", oldest, err)
	}
	var all int64
	for _, month := range months {
		n, err := db.dropMonth(ctx, month)
		if all += n; err != nil {
			return all, fmt.Errorf("deleting month %d: %w", month, err)
		}
	}
	before := db.Dialect.Time(time.Date(int(oldest/100), time.Month(oldest%100), 1, 0, 0, 0, 0, time.UTC))
	for _, old := range []struct{ table, key, condition string }{
		{"event", "id", "month = 0 AND recorded < $1 AND NOT " + open["event"]},
		{"message", "id", "month = 0 AND updated < $1 AND NOT " + open["message"]},
		{"transmission", "id", "month = 0 AND updated < $1 AND NOT " + open["transmission"]},
		{"early", "event_id", "recorded < $1"},
		{"broadcast", "id", "state IN ('done', 'cancelled') AND created < $1"},
	} {
		if _, err := db.deleteOld(ctx, old.table, old.key, old.condition, before); err != nil {
			return all, fmt.Errorf("deleting old rows of %s: %w", old.table, err)
		}
	}
	return all, nil
}

func (db *DB) oldMonths(ctx context.Context, oldest int64) (months []int64, err error) {
	err = db.query(ctx, db.Write, func(rows *sql.Rows) error {
		var month int64
		err := rows.Scan(&month)
		if month > undated && month < oldest {
			months = append(months, month)
		}
		return err
	}, db.Dialect.Months())
	return months, err
}

// dropMonth drops a month of which all is final, where there are partitions; else it deletes
// its final rows.
func (db *DB) dropMonth(ctx context.Context, month int64) (n int64, err error) {
	anyOpen := fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM transmission WHERE month = %d AND %s)", month, openTransmission)
	var dropped bool
	err = db.retry(ctx, func() error {
		dropped, err = db.Dialect.DropMonth(ctx, db.Write, month, anyOpen)
		return err
	})
	if err != nil || dropped {
		return 1, err
	}
	for _, table := range []string{"event", "message", "transmission"} {
		deleted, err := db.deleteOld(ctx, table, "id", "month = $1 AND NOT "+open[table], month)
		if n += deleted; err != nil {
			return n, err
		}
	}
	return n, nil
}

// deleteOld deletes rows, some at a time; condition has the parameter $1.
func (db *DB) deleteOld(ctx context.Context, table, key, condition string, arg any) (all int64, err error) {
	statement := fmt.Sprintf("DELETE FROM %[1]s WHERE %[3]s AND %[2]s IN (SELECT %[2]s FROM %[1]s WHERE %[3]s LIMIT $2)",
		table, key, condition)
	for {
		n, err := db.exec(ctx, db.Write, statement, arg, sweepBatch)
		if all += n; err != nil || n == 0 {
			return all, err
		}
	}
}

// Start runs the background jobs until Stop: it sweeps the state every minute and makes months
// ahead every hour. Failures are logged and tried again next time. A nil log is silent.
func (db *DB) Start(log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("component", "store")
	ctx, stop := context.WithCancel(context.Background())
	db.stop = stop
	repeat := func(job string, every time.Duration, do func(context.Context) error) {
		backoff.Every(ctx, every, func(time.Time) {
			if err := do(ctx); err != nil && ctx.Err() == nil {
				log.Warn("store job failed, will be tried again", "job", job, "error", err)
			}
		})
	}
	db.jobs.Go(func() {
		repeat("sweep state", sweepEvery, func(ctx context.Context) error {
			_, err := db.Sweep(ctx)
			return err
		})
	})
	db.jobs.Go(func() { repeat("make months", monthsEvery, db.MakeAhead) })
}

// Stop ends what Start began and waits for it.
func (db *DB) Stop() {
	db.stop()
	db.jobs.Wait()
}
