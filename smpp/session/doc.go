// Package session is an SMPP session as the side that is bound to sees it, and
// the server that accepts them: binds, windows and time-outs both ways,
// enquire_link, unbind, outbind (SMPP 3.4 §2.2, §2.7, §2.9). What the server
// answers is its Handler's business: an SMSC simulator and a gateway for
// customers differ in nothing else.
package session
