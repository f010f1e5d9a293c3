package pdu

import "fmt"

// Versions for interface_version and sc_interface_version (§5.2.4, §5.3.2.25).
const (
	Version33 uint8 = 0x33
	Version34 uint8 = 0x34
	Version50 uint8 = 0x50
)

// Bind opens a session (§4.1.1, §4.1.3, §4.1.5).
type Bind struct {
	ID               CommandID // CmdBindReceiver, CmdBindTransmitter or CmdBindTransceiver
	SystemID         string    // at most 15 characters (§5.2.1)
	Password         string    // at most 8 characters (§5.2.2); many SMSCs take more
	SystemType       string    // at most 12 characters (§5.2.3)
	InterfaceVersion uint8     // Version34 (§5.2.4)
	AddressTON       TON
	AddressNPI       NPI
	AddressRange     string // at most 40 characters (§5.2.7)
}

// Command returns b.ID.
func (b *Bind) Command() CommandID { return b.ID }

// String leaves the password out.
func (b *Bind) String() string {
	return fmt.Sprintf("%s system_id=%q system_type=%q interface_version=%02x", b.ID, b.SystemID, b.SystemType, b.InterfaceVersion)
}

// GoString leaves the password out.
func (b *Bind) GoString() string { return b.String() }

func (b *Bind) fields(c codec) {
	c.cstring("system_id", &b.SystemID, maxSystemID)
	c.cstring("password", &b.Password, maxPassword)
	c.cstring("system_type", &b.SystemType, maxSystemType)
	c.u8("interface_version", &b.InterfaceVersion)
	c.u8("addr_ton", (*uint8)(&b.AddressTON))
	c.u8("addr_npi", (*uint8)(&b.AddressNPI))
	c.cstring("address_range", &b.AddressRange, maxAddressRange)
}

// BindResp answers Bind (§4.1.2, §4.1.4, §4.1.6). Its parameter
// TagSCInterfaceVersion says which version the SMSC speaks.
type BindResp struct {
	ID       CommandID // CmdBindReceiverResp, CmdBindTransmitterResp or CmdBindTransceiverResp
	SystemID string    // the SMSC's, at most 15 characters
	TLVs     TLVs
}

// Command returns b.ID.
func (b *BindResp) Command() CommandID { return b.ID }

func (b *BindResp) fields(c codec) {
	c.cstring("system_id", &b.SystemID, maxSystemID)
	c.tlvs(&b.TLVs)
}

// Outbind is an SMSC's request to be bound to (§4.1.7). It has no answer but a
// bind_receiver, or a bind_transceiver from a peer that wants both directions.
type Outbind struct {
	SystemID string // at most 15 characters
	Password string // at most 8 characters
}

// Command returns CmdOutbind.
func (o *Outbind) Command() CommandID { return CmdOutbind }

// String leaves the password out.
func (o *Outbind) String() string { return fmt.Sprintf("outbind system_id=%q", o.SystemID) }

// GoString leaves the password out.
func (o *Outbind) GoString() string { return o.String() }

func (o *Outbind) fields(c codec) {
	c.cstring("system_id", &o.SystemID, maxSystemID)
	c.cstring("password", &o.Password, maxPassword)
}
