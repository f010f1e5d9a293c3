package current

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestGetWaitsForTheValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Value[int]
		got := make(chan int, 2)
		for range 2 {
			go func() {
				v, err := c.Get(t.Context())
				if err != nil {
					t.Error(err)
				}
				got <- v
			}()
		}
		synctest.Wait()
		if len(got) != 0 {
			t.Error("Get returned before there was a value")
		}
		c.Set(7)
		if a, b := <-got, <-got; a != 7 || b != 7 {
			t.Errorf("got %d and %d", a, b)
		}
	})
}

func TestGetEndsWithItsContext(t *testing.T) {
	var c Value[int]
	ctx, cancel := context.WithCancel(t.Context())
	c.Set(7)
	c.Clear()
	cancel()
	if _, err := c.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("without a value: %v", err)
	}
	c.Set(7)
	if _, err := c.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a value, and a context that has ended: %v", err)
	}
}
