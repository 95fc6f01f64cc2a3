package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestZonesAnswerAsNSDAndKnot loads generated zones into this server, NSD and
// Knot DNS, and asks all three 100,000 times: response code, flags and the
// sections as sets must be the same, but for the differences of
// docs/conformance.md, which wantedDifferences knows.
func TestZonesAnswerAsNSDAndKnot(t *testing.T) {
	nsd, knotd := tool(t, "nsd"), tool(t, "knotd")
	queries := 100_000
	if testing.Short() {
		queries = 10_000
	}
	rnd := rand.New(rand.NewPCG(6, 1))
	zones := generateZones(rnd)
	dir := t.TempDir()
	for name, z := range zones {
		write(t, dir, name+".zone", z.text())
	}
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
				p.compare(t, q, got[0][k], got[j+1][k], seen)
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
func (p *peer) compare(t *testing.T, q, own, theirs *dns.Msg, seen map[string]int) {
	t.Helper()
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

// wantedDifferences are the rows of docs/conformance.md about other servers.
// apply makes the two answers equal as far as one explains, and tells whether
// it did anything.
var wantedDifferences = []struct {
	server, reason string
	apply          func(q, own, theirs *dns.Msg) bool
}{
	{"NSD", "the zone's NS in every answer", dropAuthority},
	{"NSD", "ANY", dropANY},
	{"NSD", "DS in referrals", dropDS},
	{"NSD", "addresses from another zone", dropForeign},
	{"Knot DNS", "ANY", dropANY},
	{"Knot DNS", "DS in referrals", dropDS},
	{"Knot DNS", "addresses from another zone", dropForeign},
	{"Knot DNS", "RRSIG and NSEC of an alias", dropSignatures},
	{"Knot DNS", "SOA that does not fit", dropTruncation},
	{"Knot DNS", "SOA with YXDOMAIN", dropSOA},
	{"Knot DNS", "chains of more than five, or into another zone", dropRest},
}

// dropAuthority takes the zone's NS records out of an answer that has records,
// with the addresses of these name servers.
func dropAuthority(_, own, theirs *dns.Msg) bool {
	if len(theirs.Answer) == 0 || len(own.Ns) > 0 || len(theirs.Ns) == 0 || theirs.Ns[0].Header().Rrtype != dns.TypeNS {
		return false
	}
	theirs.Extra = slices.DeleteFunc(theirs.Extra, func(rr dns.RR) bool {
		isServer := slices.ContainsFunc(theirs.Ns, func(ns dns.RR) bool { return strings.EqualFold(ns.(*dns.NS).Ns, rr.Header().Name) })
		return isServer && !slices.ContainsFunc(own.Extra, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) })
	})
	theirs.Ns = nil
	return true
}

// dropANY takes the records that ANY was answered with out of both answers.
func dropANY(q, own, theirs *dns.Msg) bool {
	if q.Question[0].Qtype != dns.TypeANY || len(own.Answer) == 0 || len(theirs.Answer) == 0 && !theirs.Truncated {
		return false
	}
	last := own.Answer[len(own.Answer)-1]
	if last.Header().Rrtype != dns.TypeHINFO {
		return false
	}
	own.Answer = own.Answer[:len(own.Answer)-1]
	if theirs.Truncated { // all sets together are longer
		theirs.Truncated, theirs.Answer = false, own.Answer
	}
	theirs.Answer = slices.DeleteFunc(theirs.Answer, func(rr dns.RR) bool {
		return strings.EqualFold(rr.Header().Name, last.Header().Name)
	})
	theirs.Extra = slices.DeleteFunc(theirs.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT })
	return true
}

// dropDS takes DS records out of a referral. The others have them for signed
// zones alone.
func dropDS(_, own, _ *dns.Msg) bool {
	n := len(own.Ns)
	own.Ns = slices.DeleteFunc(own.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS })
	return len(own.Ns) < n
}

