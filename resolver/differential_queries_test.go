package resolver_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"domainpark/resolver"
)

// fewSuffixes has a rule of each sort, and none over which lists of different
// dates could differ.
const fewSuffixes = `
// ===BEGIN ICANN DOMAINS===
com
org
uk
co.uk
*.ck
!www.ck
jp
*.kawasaki.jp
!city.kawasaki.jp
io
// ===END ICANN DOMAINS===
// ===BEGIN PRIVATE DOMAINS===
github.io
uk.com
*.compute.cloud.com
!free.compute.cloud.com
// ===END PRIVATE DOMAINS===
`

// precedenceProfile has a pattern for each step of "the most specific wins".
const precedenceProfile = `
$TTL 600
@                 NS   {ns}
@                 SOA  {mname} {rname} 7 7200 900 1209600 ( 300 ) ; minimum below the TTL
@                 TXT  "apex of {base}"
**                TXT  "anything"
*                 TXT  "one label"
www               TXT  "www"
**.www            TXT  "below www"
*.www             TXT  "one below www"
www.*             TXT  "www of one"
a.**.b            TXT  "a over b"
_x                TXT  "x"
*._x          60  TXT  "one below x"
**._x             TXT  "many below x;{rua}{ruf}"
_x.**             TXT  "x anywhere" "in two strings"
*._tcp.*          SRV  0 0 0 .
www               A    192.0.2.80
                  AAAA 2001:db8::80
*                 MX   10 mail.{base}.
                  MX   20 {mname}
**                CAA  0 iodef "{iodef}"
`

type settings struct {
	name    string
	cfg     resolver.Config
	cookies bool
}

func differentialSettings(t testing.TB) []settings {
	t.Helper()
	suffixes := resolver.Source{Name: "few", Text: []byte(fewSuffixes)}
	full := resolver.Config{
		NameServers: []resolver.NameServer{
			{Name: "ns1.park.org.", Addresses: addrs("192.0.2.1", "192.0.2.2", "2001:db8::1")},
			{Name: "NS2.Park.Org"},
			{Name: "ns3.example.com", Addresses: addrs("2001:db8::3")},
			{Name: "ns.local", Addresses: addrs("192.0.2.4")},
		},
		Hostmaster:     "host.master@park.org",
		PublicSuffixes: suffixes,
		RUA:            []string{"a@park.org", "b@park.org"},
		RUF:            []string{"f@park.org"},
		IODEF:          []string{"sec@park.org", "https://park.org/iodef"},
		Apexes:         []string{"deep.example.org", "c.b.a.example.com"},
		Identity:       resolver.Identity{Version: "domain-park test", ID: "edge1"},
	}
	plain := resolver.Config{NameServers: []resolver.NameServer{{Name: "ns1.example.uk"}}, PublicSuffixes: suffixes}
	crowded := resolver.Config{PublicSuffixes: suffixes, TTL: 5 * time.Minute, Only: []string{"example.com", "www.example.co.uk", "github.io", "xn--bcher-kva.com"}, Refuse: []string{"evil.example.com"}}
	for i := range 13 {
		name := fmt.Sprintf("ns%d.%s.%s.com", i, strings.Repeat("x", 40), strings.Repeat(string(rune('a'+i)), 40))
		crowded.NameServers = append(crowded.NameServers, resolver.NameServer{Name: name, Addresses: addrs(fmt.Sprintf("192.0.2.%d", i), fmt.Sprintf("2001:db8::%d", i))})
	}
	precedence := full
	precedence.Profile = resolver.Source{Name: "precedence", Text: []byte(precedenceProfile)}
	wholeList := full // the lists of both sides have their own dates: no rule of the names below changes any more
	wholeList.PublicSuffixes = resolver.Source{}
	return []settings{{"full", full, false}, {"plain", plain, false}, {"crowded", crowded, true}, {"precedence", precedence, false}, {"cookies", full, true}, {"whole list", wholeList, false}}
}

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

