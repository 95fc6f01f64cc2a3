package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domainpark/listeners"
	"domainpark/query"
	"domainpark/telemetry"

	"github.com/miekg/dns"
)

// TestScenarios plays every script of testdata/scenarios over every transport,
// against listeners and a resolver that are built from the script's settings
// as the program builds them. scenario_script_test.go tells the format.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "testdata/scenarios/*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := readScenario(t, file)
			for _, transport := range scenarioTransports {
				t.Run(transport.name, func(t *testing.T) { s.play(t, transport) })
			}
		})
	}
}

func (s *scenario) play(t *testing.T, transport scenarioTransport) {
	srv, addrs := s.serve(t, transport)
	c := transport.dial(t, addrs[transport.transport.String()])
	sentinels := uint64(0)
	for i, step := range s.steps {
		if !step.on.has(transport.name) {
			continue
		}
		message := step.message(uint16(i + 1))
		answer, sent := c.exchange(t, message, step.expect(transport.name).silence)
		sentinels += sent
		for _, wrong := range step.expect(transport.name).compare(message, answer, transport.transport) {
			t.Errorf("%s:%d: %s\n\t%s", s.file, step.line, step.text, wrong)
		}
	}
	if s.counters == nil {
		t.Fatalf("%s: no counters at the end", s.file)
	}
	got := srv.counters.Snapshot()
	got[transport.transport][query.KindNotImp][query.Refused] -= sentinels
	want := s.count(transport)
	if *got != *want {
		t.Errorf("%s: counters\n\tgot  %s\n\twant %s", s.file, countText(got), countText(want))
	}
}

// serve builds the server of a scenario, listening as transport says, and ends
// it with the test. addrs are by the listeners' names of transports. Loopback
// is trusted unless the settings say who is: a script's queries come faster
// than any limit allows.
func (s *scenario) serve(t *testing.T, transport scenarioTransport) (srv *server, addrs map[string]string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	from := source{Config: s.settingsFile(t)}
	srv, err := from.load()
	if err != nil {
		t.Fatalf("%s: settings:\n%v", s.file, err)
	}
	if !srv.settings.Given("policy.trust") {
		srv.settings.Policy.Trust = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	if err := srv.open(log); err != nil {
		t.Fatal(err)
	}
	cfg := srv.listenersConfig()
	cfg.UDP, cfg.TCP, cfg.DoT, cfg.DoH, cfg.DoQ = nil, nil, nil, nil, nil
	transport.listen(&cfg)
	cfg.Log = log
	return srv, serveListeners(t, cfg, srv)
}

// serveListeners serves until the test ends.
func serveListeners(t *testing.T, cfg listeners.Config, srv *server) (addrs map[string]string) {
	t.Helper()
	set, err := listeners.Bind(cfg, srv.resolver)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	end := srv.background(slog.New(slog.DiscardHandler))
	go func() { ended <- set.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		end()
	})
	addrs = map[string]string{}
	for _, b := range set.Bound() {
		addrs[b.Transport] = b.Addr.String()
	}
	return addrs
}

// compare lists what is wrong with an answer.
func (e *expectation) compare(message, answer []byte, transport query.Transport) (wrong []string) {
	note := func(what string, got, want any) {
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			wrong = append(wrong, fmt.Sprintf("%s: got %s, want %s", what, g, w))
		}
	}
	if e.silence || answer == nil {
		note("answer", fmt.Sprintf("%x", answer), map[bool]string{true: "", false: "one"}[e.silence])
		return wrong
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		return []string{fmt.Sprintf("answer does not parse: %v: %x", err, answer)}
	}
	note("ID", m.Id, uint16(message[0])<<8|uint16(message[1]))
	note("QR", m.Response, true)
	note("opcode", m.Opcode, message[2]>>3&15)
	note("status", statusText(m), e.status)
	if e.noQuestion {
		note("questions", len(m.Question), 0)
	} else if question := questionBytes(message); !bytes.HasPrefix(answer[12:], question) || len(m.Question) != 1 {
		note("question", fmt.Sprintf("%d, %x", len(m.Question), answer[12:]), fmt.Sprintf("1, %x", question))
	}
	note("answer", recordTexts(m.Answer), e.answer)
	note("authority", recordTexts(m.Ns), e.authority)
	if additional := recordTexts(m.Extra); !e.fewer || len(additional) >= len(e.additional) || !isSubset(additional, e.additional) {
		note("additional", additional, e.additional)
	}
	note("edns", ednsText(m), e.edns)
	if e.bytes > 0 && len(answer) > e.bytes {
		note("bytes", len(answer), fmt.Sprint("at most ", e.bytes))
	}
	if padded := optionOf(m, dns.EDNS0PADDING) != nil; padded != (transport.Encrypted() && e.edns != "" && m.Rcode != dns.RcodeBadVers) {
		note("padding", padded, !padded)
	} else if padded && len(answer)%468 != 0 {
		note("bytes", len(answer), "a multiple of 468")
	}
	return wrong
}

