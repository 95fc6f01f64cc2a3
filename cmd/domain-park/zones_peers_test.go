package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// TestZonesAnswerAsNSDAndKnot loads generated zones into this server, NSD and
// Knot DNS, and asks all three 100,000 times: response code, flags and the
// sections as sets must be the same, but for the differences of
// docs/conformance.md, which wantedDifferences knows.
func TestZonesAnswerAsNSDAndKnot(t *testing.T) {
	comparePeers(t, unsigned, func(t *testing.T, dir string, zones map[string]*generatedZone) {
		for name, z := range zones {
			write(t, dir, name+".zone", z.text())
		}
	})
}

// TestSignedZonesAnswerAsNSDAndKnot is the same with these zones signed, in each
// of the ways to deny what is not there.
func TestSignedZonesAnswerAsNSDAndKnot(t *testing.T) {
	tool(t, "dnssec-signzone")
	for name, options := range signedHow {
		t.Run(name, func(t *testing.T) {
			comparePeers(t, signed, func(t *testing.T, dir string, zones map[string]*generatedZone) {
				for name, z := range zones {
					signZone(t, dir, name, z.text(), options...)
				}
			})
		})
	}
}

// Whether the zones that are compared are signed.
const (
	unsigned = false
	signed   = true
)

// comparePeers asks this server, NSD and Knot DNS about generated zones, which
// place puts into a directory.
func comparePeers(t *testing.T, signed bool, place func(t *testing.T, dir string, zones map[string]*generatedZone)) {
	t.Helper()
	nsd, knotd := tool(t, "nsd"), tool(t, "knotd")
	queries := 100_000
	if testing.Short() {
		queries = 10_000
	}
	rnd := rand.New(rand.NewPCG(6, 1))
	zones := generateZones(rnd)
	dir := t.TempDir()
	place(t, dir, zones)
	settings := write(t, t.TempDir(), "settings.yaml", fastSettings+"zones: "+dir+"\n")
	servers := []*peer{
		startHere(t, settings),
		startNSD(t, nsd, dir, zones),
		startKnot(t, knotd, dir, zones),
	}
	for _, p := range servers {
		p.connect(t)
	}
	asker := newAsker(rnd, zones)
	seen := map[string]int{}
	for i := range queries / batch {
		questions, wires := asker.batch(t)
		got := make([][]*dns.Msg, len(servers))
		var wg sync.WaitGroup
		for j, p := range servers {
			wg.Go(func() { got[j] = p.ask(t, wires, i%10 == 0) })
		}
		if wg.Wait(); t.Failed() {
			return
		}
		for k, q := range questions {
			seen[dns.RcodeToString[got[0][k].Rcode]]++
			for j, p := range servers[1:] {
				p.compare(t, signed, q, got[0][k], got[j+1][k], seen)
			}
		}
		if t.Failed() {
			return // one batch has enough to look at
		}
	}
	t.Log(seen)
	for _, rcode := range []string{"NOERROR", "NXDOMAIN", "YXDOMAIN"} {
		if seen[rcode] == 0 && !testing.Short() { // a few queries need not meet all of them
			t.Errorf("no query got %s: the zones do not cover it", rcode)
		}
	}
}

// batch is how many questions are asked at once, in one write over TCP: many,
// because both ends wait for one another at the end (RFC 9293 §3.7.4).
const batch = 500

// batch is some questions, and what is sent.
func (a *asker) batch(t *testing.T) (questions []*dns.Msg, wires [][]byte) {
	t.Helper()
	for range batch {
		q := a.next()
		wire, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		questions, wires = append(questions, q), append(wires, wire)
	}
	return questions, wires
}

// compare reports what differs between our answer and that of p, and counts
// the differences that are wanted.
func (p *peer) compare(t *testing.T, signed bool, q, own, theirs *dns.Msg, seen map[string]int) {
	t.Helper()
	if opt := q.IsEdns0(); signed && opt != nil && opt.Do() {
		if missing := unproven(q, own); missing != "" {
			t.Errorf("%s: our answer does not prove %s:\n%s", q.Question[0].String(), missing, peerText(own))
		}
	}
	a, b := own.Copy(), theirs.Copy()
	for _, d := range wantedDifferences {
		if d.server == p.name && d.apply(q, a, b) {
			seen[p.name+": "+d.reason]++
		}
	}
	if peerText(a) != peerText(b) {
		t.Errorf("%s\n--- here\n%s--- %s\n%s", q.Question[0].String(), peerText(own), p.name, peerText(theirs))
	}
}

// peerText is what is compared of an answer. Of a truncated one, only that it is.
func peerText(m *dns.Msg) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", statusText(m))
	if m.Truncated {
		return b.String()
	}
	for _, s := range []struct {
		name string
		rrs  []dns.RR
	}{{"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		for _, line := range peerRecords(s.rrs) {
			fmt.Fprintf(&b, "%s %s\n", s.name, line)
		}
	}
	if opt := m.IsEdns0(); opt != nil {
		fmt.Fprintf(&b, "edns do=%t\n", opt.Do())
	}
	return b.String()
}

// peerRecords are records without the case of their names, sorted.
func peerRecords(rrs []dns.RR) []string {
	lines := recordTexts(rrs)
	for i := range lines {
		if !strings.Contains(lines[i], `"`) {
			lines[i] = strings.ToLower(lines[i])
		} else if owner, rest, ok := strings.Cut(lines[i], "\t"); ok {
			lines[i] = strings.ToLower(owner) + "\t" + rest
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}
