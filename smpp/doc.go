// Package smpp holds what both ends of SMPP need beside the protocol's octets:
// addresses as the fleet writes them, USSD sessions, texts cut into segments and
// put together again, and what transport_metadata says of all that. It knows no
// broker, no store and no messages of the fleet. Section numbers (§) are those of
// the SMPP 3.4 specification, issue 1.2.
package smpp
