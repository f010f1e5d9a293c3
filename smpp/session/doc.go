// Package session is an SMPP session, the same for both sides: a Client dials an
// SMSC and binds (or is asked to by outbind), a Server accepts binds, and what
// they get is one Session with requests, windows and time-outs both ways,
// enquire_link and unbind (SMPP 3.4 §2.2, §2.7, §2.9).
//
// Requests of the peer go to the Handler; requests of ours are made with Send.
// The package knows no messages, queues or stores.
package session