var (
	someParents = strings.Fields(`example.com example.com example.co.uk example.org deep.example.org b.a.example.com c.b.a.example.com
		github.io foo.github.io uk.com shop.uk.com com co.uk uk . www.ck foo.ck bar.foo.ck ck kawasaki.jp x.kawasaki.jp y.x.kawasaki.jp
		city.kawasaki.jp compute.cloud.com a.compute.cloud.com b.a.compute.cloud.com free.compute.cloud.com arpa 1.in-addr.arpa
		local ns.local a.onion localhost nosuchtld example.nosuchtld ns1.park.org ns2.park.org ns3.example.com ns1.example.uk park.org
		www.example.co.uk evil.example.com xn--bcher-kva.com _dmarc.com example._tcp.com version.bind version.server id.server hostname.bind`)
	someLabels = strings.Fields(`www a b c * ** @ _dmarc _domainkey _domainkey sel1 default _bimi _mta-sts _smtp _tls _tcp _x _ mail x_y xn--bcher-kva -`)
	someTypes  = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeTXT, dns.TypeTXT, dns.TypeMX, dns.TypeMX, dns.TypeCAA, dns.TypeNS, dns.TypeNS, dns.TypeSOA,
		dns.TypeANY, dns.TypeSRV, dns.TypeHTTPS, dns.TypeDS, dns.TypeDNSKEY, dns.TypeCNAME, dns.TypePTR, dns.TypeHINFO, dns.TypeSPF, dns.TypeAXFR, dns.TypeIXFR,
		dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY, dns.TypeMAILA, dns.TypeMAILB, 0, 65280, 65535}
	someOptions = []uint16{dns.EDNS0NSID, dns.EDNS0COOKIE, dns.EDNS0COOKIE, dns.EDNS0SUBNET, dns.EDNS0TCPKEEPALIVE, dns.EDNS0PADDING, dns.EDNS0EDE, 100, 0, 65535}
)

func pick[T any](rnd *rand.Rand, from []T) T { return from[rnd.IntN(len(from))] }

// randomMessage makes a query: mostly one that a resolver could send, often
// with something odd about it, sometimes broken.
func randomMessage(rnd *rand.Rand) []byte {
	var flags uint16 = 0x0100
	if rnd.IntN(4) == 0 {
		flags = uint16(rnd.Uint32()) & 0x07ff
	}
	if rnd.IntN(30) == 0 {
		flags |= uint16(rnd.IntN(16)) << 11
	}
	if rnd.IntN(100) == 0 {
		flags |= bitQR
	}
	counts := [4]uint16{1, 0, 0, 0}
	var body []byte
	if rnd.IntN(60) == 0 {
		counts[0] = uint16(rnd.IntN(3))
	}
	for range counts[0] {
		body = append(body, randomQuestion(rnd)...)
	}
	for section := 1; section <= 3; section++ {
		for rnd.IntN(25) == 0 {
			body = append(body, randomRecord(rnd)...)
			counts[section]++
		}
		if section == 3 && rnd.IntN(2) == 0 || rnd.IntN(150) == 0 {
			body = append(body, randomOPT(rnd)...)
			counts[section]++
		}
	}
	if rnd.IntN(60) == 0 {
		counts[rnd.IntN(4)]++
	}
	message := binary.BigEndian.AppendUint16(nil, uint16(rnd.Uint32()))
	message = binary.BigEndian.AppendUint16(message, flags)
	for _, n := range counts {
		message = binary.BigEndian.AppendUint16(message, n)
	}
	return mangle(rnd, append(message, body...))
}

// mangle breaks one message in ten.
func mangle(rnd *rand.Rand, message []byte) []byte {
	switch rnd.IntN(50) {
	case 0:
		return message[:rnd.IntN(len(message)+1)]
	case 1:
		return append(message, bytes.Repeat([]byte{byte(rnd.Uint32())}, 1+rnd.IntN(20))...)
	case 2, 3:
		for range 1 + rnd.IntN(3) {
			message[rnd.IntN(len(message))] = byte(rnd.Uint32())
		}
	case 4:
		message[rnd.IntN(len(message))] = pick(rnd, []byte{0, 0x3f, 0x40, 0x80, 0xc0, 0xff})
	}
	return message
}

