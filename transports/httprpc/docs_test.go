package httprpc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The description that the documentation shows is one.
func TestDescriptionInDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/http-rpc.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "```yaml\nabout:")
	text, _, _ = strings.Cut(text, "```")
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte("about:"+text), 0o600); err != nil || !found {
		t.Fatal(err, found)
	}
	s := start(t, remember(t), func(tr *Transport) { tr.Provider = path })
	s.takesTurn(t, 0, turn{ask: "GET /ask?session=1&number=27&code=*1%23&input=hi", session: "new", from: "27", to: "*1#", content: "hi", reply: "what?", answer: "what?", headers: map[string]string{"X-End": "0"}})
	s.takesTurn(t, 1, turn{ask: "GET /ask?session=1&number=27&code=*1%23&input=cancel", session: "close", from: "27", to: "*1#", answer: "bye"})
}