// dropForeign takes addresses out of our additional section that come from
// another zone than the records that point to them.
func dropForeign(_, own, theirs *dns.Msg) bool {
	pointing := append(slices.Clone(own.Answer), own.Ns...)
	if len(pointing) == 0 {
		return false
	}
	zone := zoneOf(pointing[len(pointing)-1].Header().Name)
	n := len(own.Extra)
	own.Extra = slices.DeleteFunc(own.Extra, func(rr dns.RR) bool {
		return rr.Header().Rrtype != dns.TypeOPT && zoneOf(rr.Header().Name) != zone &&
			!slices.ContainsFunc(theirs.Extra, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) })
	})
	return len(own.Extra) < n
}

// dropSignatures takes out aliases that were followed for a type that a signed
// zone has beside a CNAME. All these zones are unsigned.
func dropSignatures(q, own, theirs *dns.Msg) bool {
	if t := q.Question[0].Qtype; t != dns.TypeRRSIG && t != dns.TypeNSEC {
		return false
	}
	n := len(theirs.Answer)
	if n >= len(own.Answer) || own.Answer[n].Header().Rrtype != dns.TypeCNAME || len(theirs.Ns) != 1 {
		return false
	}
	own.Rcode, own.Answer, own.Ns, own.Extra = theirs.Rcode, own.Answer[:n], theirs.Ns, theirs.Extra
	return true
}

// dropTruncation is for an SOA record behind aliases that does not fit: Knot
// DNS leaves it out, here the answer is truncated.
func dropTruncation(_, own, theirs *dns.Msg) bool {
	if !own.Truncated || theirs.Truncated || len(theirs.Answer) == 0 || len(theirs.Ns) > 0 {
		return false
	}
	theirs.Truncated = true
	return true
}

// dropSOA takes the SOA record out of their YXDOMAIN: nothing negative is there
// to keep (RFC 6672 §2.2).
func dropSOA(_, own, theirs *dns.Msg) bool {
	if own.Rcode != dns.RcodeYXDomain || theirs.Rcode != own.Rcode || len(own.Ns) > 0 {
		return false
	}
	theirs.Ns = nil
	return true
}

// dropRest takes out of both answers what follows an alias that leads to
// another zone, or the fifth: Knot DNS looks for its target in the same zone
// alone, and follows no more.
func dropRest(q, own, theirs *dns.Msg) bool {
	ds := q.Question[0].Qtype == dns.TypeDS // which an apex has in the zone above
	aliases := 0
	for i, rr := range theirs.Answer {
		if i >= len(own.Answer) || !dns.IsDuplicate(rr, own.Answer[i]) {
			return false
		}
		cname, ok := rr.(*dns.CNAME)
		if !ok {
			continue
		}
		if aliases++; aliases == 5 || zoneOf(cname.Hdr.Name) != zoneOf(cname.Target) || ds && strings.EqualFold(zoneOf(cname.Target)+".", cname.Target) {
			for _, m := range []*dns.Msg{own, theirs} {
				m.Rcode, m.Answer, m.Ns = dns.RcodeSuccess, m.Answer[:i+1], nil
				m.Extra = slices.DeleteFunc(m.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT })
			}
			return true
		}
	}
	return false
}

