package rabbitmq

const (
	// maxUnsettledBytes bounds the bodies that one consumer's handlers hold; the body
	// that passes it may exceed it.
	maxUnsettledBytes = 8 << 20
	// firstWindow is the prefetch that a consumer begins with, while it does not know
	// how large the bodies are.
	firstWindow = 32
)

// window is the prefetch that the bodies allow. AMQP bounds a prefetch in bodies alone,
// so it begins small, grows once it was full, or used for a while, of few bytes, and
// shrinks when too many are unsettled.
type window struct {
	most  int // the prefetch that is asked for
	first int // the one to begin with
	size  int // the prefetch of now
	seen  int // bodies since size was set
	peak  int // the most bytes unsettled since then
}

func newWindow(prefetch int) window {
	first := min(prefetch, firstWindow)
	return window{most: prefetch, first: first, size: first}
}

// add takes a body into account after which so many bodies and bytes are unsettled. It
// reports true when size has changed.
func (w *window) add(bodies, bytes int) bool {
	w.seen, w.peak = w.seen+1, max(w.peak, bytes)
	switch {
	case bytes > maxUnsettledBytes && w.size > 1:
		w.size = max(1, min(bodies, w.size)/2)
	case w.size > w.most:
		w.size = w.most
	case w.size < min(w.first, w.most) && w.seen >= 8*w.size && w.peak*w.first/w.size < maxUnsettledBytes:
		w.size = min(w.most, w.first)
	case w.size >= w.first && w.size < w.most && (bodies >= w.size || w.seen >= 8*w.size) && w.peak < maxUnsettledBytes/8:
		w.size = w.most // RabbitMQ does not count those of the old window: once, so many more
	default:
		return false
	}
	w.seen, w.peak = 0, 0
	return true
}

// close begins again with one body at a time.
func (w *window) close() { w.size, w.seen, w.peak = 1, 0, 0 }
