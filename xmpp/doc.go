// Package xmpp speaks XMPP as a client (RFC 6120) and as an external component
// (XEP-0114). It knows streams and stanzas, and nothing of what messages are for.
//
// Dial negotiates a Session: TLS, SASL, and resumption of an earlier session
// (XEP-0198) or a fresh bind. Session.Run serves it until it ends. What was sent
// and not acknowledged by then is in the session's Resumption, with which the next
// Dial goes on where the server still knows the session.
//
//	s, err := xmpp.Dial(ctx, settings, nil)
//	go s.Send(stanza, func(err error) { … }) // nil once the server has it
//	err = s.Run(ctx)
//	s, err = xmpp.Dial(ctx, settings, s.Resumption())
package xmpp

// Namespaces of what the package and its users write and read.
const (
	NSClient    = "jabber:client"
	nsComponent = "jabber:component:accept"
	nsStream    = "http://etherx.jabber.org/streams"
	nsStreamErr = "urn:ietf:params:xml:ns:xmpp-streams"
	nsTLS       = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL      = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBinding   = "urn:xmpp:sasl-cb:0" // XEP-0440
	nsBind      = "urn:ietf:params:xml:ns:xmpp-bind"
	nsSM        = "urn:xmpp:sm:3"
	nsXML       = "http://www.w3.org/XML/1998/namespace"

	NSStanzas   = "urn:ietf:params:xml:ns:xmpp-stanzas"
	NSPing      = "urn:xmpp:ping"
	NSRoster    = "jabber:iq:roster"
	NSDiscoInfo = "http://jabber.org/protocol/disco#info"
	NSDiscoItem = "http://jabber.org/protocol/disco#items"
	NSCaps      = "http://jabber.org/protocol/caps"
	NSVersion   = "jabber:iq:version"
	NSVCard     = "vcard-temp"
	NSVCardHash = "vcard-temp:x:update"
	NSReceipts  = "urn:xmpp:receipts"
	NSDelay     = "urn:xmpp:delay"
	NSMUC       = "http://jabber.org/protocol/muc"
	NSMUCUser   = "http://jabber.org/protocol/muc#user"
	NSMUCOwner  = "http://jabber.org/protocol/muc#owner"
	NSForms     = "jabber:x:data"
	NSCarbons   = "urn:xmpp:carbons:2"
	NSForward   = "urn:xmpp:forward:0"
	NSHints     = "urn:xmpp:hints"
	NSStanzaID  = "urn:xmpp:sid:0"
	NSCorrect   = "urn:xmpp:message-correct:0"
	NSFallback  = "urn:xmpp:fallback:0"
	NSReactions = "urn:xmpp:reactions:0"
	NSOOB       = "jabber:x:oob"
	NSBlocking  = "urn:xmpp:blocking:errors"
	NSChatState = "http://jabber.org/protocol/chatstates"
	NSOMEMO     = "eu.siacs.conversations.axolotl"
	NSOMEMO2    = "urn:xmpp:omemo:2"
	NSEME       = "urn:xmpp:eme:0" // XEP-0380
)
