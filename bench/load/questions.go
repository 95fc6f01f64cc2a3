package load

import (
	"fmt"
	"math/rand/v2"

	"github.com/miekg/dns"
)

// asked is the mix of questions, a share of each in percent.
var asked = []struct {
	share  int
	prefix string
	qtype  uint16
}{
	{20, "", dns.TypeTXT}, {20, "_dmarc.", dns.TypeTXT}, {10, "s1._domainkey.", dns.TypeTXT}, {15, "", dns.TypeMX},
	{15, "", dns.TypeA}, {8, "", dns.TypeAAAA}, {5, "", dns.TypeNS}, {3, "", dns.TypeSOA}, {4, "", dns.TypeCAA},
}

// Questions makes up parked domains and n queries for them with ID 0, the same in
// every run. With udpSize above 0 each has an OPT record that says so.
func Questions(domains, n int, udpSize uint16) (names []string, queries [][]byte, err error) {
	rnd := rand.New(rand.NewPCG(1, 1))
	endings := []string{"com", "org", "net", "co.uk", "com.au", "io", "de"}
	for i := range domains {
		names = append(names, fmt.Sprintf("parked-%d.%s", i, endings[rnd.IntN(len(endings))]))
	}
	for range n {
		prefix, qtype := pick(rnd.IntN(100))
		m := new(dns.Msg).SetQuestion(prefix+names[rnd.IntN(domains)]+".", qtype)
		m.Id, m.RecursionDesired = 0, false
		if udpSize > 0 {
			m.SetEdns0(udpSize, false)
		}
		wire, err := m.Pack()
		if err != nil {
			return nil, nil, err
		}
		queries = append(queries, wire)
	}
	return names, queries, nil
}

// pick is the question at a place of the mix from 0 to 99.
func pick(place int) (prefix string, qtype uint16) {
	for _, a := range asked {
		if place -= a.share; place < 0 {
			return a.prefix, a.qtype
		}
	}
	panic("the shares of the mix are less than 100 %")
}
