package smsc

// Generate is traffic from phones.
type Generate struct {
	Rate float64 `yaml:"rate"` // messages a second
}

// USSD is how phones use interactive sessions.
type USSD struct{}

func (v *SMSC) generate() {}

func (v *SMSC) answerUSSD(*bind, *entry) {}
