package message

import (
	"errors"
	"fmt"
	"time"
)

// FailureCode is a failure's kind as Vumi's failure worker understands it.
type FailureCode string

// The failure codes; null on the wire is FailureUnspecified.
const (
	FailureUnspecified FailureCode = ""
	FailurePermanent   FailureCode = "permanent"
	FailureTemporary   FailureCode = "temporary"
)

// DeadLetteredKey is true in a failure's helper_metadata where its message is a dead letter
// already, and the application has its nack.
const DeadLetteredKey = "switchboard_dead_lettered"

// Failure says that a transport could not send a message; it holds the whole
// message.
type Failure struct {
	Message   *Message
	Code      FailureCode
	Reason    string
	Timestamp time.Time

	HelperMetadata  Object
	RoutingMetadata Object

	sent    Object // the message as it travels
	members []member
}

var failureSchema = schema{
	messageType: "failure_message",
	nullable:    []string{"failure_code"},
	present:     []string{"reason"},
	objects:     []string{"message", "helper_metadata", "routing_metadata"},
}

// NewFailure says that m could not be sent, and why.
func NewFailure(m *Message, code FailureCode, reason string) *Failure {
	return &Failure{Message: m, Code: code, Reason: reason, Timestamp: now()}
}

// DecodeFailure reads a failure from a body.
func DecodeFailure(body []byte) (*Failure, error) {
	f := new(Failure)
	members, err := decode(body, &failureSchema, f)
	if err == nil && f.sent.Len() == 0 {
		err = errors.New("message is missing")
	}
	if err == nil {
		f.Message, err = Decode([]byte(f.sent.String()))
	}
	if err != nil {
		return nil, fmt.Errorf("reading failure: %w", err)
	}
	f.members = members
	return f, nil
}

// Encode writes the failure as a body.
func (f *Failure) Encode() []byte {
	f.sent = Object{raw: string(f.Message.Encode())}
	return encodeBody(f.members, &failureSchema, f)
}

func (f *Failure) text(key string) *string {
	switch key {
	case "failure_code":
		return (*string)(&f.Code)
	case "reason":
		return &f.Reason
	}
	return nil
}

func (f *Failure) object(key string) *Object {
	switch key {
	case "message":
		return &f.sent
	case "helper_metadata":
		return &f.HelperMetadata
	case "routing_metadata":
		return &f.RoutingMetadata
	}
	return nil
}

func (f *Failure) time() *time.Time { return &f.Timestamp }
