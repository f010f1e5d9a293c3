// Package receipt reads what SMSCs say became of a message: from the
// parameters of SMPP 3.4 (§5.3.2.12, §5.3.2.35, §5.3.2.31), and from the text of
// appendix B, which every SMSC writes in its own way. It also finds the one
// message id behind the spellings an SMSC uses for it.
package receipt
