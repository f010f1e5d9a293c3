package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A timestamp tells the month a row is kept under unless it is absurd: then
// the month is undated.
const (
	undated     = 0
	monthsBack  = 24
	monthsAhead = 1
)

func monthOf(t time.Time) int64 {
	t = t.UTC()
	return int64(t.Year())*100 + int64(t.Month())
}

// addMonths counts in months, whatever their lengths.
func addMonths(month int64, n int) int64 {
	count := month/100*12 + month%100 - 1 + int64(n)
	return count/12*100 + count%12 + 1
}

// keyMonth is the month under which something of that time is kept.
func keyMonth(t, now time.Time) int64 {
	month, this := monthOf(t), monthOf(now)
	if month < addMonths(this, -monthsBack) || month > addMonths(this, monthsAhead) {
		return undated
	}
	return month
}

// months remembers which partitions are there.
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

func (m *months) learn(months []int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[int64]bool{}
	}
	for _, month := range months {
		m.known[month] = true
	}
}

func (m *months) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = nil
}

// ensureMonths makes the partitions that are not known to be there.
func (db *DB) ensureMonths(ctx context.Context, wanted []int64) error {
	missing := db.months.missing(wanted)
	if len(missing) == 0 {
		return nil
	}
	err := db.retry(ctx, func() error { return db.Dialect.MakeMonths(ctx, db.Write, missing) })
	if err != nil {
		return fmt.Errorf("making months: %w", err)
	}
	db.months.learn(missing)
	return nil
}

// MakeAhead makes the partitions of this month and of those to come, so that
// nobody has to wait for them.
func (db *DB) MakeAhead(ctx context.Context) error {
	this := monthOf(time.Now())
	wanted := []int64{this}
	for n := range monthsAhead {
		wanted = append(wanted, addMonths(this, n+1))
	}
	db.months.forget()
	return db.ensureMonths(ctx, wanted)
}
