// Package pdu reads and writes SMPP protocol data units: version 3.4 in full,
// 3.3 and 5.0 as far as they share its commands. Section numbers (§) are those
// of "Short Message Peer to Peer Protocol Specification v3.4, issue 1.2".
//
// Reading is tolerant: fields longer than the specification allows, responses
// without a body, unknown parameters and a missing final NUL in a response are
// taken as they are. Writing refuses only what the wire cannot carry; Validate
// says what a strict peer would refuse.
package pdu
