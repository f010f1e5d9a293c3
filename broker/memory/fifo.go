package memory

// fifo is a queue in a ring that grows and, once empty and large, is given back.
type fifo[T any] struct {
	ring  []T
	head  int
	count int
}

// fifoKeep is the largest ring kept while empty.
const fifoKeep = 1024

func (f *fifo[T]) len() int { return f.count }

func (f *fifo[T]) push(v T) {
	if f.count == len(f.ring) {
		f.grow()
	}
	f.ring[(f.head+f.count)%len(f.ring)] = v
	f.count++
}

func (f *fifo[T]) pop() T {
	var zero T
	v := f.ring[f.head]
	f.ring[f.head] = zero
	f.head = (f.head + 1) % len(f.ring)
	f.count--
	if f.count == 0 && len(f.ring) > fifoKeep {
		f.ring, f.head = nil, 0
	}
	return v
}

func (f *fifo[T]) grow() {
	ring := make([]T, max(8, 2*len(f.ring)))
	n := copy(ring, f.ring[f.head:])
	copy(ring[n:], f.ring[:f.head])
	f.ring, f.head = ring, 0
}
