package message

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// ReplyOption is a wish about a reply; see EndSession and ToGroup.
type ReplyOption func(reply, to *Message)

// EndSession makes the reply the last word of its session.
func EndSession(reply, _ *Message) { reply.SessionEvent = SessionClose }

// ToGroup answers the group a message was sent to, where it was sent to one,
// and not only the person who sent it.
func ToGroup(reply, to *Message) {
	if to.Group != "" {
		reply.To = ""
	}
}

// Reply makes an answer to m: from where it went, to whom it came from, over
// the same transport and endpoint, with the metadata that leads it back.
func (m *Message) Reply(content string, options ...ReplyOption) *Message {
	r := New()
	r.ID = m.replyID()
	r.To, r.From = m.From, m.To
	r.InReplyTo = m.ID
	r.Content = content
	r.Group, r.Provider = m.Group, m.Provider
	r.TransportName, r.TransportType = m.TransportName, m.TransportType
	r.TransportMetadata, r.HelperMetadata = m.TransportMetadata, m.HelperMetadata
	r.SetEndpoint(m.Endpoint())
	if Again(&m.RoutingMetadata) {
		r.RoutingMetadata.Set(AgainKey, true)
	}
	for _, option := range options {
		option(r, m)
	}
	return r
}

// NameReplies makes the IDs of m's replies follow from m's ID and the name of
// who replies, instead of chance: whoever handles m a second time makes the
// same replies, and a transport that has sent them does not send them again.
func (m *Message) NameReplies(by string) { m.replier, m.replies = by, 0 }

func (m *Message) replyID() string {
	if m.replier == "" {
		return NewID()
	}
	m.replies++
	sum := sha256.Sum256([]byte(m.replier + "\x00" + m.ID + "\x00" + strconv.Itoa(m.replies)))
	return hex.EncodeToString(sum[:16])
}
