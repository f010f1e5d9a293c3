package sqlstore

import (
	"fmt"
	"reflect"
	"time"
)

// moment scans a time of either database; NULL is the zero time.
type moment struct{ to *time.Time }

// Scan takes a timestamp, or microseconds since 1970.
func (m moment) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*m.to = time.Time{}
	case time.Time:
		*m.to = v.UTC()
	case int64:
		*m.to = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("reading a time from %T", value)
	}
	return nil
}

// orNull scans a text or a number of which NULL is the zero value.
type orNull[T ~string | ~int64] struct{ to *T }

// Scan takes what database/sql's drivers give.
func (o orNull[T]) Scan(value any) error {
	var zero T
	*o.to = zero
	to := reflect.ValueOf(o.to).Elem()
	switch v := value.(type) {
	case string:
		to.SetString(v)
		return nil
	case []byte:
		to.SetString(string(v))
		return nil
	case int64:
		to.SetInt(v)
		return nil
	}
	if value == nil {
		return nil
	}
	return fmt.Errorf("reading a %T from %T", zero, value)
}

// null is nil for the zero value: NULL where rows travel.
func null[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// when is nil for the zero time.
func when(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Truncate(time.Microsecond)
}

// earliest is the earlier of two times, where zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// least is the lesser of two texts, where empty is none.
func least(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}

// utc is a time as databases keep it.
func utc(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
