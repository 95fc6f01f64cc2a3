package audit

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/miekg/dns"
)

// hostile are servers that nobody would wish for: each makes of a query the
// bytes that it sends. No bytes are silence.
var hostile = map[string]func(q *dns.Msg, wire []byte) []byte{
	"silence":  func(*dns.Msg, []byte) []byte { return nil },
	"garbage":  func(*dns.Msg, []byte) []byte { return []byte(strings.Repeat("\x1b[31m\xff", 50)) },
	"one byte": func(*dns.Msg, []byte) []byte { return []byte{0} },
	"an echo":  func(_ *dns.Msg, wire []byte) []byte { return wire },
	"wrong ID": func(q *dns.Msg, _ []byte) []byte {
		m := good(q)
		m.Id++
		return packed(m)
	},
	"another question": func(q *dns.Msg, _ []byte) []byte {
		m := good(q)
		m.Question[0].Name = "other.example."
		return packed(m)
	},
	"no question": func(q *dns.Msg, _ []byte) []byte {
		m := good(q)
		m.Question = nil
		return packed(m)
	},
	"always truncated": func(q *dns.Msg, _ []byte) []byte {
		m := good(q)
		m.Truncated = true
		return packed(m)
	},
	"silence after the first answer": func(q *dns.Msg, _ []byte) []byte {
		if q.Question[0].Qtype != dns.TypeSOA {
			return nil
		}
		return packed(good(q))
	},
	"counts that lie": func(q *dns.Msg, _ []byte) []byte {
		wire := packed(good(q))
		binary.BigEndian.PutUint16(wire[6:], 65535)
		return wire
	},
	"a name that points to itself": func(q *dns.Msg, _ []byte) []byte {
		wire := packed(new(dns.Msg).SetReply(q))
		binary.BigEndian.PutUint16(wire[6:], 1)
		binary.BigEndian.PutUint16(wire[10:], 0)
		return append(wire, 0xC0, byte(len(wire)), 0, 16, 0, 1, 0, 0, 0, 0, 0, 0)
	},
	"endless aliases": func(q *dns.Msg, _ []byte) []byte {
		m := good(q)
		if q.Question[0].Qtype != dns.TypeSOA {
			m.Answer = nil
			for i, name := 0, q.Question[0].Name; i < 200; i++ {
				next := fmt.Sprintf("a%d.example.com.", i)
				m.Answer = append(m.Answer, rr("%s CNAME %s", name, next))
				name = next
			}
		}
		return packed(m)
	},
	"a circle of aliases": func(q *dns.Msg, _ []byte) []byte {
		m := good(q)
		if q.Question[0].Qtype != dns.TypeSOA {
			m.Answer = []dns.RR{rr("%s CNAME b.example.com.", q.Question[0].Name), rr("b.example.com. CNAME %s", q.Question[0].Name)}
		}
		return packed(m)
	},
	"huge answers": func(q *dns.Msg, _ []byte) []byte {
		m := good(q)
		for m.Len() < 60000 {
			m.Answer = append(m.Answer, rr(`%s TXT "v=spf1 %s"`, q.Question[0].Name, strings.Repeat("x", 200)),
				rr("%s MX 10 %d.example.com.", q.Question[0].Name, m.Len()), rr("%s NS ns%d.example.com.", q.Question[0].Name, m.Len()))
		}
		m.Compress = true
		return packed(m)
	},
	"escape sequences": func(q *dns.Msg, _ []byte) []byte {
		m := good(q)
		n := q.Question[0].Name
		m.Answer = append(m.Answer,
			rr(`%s TXT "v=spf1 \027[2J\027]0;owned\007 \226\128\174 -all" "\000\010\013"`, n), rr(`%s TXT "v=DMARC1; p=\027[31mnone; rua=mailto:x@\027[1m.example"`, n),
			rr(`%s MX 10 \027[2J.example.com.`, n), rr(`%s NS \027[2J.example.com.`, n), rr(`%s CAA 0 issue "\027[2J"`, n))
		return packed(m)
	},
}

// good is an answer with the SOA record that keeps a server in the audit.
func good(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	if q.Question[0].Qtype == dns.TypeSOA {
		m.Answer = []dns.RR{rr("%s SOA a. b. 1 2 3 4 5", q.Question[0].Name)}
	}
	return m
}

func rr(format string, args ...any) dns.RR {
	r, err := dns.NewRR(fmt.Sprintf(format, args...))
	if err != nil {
		panic(err)
	}
	return r
}

func packed(m *dns.Msg) []byte {
	wire, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return wire
}

