package alert

// CodeRequest asks that a code goes to a contact, which shows that its person reads there. Key names the sending (VerifyID): however often
// it is tried, the code is the same.
type CodeRequest struct {
	Key     string  `json:"key"`
	Contact Contact `json:"contact"`
}

// CodeSent is its answer. The code itself is nowhere but in the message: Hash is what HashCode makes of it.
type CodeSent struct {
	Hash    string  `json:"hash"`
	Receipt Receipt `json:"receipt"`
}

// Text is plain text to one address, beside pages: a code, or what came of a reply. Key is its dedup key.
type Text struct {
	Key     string  `json:"key"`
	Channel Channel `json:"channel"`
	To      string  `json:"to"`                // as Contact.Address
	In      string  `json:"in,omitempty"`      // Slack: the channel in which To alone sees it; empty: a direct message
	Subject string  `json:"subject,omitempty"` // email
	Text    string  `json:"text"`
	Again   bool    `json:"again,omitempty"` // as Page.Again
}