func randomQuestion(rnd *rand.Rand) []byte {
	qtype, qclass := pick(rnd, someTypes), uint16(dns.ClassINET)
	if rnd.IntN(50) == 0 {
		qtype = uint16(rnd.Uint32())
	}
	if rnd.IntN(12) == 0 {
		qclass = pick(rnd, []uint16{dns.ClassCHAOS, dns.ClassCHAOS, dns.ClassCHAOS, dns.ClassANY, dns.ClassNONE, dns.ClassHESIOD, 0, 2, 65535})
	}
	out := randomName(rnd)
	out = binary.BigEndian.AppendUint16(out, qtype)
	return binary.BigEndian.AppendUint16(out, qclass)
}

func randomName(rnd *rand.Rand) []byte {
	labels := splitName(pick(rnd, someParents))
	depth := rnd.IntN(4)
	if rnd.IntN(40) == 0 {
		depth = rnd.IntN(130)
	}
	for range depth {
		label := pick(rnd, someLabels)
		switch rnd.IntN(60) {
		case 0:
			label = strings.Repeat(label, 40)[:1+rnd.IntN(min(63, 40*len(label)))]
		case 1:
			label = string([]byte{byte(rnd.Uint32()), byte(rnd.Uint32()), '.'})
		}
		labels = append([]string{label}, labels...)
	}
	upper := rnd.IntN(3)
	var out []byte
	for _, l := range labels {
		if rnd.IntN(2000) > 0 && len(out)+len(l) > 252 { // now and then, too long a name
			break
		}
		out = append(out, byte(len(l)))
		for _, c := range []byte(l) {
			if upper > 0 && rnd.IntN(3) < upper && 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			out = append(out, c)
		}
	}
	return append(out, 0)
}

func randomRecord(rnd *rand.Rand) []byte {
	owner := pick(rnd, [][]byte{{0}, {0xc0, 12}, {1, 'a', 0xc0, 12}, {0xc0, 0xff}, {3, 'c', 'o', 'm', 0}})
	if rnd.IntN(20) == 0 {
		owner = []byte{0x41, 1, 0}
	}
	rdata := make([]byte, rnd.IntN(20))
	return record(owner, pick(rnd, []uint16{dns.TypeA, dns.TypeTSIG, dns.TypeSIG, dns.TypeSOA, dns.TypeTKEY}), pick(rnd, []uint16{1, 255}), rnd.Uint32(), rdata)
}

func randomOPT(rnd *rand.Rand) []byte {
	owner, size, ttl := []byte{0}, pick(rnd, []uint16{0, 100, 511, 512, 513, 600, 1231, 1232, 1233, 1400, 4096, 65535}), uint32(0)
	if rnd.IntN(3) == 0 {
		ttl = 0x8000
	}
	switch rnd.IntN(20) {
	case 0:
		ttl = rnd.Uint32() & 0xff00ffff // flags and an extended RCODE, which mean nothing here
	case 1:
		ttl |= uint32(1+rnd.IntN(255)) << 16
	case 2:
		owner = pick(rnd, [][]byte{{0xc0, 12}, {1, 'a', 0}})
	}
	var options []byte
	for rnd.IntN(2) == 0 {
		data := make([]byte, rnd.IntN(12)*rnd.IntN(2))
		code := pick(rnd, someOptions)
		if code == dns.EDNS0COOKIE {
			data = []byte(strings.Repeat("cookie", 7))[:pick(rnd, []int{8, 8, 8, 24, 24, 0, 7, 9, 15, 16, 40, 41})]
		}
		options = binary.BigEndian.AppendUint16(options, code)
		options = binary.BigEndian.AppendUint16(options, uint16(len(data)))
		options = append(options, data...)
	}
	if len(options) > 0 && rnd.IntN(30) == 0 {
		options = options[:rnd.IntN(len(options))]
	}
	return record(owner, dns.TypeOPT, size, ttl, options)
}

func record(owner []byte, rtype, class uint16, ttl uint32, rdata []byte) []byte {
	out := binary.BigEndian.AppendUint16(bytes.Clone(owner), rtype)
	out = binary.BigEndian.AppendUint16(out, class)
	out = binary.BigEndian.AppendUint32(out, ttl)
	out = binary.BigEndian.AppendUint16(out, uint16(len(rdata)))
	return append(out, rdata...)
}
