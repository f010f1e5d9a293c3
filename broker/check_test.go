package broker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
)

func TestCheck(t *testing.T) {
	longest, long := strings.Repeat("x", broker.MaxName), strings.Repeat("x", broker.MaxName+1)
	type checker interface{ Check() error }
	for _, good := range []checker{
		broker.Publication{Key: longest},
		broker.Publication{Queue: longest, Delay: broker.MaxDelay},
		broker.Publication{Key: "k", Headers: broker.Headers{longest: ""}},
		broker.Queue{Name: longest, Keys: []string{longest}, Type: broker.Quorum},
	} {
		if err := good.Check(); err != nil {
			t.Errorf("%.80v: %v", good, err)
		}
	}
	for _, bad := range []checker{
		broker.Publication{},
		broker.Publication{Key: "k", Queue: "q"},
		broker.Publication{Key: long},
		broker.Publication{Queue: long},
		broker.Publication{Key: "k", Delay: time.Second},
		broker.Publication{Queue: "q", Delay: -time.Second},
		broker.Publication{Queue: "q", Delay: broker.MaxDelay + 1},
		broker.Publication{Key: "k", Headers: broker.Headers{long: ""}},
		broker.Publication{Key: "k", Headers: broker.Headers{"h": strings.Repeat("x", broker.MaxHeaderBytes)}},
		broker.Queue{},
		broker.Queue{Name: long},
		broker.Queue{Name: "q", Keys: []string{long}},
		broker.Queue{Name: "q", Keys: []string{""}},
		broker.Queue{Name: "q", Type: "stream"},
	} {
		if err := bad.Check(); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("%.80v: %v", bad, err)
		}
	}
}
