package httptester_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"switchboard/applications"
	"switchboard/applications/echo"
	"switchboard/broker/memory"
	state "switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/httptester"
	"switchboard/transports/transporttest"
	"switchboard/worker"
)

func start(t *testing.T, w worker.Worker) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the worker ended with %v", err)
			}
		case <-time.After(2 * transporttest.Patience):
			t.Error("the worker does not end")
		}
	})
}

// A message goes from the page through the broker to the echo and back.
func TestThereAndBackAgain(t *testing.T) {
	b, s := memory.New(memory.Settings{}), state.New()
	t.Cleanup(func() { _ = b.Close(context.Background()); _ = s.Close() })
	env := worker.Dependencies{Name: "phone", Broker: b, State: s, Logger: slog.New(slog.DiscardHandler)}
	page := httptester.New()
	page.WebHost, page.WebPort = "127.0.0.1", 0
	ours, theirs := transports.DefaultOptions(), applications.DefaultOptions()
	ours.TransportName, theirs.TransportName = "phone", "phone"
	start(t, transports.New(env, ours, page))
	start(t, applications.New(env, theirs, echo.New()))

	ctx, cancel := context.WithTimeout(t.Context(), transporttest.Patience)
	defer cancel()
	addr, err := page.Addr(ctx)
	if err != nil {
		t.Fatal(err)
	}
	where := "http://" + addr.String() + "/"
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	response, err := client.PostForm(where+"messages", url.Values{"from": {"+12025550101"}, "content": {"hello ☃"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Fatalf("the page answered %s", response.Status)
	}
	if seen := flows(t, bufio.NewScanner(stream.Body), "hello ☃"); seen != "inbound outbound " {
		t.Errorf("the page showed %s", seen)
	}
}

// flows lists the flows of two entries with the content.
func flows(t *testing.T, in *bufio.Scanner, content string) (seen string) {
	t.Helper()
	for strings.Count(seen, " ") < 2 && in.Scan() {
		data, found := strings.CutPrefix(in.Text(), "data: ")
		var shown struct{ Flow, Phone, Content string }
		if found && json.Unmarshal([]byte(data), &shown) == nil && shown.Content == content && shown.Phone == "+12025550101" {
			seen += shown.Flow + " "
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return seen
}
