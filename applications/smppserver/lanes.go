package smppserver

import "sync"

// lanes do work of one key in its order, of several keys at once. The windows
// of the binds bound how much there is.
type lanes struct {
	mu      sync.Mutex
	waiting map[string][]func() // keys being worked on, and what waits behind
}

func (l *lanes) run(key string, work func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if behind, busy := l.waiting[key]; busy {
		l.waiting[key] = append(behind, work)
		return
	}
	if l.waiting == nil {
		l.waiting = map[string][]func(){}
	}
	l.waiting[key] = nil
	go func() {
		for work != nil {
			work()
			work = l.next(key)
		}
	}()
}

func (l *lanes) next(key string) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	behind := l.waiting[key]
	if len(behind) == 0 {
		delete(l.waiting, key)
		return nil
	}
	l.waiting[key] = behind[1:]
	return behind[0]
}