// zoneOf is the generated zone that a name lies in.
func zoneOf(name string) (zone string) {
	for _, z := range generatedZones {
		if dns.IsSubDomain(z+".", strings.ToLower(name)) && len(z) > len(zone) {
			zone = z
		}
	}
	return zone
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

// peer is a server that is asked.
type peer struct {
	name     string
	udp, tcp string
	conns    [2]net.Conn
}

func (p *peer) connect(t *testing.T) {
	t.Helper()
	for i, network := range []string{"udp", "tcp"} {
		addr := []string{p.udp, p.tcp}[i]
		conn, err := net.Dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		p.conns[i] = conn
	}
}

// ask sends messages over TCP, all at once, or over UDP, one after another. It
// returns the answers in the order of the questions.
func (p *peer) ask(t *testing.T, wires [][]byte, udp bool) []*dns.Msg {
	network := map[bool]int{true: 0, false: 1}[udp]
	conn := p.conns[network]
	conn.SetDeadline(time.Now().Add(answerWithin))
	if !udp {
		var all []byte
		for _, wire := range wires {
			all = append(all, framed(wire)...)
		}
		if _, err := conn.Write(all); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
	answers := map[uint16]*dns.Msg{}
	buf := make([]byte, 65535)
	for _, wire := range wires {
		n, err := 0, error(nil)
		if udp {
			if _, err = conn.Write(wire); err == nil {
				n, err = conn.Read(buf)
			}
		} else if _, err = io.ReadFull(conn, buf[:2]); err == nil {
			n, err = io.ReadFull(conn, buf[:binary.BigEndian.Uint16(buf)])
		}
		m := new(dns.Msg)
		if err == nil {
			err = m.Unpack(buf[:n])
		}
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
			return nil
		}
		answers[m.Id] = m
	}
	var out []*dns.Msg
	for _, wire := range wires {
		m := answers[binary.BigEndian.Uint16(wire)]
		if m == nil {
			t.Errorf("%s: no answer for %x", p.name, wire)
		}
		out = append(out, m)
	}
	return out
}

// startHere serves in this process.
func startHere(t *testing.T, settings string) *peer {
	t.Helper()
	srv, err := (&source{Config: settings}).load()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if err := srv.open(log); err != nil {
		t.Fatal(err)
	}
	cfg := srv.listenersConfig()
	cfg.Log = log
	addrs := serveListeners(t, cfg, srv)
	return &peer{name: "domain-park", udp: addrs["udp"], tcp: addrs["tcp"]}
}

// startNSD runs NSD with the zones of dir.
func startNSD(t *testing.T, nsd, dir string, zones map[string]*generatedZone) *peer {
	t.Helper()
	work, port := t.TempDir(), freePort(t)
	conf := fmt.Sprintf(`server:
	ip-address: 127.0.0.1@%s
	username: ""
	chroot: ""
	zonesdir: %q
	database: ""
	pidfile: %q
	xfrdfile: %q
	zonelistfile: %q
	logfile: "/dev/stderr"
	server-count: 1
	tcp-query-count: 0
	tcp-timeout: 60
	minimal-responses: no
	rrl-ratelimit: 0
	rrl-whitelist-ratelimit: 0
remote-control:
	control-enable: no
`, port, dir, work+"/pid", work+"/xfrd", work+"/zonelist")
	for name := range zones {
		conf += fmt.Sprintf("zone:\n\tname: %q\n\tzonefile: %q\n", name, name+".zone")
	}
	return startPeer(t, "NSD", port, zones, exec.Command(nsd, "-d", "-c", write(t, work, "nsd.conf", conf)))
}

// startKnot runs Knot DNS with the zones of dir.
func startKnot(t *testing.T, knotd, dir string, zones map[string]*generatedZone) *peer {
	t.Helper()
	work, port := t.TempDir(), freePort(t)
	conf := fmt.Sprintf(`server:
  rundir: %q
  listen: 127.0.0.1@%s
  udp-workers: 1
  tcp-workers: 1
  tcp-idle-timeout: 60
database:
  storage: %q
template:
  - id: default
    storage: %q
    semantic-checks: false
    zonefile-sync: -1
    journal-content: none
log:
  - target: stderr
    any: warning
zone:
`, work, port, work, dir)
	for name := range zones {
		conf += fmt.Sprintf("  - domain: %q\n    file: %q\n", name, name+".zone")
	}
	return startPeer(t, "Knot DNS", port, zones, exec.Command(knotd, "-c", write(t, work, "knot.conf", conf)))
}

// startPeer runs a server and waits until it answers for every zone.
func startPeer(t *testing.T, name string, port string, zones map[string]*generatedZone, cmd *exec.Cmd) *peer {
	t.Helper()
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, log.String())
		}
	})
	addr := "127.0.0.1:" + port
	client := dns.Client{Net: "tcp", Timeout: time.Second}
	deadline := time.Now().Add(30 * time.Second)
	for zone := range zones {
		for {
			m, _, err := client.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(zone), dns.TypeSOA), addr)
			if err == nil && len(m.Answer) == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not answer for %s: %v, %v", name, zone, err, m)
			}
			<-time.After(50 * time.Millisecond)
		}
	}
	return &peer{name: name, udp: addr, tcp: addr}
}
