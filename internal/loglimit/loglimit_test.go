package loglimit

import (
	"fmt"
	"testing"
	"time"
)

func TestOthersAreCounted(t *testing.T) {
	l := New(time.Minute)
	now := time.Now()
	for i := range 5 {
		if _, ok := l.Allow("a", now); ok != (i == 0) {
			t.Errorf("record %d is allowed: %t", i, ok)
		}
	}
	if others, ok := l.Allow("a", now.Add(time.Minute)); !ok || others != 4 {
		t.Errorf("a minute later: %d others, %t; want 4", others, ok)
	}
	for i := range 3 * maxKeys {
		l.Allow(fmt.Sprint(i), now)
	}
	if n := l.seen.Len(); n > maxKeys {
		t.Errorf("%d keys are known", n)
	}
	if _, ok := l.Allow(fmt.Sprint(3*maxKeys-1), now); ok {
		t.Error("the latest key was forgotten")
	}
}
