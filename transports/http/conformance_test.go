package http_test

import (
	"context"
	"encoding/json"
	"fmt"
	nethttp "net/http"
	"strings"
	"sync/atomic"
	"testing"

	"switchboard/transports/transporttest"
)

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) *transporttest.Outside {
		b := open(t, "generic_json", map[string]string{"send_url": "PROVIDER/send"}, nil)
		var said atomic.Int64
		return &transporttest.Outside{
			Transport: b.Transport,
			Say: func(ctx context.Context, text string) error {
				addr, err := b.Addr(ctx)
				if err != nil {
					return err
				}
				body, _ := json.Marshal(map[string]string{"id": fmt.Sprint(said.Add(1)), "from": "+27831234567", "to": "1001", "text": text})
				q, err := nethttp.NewRequestWithContext(ctx, "POST", "http://"+addr.String()+"/messages", strings.NewReader(string(body)))
				if err != nil {
					return err
				}
				q.Header.Set("Content-Type", jsonType)
				response, err := b.client.Do(q)
				if err != nil {
					return err
				}
				defer response.Body.Close()
				if response.StatusCode != nethttp.StatusOK {
					return fmt.Errorf("the answer is %s", response.Status)
				}
				return nil
			},
			Hear: func(ctx context.Context) (string, error) {
				select {
				case a := <-b.provider.asked:
					var sent struct{ Text string }
					err := json.Unmarshal([]byte(a.Body), &sent)
					return sent.Text, err
				case <-ctx.Done():
					return "", ctx.Err()
				}
			},
			Leave: func() {
				b.client.CloseIdleConnections()
				b.provider.close()
				_ = b.state.Close()
			},
		}
	})
}
