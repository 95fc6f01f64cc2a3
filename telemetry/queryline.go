package telemetry

import (
	"strconv"

	"github.com/miekg/dns"
)

// queryLine is a line of the query log.
type queryLine struct {
	Time      string `json:"time"` // when it was received, UTC (RFC 3339)
	Client    string `json:"client"`
	Port      uint16 `json:"port"`
	Transport string `json:"transport"`
	Name      string `json:"name,omitempty"` // in lower case, odd bytes as \DDD (RFC 1035 §5.1); none: no question
	Type      string `json:"type,omitempty"`
	Class     string `json:"class,omitempty"`
	EDNS      bool   `json:"edns"`
	DO        bool   `json:"do"`
	Cookie    string `json:"cookie"`
	Received  int    `json:"received"` // bytes of the query
	Verdict   string `json:"verdict"`
	Kind      string `json:"kind"`
	Rcode     string `json:"rcode,omitempty"` // of the answer
	Truncated bool   `json:"truncated"`
	Sent      int    `json:"sent"` // bytes of the answer; 0: none
}

// microseconds is RFC 3339 with as many digits as a clock is good for.
const microseconds = "2006-01-02T15:04:05.000000Z07:00"

func (e *entry) line() *queryLine {
	l := &queryLine{
		Time:      e.received.UTC().Format(microseconds),
		Client:    e.client.Addr().String(),
		Port:      e.client.Port(),
		Transport: e.transport.String(),
		EDNS:      e.edns,
		DO:        e.do,
		Cookie:    e.cookie.String(),
		Received:  e.message,
		Verdict:   e.verdict.String(),
		Kind:      e.kind.String(),
		Truncated: e.truncated,
		Sent:      e.size,
	}
	if e.named > 0 {
		l.Name = presentation(e.name[:e.named])
		l.Type, l.Class = dns.Type(e.qtype).String(), dns.Class(e.class).String()
	}
	if e.size > 0 {
		l.Rcode = rcodeName(e.rcode)
	}
	return l
}

// presentation is a name as text, escaped so that nothing in it looks like
// something else (RFC 1035 §5.1).
func presentation(name []byte) string {
	text, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return "" // the resolver's parser lets no such name through
	}
	return text
}

func rcodeName(rcode uint16) string {
	if class := rcodeOf(rcode); class != rcodeOther {
		return rcodeNames[class]
	}
	return strconv.Itoa(int(rcode))
}
