package forward

import (
	"context"
	"encoding/json"

	"switchboard/applications/conversation"
	"switchboard/message"
)

// post posts a message as it is on the wire. The answer's JSON may have a reply:
// {"reply": "text"}.
func (a *Application) post(ctx context.Context, m *message.Message) ([]conversation.Output, error) {
	answer, err := a.Webhook.Post(ctx, a.web, m.ID, m.Encode())
	if err != nil {
		return nil, err
	}
	var said struct {
		Reply string `json:"reply"`
	}
	if json.Unmarshal(answer, &said) != nil || said.Reply == "" {
		return nil, nil
	}
	return []conversation.Output{{Content: said.Reply}}, nil
}
