package session

import (
	"fmt"
	"testing"
	"time"
)

func TestComplaintsAreCounted(t *testing.T) {
	c := complaints{told: map[string]*complaint{}}
	now := time.Now()
	for i := range 5 {
		if _, due := c.due("a", now); due != (i == 0) {
			t.Errorf("complaint %d is due: %t", i, due)
		}
	}
	if others, due := c.due("a", now.Add(complaintPause)); !due || others != 4 {
		t.Errorf("a minute later: %d others, %t; want 4", others, due)
	}
	for i := range 3 * maxComplaints {
		c.due(fmt.Sprint(i), now)
	}
	if len(c.told) > maxComplaints {
		t.Errorf("%d peers are known", len(c.told))
	}
}