// TestHostileServers: whatever a server sends, the audit ends in its time, says that
// the domain fails, and prints nothing that a terminal would obey.
func TestHostileServers(t *testing.T) {
	for name, answer := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, cfg := range []Config{
				{Server: Server{Addr: hostileAt}},
				{Server: Server{Addr: hostileAt}, Resolvers: []netip.AddrPort{hostileAt}},
				{Resolvers: []netip.AddrPort{hostileAt}},
			} {
				synctest.Test(t, func(t *testing.T) {
					a := hostileServer{t, answer}.audit(cfg)
					defer a.Close()
					begin := time.Now()
					r := a.Domain(t.Context(), "example.com")
					if took := time.Since(begin); took > domainTime*a.cfg.Timeout {
						t.Errorf("it took %v", took)
					}
					expectFailure(t, r)
				})
			}
		})
	}
}

func expectFailure(t *testing.T, r *Report) {
	t.Helper()
	if r.Verdict != Fail {
		t.Errorf("%s", table(t, r))
	}
	wire, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{table(t, r), string(wire)} {
		if strings.ContainsFunc(text, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }) || len(text) > 100_000 {
			t.Errorf("not fit to print: %q", text)
		}
	}
}

// TestHostileServersThatNameThousands: a domain's server tells of two thousand
// name servers of somebody else's, and the resolver is not asked for them all.
func TestHostileServersThatNameThousands(t *testing.T) {
	var lookups atomic.Int64
	answer := func(q *dns.Msg, _ []byte) []byte {
		m, name := good(q), q.Question[0].Name
		switch {
		case q.Question[0].Qtype == dns.TypeNS && name == "example.com.":
			m.Answer = append(m.Answer, rr("example.com. NS a.example.com."))
			for i := range 2000 {
				m.Answer = append(m.Answer, rr("example.com. NS n%d.victim.example.", i))
			}
			m.Extra = append(m.Extra, rr("a.example.com. A %s", hostileAt.Addr()))
		case q.Question[0].Qtype == dns.TypeNS:
			m.Answer = append(m.Answer, rr("%s NS a.example.com.", name))
		case strings.HasSuffix(name, ".victim.example."):
			lookups.Add(1)
		case q.Question[0].Qtype == dns.TypeA && name == "a.example.com.":
			m.Answer = append(m.Answer, rr("a.example.com. A %s", hostileAt.Addr()))
		}
		m.Compress = true
		return packed(m)
	}
	synctest.Test(t, func(t *testing.T) {
		a := hostileServer{t, answer}.audit(Config{Resolvers: []netip.AddrPort{hostileAt}})
		defer a.Close()
		a.Domain(t.Context(), "example.com")
	})
	if n := lookups.Load(); n == 0 || n > 2*2*maxServers {
		t.Errorf("%d lookups for name servers, want 1 to %d", n, 2*2*maxServers)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"v=spf1 -all":             "v=spf1 -all",
		"bücher":                  "bücher",
		"\x1b[2J\x07\n":           `\x1b[2J\x07\x0a`,
		"\u202etxt.exe\u0085":     `\u202etxt.exe\u0085`,
		"\xff\xfe�":               `\xff\xfe�`,
		strings.Repeat("a", 1000): strings.Repeat("a", maxFound) + "…",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzReport: nothing that a server sends panics a judge.
func FuzzReport(f *testing.F) {
	for _, answer := range hostile {
		for _, qtype := range []uint16{dns.TypeTXT, dns.TypeMX, dns.TypeCAA, dns.TypeNS, dns.TypeDNSKEY} {
			q := question("example.com", qtype, false)
			if wire := answer(q, packed(q)); wire != nil && len(wire) < 1000 {
				f.Add(wire)
			}
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		m := new(dns.Msg)
		if m.Unpack(wire) != nil || len(m.Question) != 1 {
			return
		}
		a := answer{msg: m}
		s := &server{Server: Server{Addr: netip.MustParseAddrPort("192.0.2.1:53")}, main: answer{msg: good(question("example.com", dns.TypeSOA, false))}, ns: a, foreign: a}
		for range recordChecks {
			s.records = append(s.records, a)
		}
		e := &evidence{domain: "example.com", servers: []*server{s}, dnskey: a, resolved: a}
		e.reportTargets()
		for _, row := range judge(e).Rows {
			if strings.ContainsFunc(row.Found, func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Errorf("not fit to print: %q", row.Found)
			}
		}
		d := &delegation{parent: "com"}
		d.read("example.com", m)
	})
}
