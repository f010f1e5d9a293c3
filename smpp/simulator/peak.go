package simulator

import "time"

// meter counts events and finds the most in any one second: in the half-open
// window (t-1s, t] for each event at t, which is exact.
type meter struct {
	total uint64
	peak  int
	first time.Time // from which all others are counted: clocks are set, and intervals are not
	ring  []int64   // times of the last second, in nanoseconds, from head on
	head  int
	n     int
}

func (m *meter) add(at time.Time) {
	if m.total == 0 {
		m.first = at
	}
	now := int64(at.Sub(m.first))
	m.drop(now)
	if m.n == len(m.ring) {
		m.grow()
	}
	m.ring[(m.head+m.n)&(len(m.ring)-1)] = now
	m.n++
	m.total++
	m.peak = max(m.peak, m.n)
}

// rate is how many there were in the second before.
func (m *meter) rate(at time.Time) int {
	m.drop(int64(at.Sub(m.first)))
	return m.n
}

func (m *meter) drop(now int64) {
	for m.n > 0 && m.ring[m.head] <= now-int64(time.Second) {
		m.head = (m.head + 1) & (len(m.ring) - 1)
		m.n--
	}
}

// grow doubles the ring; its length is always a power of two.
func (m *meter) grow() {
	ring := make([]int64, max(64, 2*len(m.ring)))
	for i := range m.n {
		ring[i] = m.ring[(m.head+i)&(len(m.ring)-1)]
	}
	m.ring, m.head = ring, 0
}
