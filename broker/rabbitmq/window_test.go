package rabbitmq

import "testing"

func TestWindowGrowsWithSmallBodiesAndShrinksWithLargeOnes(t *testing.T) {
	w := newWindow(1000)
	if w.size != firstWindow {
		t.Fatalf("begins with %d", w.size)
	}
	for range 8 * firstWindow {
		w.add(1, 1000)
	}
	if w.size != 1000 {
		t.Errorf("small bodies that are settled at once: %d", w.size)
	}
	full := newWindow(200)
	for bodies := range firstWindow {
		full.add(bodies+1, 1000*bodies)
	}
	if full.size != 200 {
		t.Errorf("small bodies that are not settled: %d", full.size)
	}
	for bodies := 1; w.size == 1000; bodies++ {
		w.add(bodies, bodies*100_000)
	}
	if w.size*100_000 > maxUnsettledBytes {
		t.Errorf("bodies of 100 kB: %d", w.size)
	}
	for range 100 {
		w.add(1, 100<<20)
	}
	if w.size != 1 {
		t.Errorf("bodies of 100 MiB: %d", w.size)
	}
	w.close()
	for range 100 {
		w.add(1, 900_000)
	}
	if w.size != 1 {
		t.Errorf("bodies of 900 kB after a flood: %d", w.size)
	}
	w.close()
	for range 100 {
		w.add(1, 1000)
	}
	if w.size != firstWindow {
		t.Errorf("small bodies after a flood: %d", w.size)
	}
	if w := newWindow(20); w.size != 20 {
		t.Errorf("a prefetch of 20 begins with %d", w.size)
	}
}

// A window that shrank below the first one stays as it is: changing it costs a consumer.
func TestWindowStaysShrunk(t *testing.T) {
	w := newWindow(2)
	w.most = 1
	if !w.add(1, 1) || w.size != 1 {
		t.Fatalf("the window is %d", w.size)
	}
	for i := range 50 {
		if w.add(1, 1) {
			t.Fatalf("it changed to %d after %d bodies", w.size, i+1)
		}
	}
}
