// Package forward is an application that hands messages on: to a webhook, by
// e-mail, or to another address.
package forward

import (
	"context"
	"errors"
	"fmt"

	"switchboard/applications"
	"switchboard/applications/conversation"
	"switchboard/applications/webhook"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
)

// Application forwards to one place; for several, run several.
//
// Texts may name {from}, {to}, {content} and {transport}.
type Application struct {
	// Webhook is an address that each message is posted to, as JSON as it is on the wire.
	// The answer's JSON may have a reply: {"reply": "text"}.
	Webhook *webhook.Webhook `yaml:"webhook"`
	// Email is how each message is sent by e-mail.
	Email *Email `yaml:"email"`
	// Send is the other address each message goes to.
	Send *conversation.Send `yaml:"send"`
	// Reply answers who wrote when the message is handed on; default nothing.
	// Example: `Thank you, we will answer soon.`.
	Reply options.Text `yaml:"reply"`
	// AllowPrivate lets the webhook be in a private network or on this machine.
	AllowPrivate bool `yaml:"allow_private"`

	action conversation.Action
	web    *webclient.Client
	name   string
}

var _ applications.Application = (*Application)(nil)

// New is an Application with its defaults.
func New() *Application { return &Application{} }

// Validate checks that there is one place, and how to reach it.
func (a *Application) Validate() error {
	names := conversation.Names(conversation.Facts(&message.Message{}))
	errs := []error{conversation.CheckTexts(a.Reply, names, "reply")}
	places := 0
	if a.Webhook != nil {
		places++
		errs = append(errs, options.Under(a.Webhook.Validate(), "webhook"))
	}
	if a.Email != nil {
		places++
		errs = append(errs, options.Under(a.Email.validate(names), "email"))
	}
	if a.action = (conversation.Action{Send: a.Send}); a.Send != nil {
		places++
		errs = append(errs, a.action.Validate(names))
	}
	if places != 1 {
		errs = append(errs, errors.New("must have one of webhook, email and send"))
	}
	return errors.Join(errs...)
}

// Provision takes the network.
func (a *Application) Provision(_ context.Context, env applications.Env) error {
	a.name = env.Name
	if a.Webhook != nil {
		a.web = webclient.New(webclient.Settings{Timeout: a.Webhook.Timeout.Std(), AllowPrivate: a.AllowPrivate, Transport: env.HTTP})
	}
	return nil
}

// Close ends the connections.
func (a *Application) Close() error { return a.web.Close() }

// Receive hands one message on.
func (a *Application) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	values := conversation.Facts(m)
	var outputs []conversation.Output
	var err error
	switch {
	case a.Webhook != nil:
		outputs, err = a.post(ctx, m)
	case a.Email != nil:
		err = a.Email.send(ctx, m, values)
	default:
		outputs = a.action.Outputs("", values)
	}
	if err != nil {
		return nil, fmt.Errorf("forwarding: %w", err)
	}
	if len(a.Reply) > 0 {
		outputs = append(outputs, conversation.Output{Content: conversation.Fill(a.Reply.In(""), values)})
	}
	return conversation.Messages(outputs, m), nil
}