// questionBytes is a message's first question as it was sent.
func questionBytes(message []byte) []byte {
	for i := 12; i < len(message); i += 1 + int(message[i]) {
		if message[i] == 0 {
			return message[12:min(i+5, len(message))]
		}
	}
	return message[12:]
}

func statusText(m *dns.Msg) string {
	words := []string{dns.RcodeToString[m.Rcode]}
	if m.Rcode == dns.RcodeBadVers {
		words[0] = "BADVERS" // which has its number in common with TSIG's BADSIG
	}
	for _, f := range []struct {
		set  bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.RecursionDesired, "rd"}, {m.RecursionAvailable, "ra"}, {m.Zero, "z"}, {m.AuthenticatedData, "ad"}, {m.CheckingDisabled, "cd"}} {
		if f.set {
			words = append(words, f.name)
		}
	}
	return strings.Join(words, " ")
}

func recordTexts(rrs []dns.RR) []string {
	out := []string{}
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeOPT {
			out = append(out, rr.String())
		}
	}
	slices.Sort(out)
	return out
}

// ednsText writes an OPT record as scripts do; "" when there is none.
func ednsText(m *dns.Msg) string {
	opt := m.IsEdns0()
	if opt == nil {
		return ""
	}
	words := []string{fmt.Sprintf("size=%d", opt.UDPSize())}
	if v := opt.Version(); v != 0 {
		words = append(words, fmt.Sprintf("version=%d", v))
	}
	if opt.Do() {
		words = append(words, "do")
	}
	if z := opt.Z(); z != 0 {
		words = append(words, fmt.Sprintf("z=%x", z))
	}
	for _, o := range opt.Option {
		switch o := o.(type) {
		case *dns.EDNS0_PADDING:
		case *dns.EDNS0_COOKIE:
			client, server := o.Cookie[:16], o.Cookie[16:]
			if len(server) != 2*16 { // RFC 9018 §4
				client = o.Cookie
			}
			words = append(words, "cookie="+client)
		case *dns.EDNS0_EDE:
			words = append(words, fmt.Sprintf("ede=%d", o.InfoCode))
		case *dns.EDNS0_NSID:
			words = append(words, "nsid="+o.Nsid)
		case *dns.EDNS0_TCP_KEEPALIVE:
			words = append(words, fmt.Sprintf("keepalive=%d", o.Timeout))
		default:
			words = append(words, fmt.Sprintf("option=%d:%s", o.Option(), o))
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func isSubset(part, whole []string) bool {
	for _, s := range part {
		if !slices.Contains(whole, s) {
			return false
		}
	}
	return true
}

func optionOf(m *dns.Msg, code uint16) dns.EDNS0 {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if o.Option() == code {
				return o
			}
		}
	}
	return nil
}

func countText(c *telemetry.Count) string {
	var out []string
	for t := range query.Transports {
		for k := range query.Kinds {
			for v := range query.Verdicts {
				if n := c[t][k][v]; n > 0 {
					out = append(out, fmt.Sprintf("%s %s %s %d", t, k, v, n))
				}
			}
		}
	}
	return strings.Join(out, ", ")
}
