package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domainpark/config"
	"domainpark/listeners"
	"domainpark/query"
	"domainpark/telemetry"

	"github.com/miekg/dns"
)

// optionChange is a setting before and after a reload, as in a file; without a
// value before it is not set. DIR stands for the test's directory.
type optionChange struct{ before, after string }

// optionChanges has every setting.
var optionChanges = map[string]optionChange{
	"nameservers":                    {`[{name: ns1.park.example, addresses: [192.0.2.1]}]`, `[{name: ns1.park.example, addresses: [192.0.2.2]}]`},
	"hostmaster":                     {"", `other@park.example`},
	"listen.udp":                     {`["127.0.0.1:0"]`, `["127.0.0.2:0"]`},
	"listen.tcp":                     {`["127.0.0.1:0"]`, `["127.0.0.2:0"]`},
	"listen.dot":                     {`["127.0.0.1:0"]`, `[]`},
	"listen.doh":                     {`["127.0.0.1:0"]`, `["127.0.0.1:0", "127.0.0.2:0"]`},
	"listen.doq":                     {`["127.0.0.1:0"]`, `["127.0.0.2:0"]`},
	"listen.http":                    {`[]`, `["127.0.0.1:0"]`},
	"listen.admin":                   {`[]`, `["127.0.0.1:0"]`},
	"tls.acme.hosts":                 {`[ns1.park.example]`, `[ns1.park.example, ns1.other.example]`},
	"tls.acme.email":                 {"", `ops@park.example`},
	"tls.acme.directory":             {"", `https://ca.example/directory`},
	"tls.acme.roots":                 {"", `DIR/pair/root.pem`},
	"tls.certificates":               {`[]`, `[{certificate: DIR/pair/cert.pem, key: DIR/pair/key.pem}]`},
	"parking.profile":                {"", `DIR/profile.zone`},
	"parking.publicsuffixes":         {"", `DIR/suffixes.dat`},
	"parking.ttl":                    {"", `2h`},
	"parking.dmarc.rua":              {"", `[rua@park.example]`},
	"parking.dmarc.ruf":              {"", `[ruf@park.example]`},
	"parking.iodef":                  {"", `[iodef@park.example]`},
	"parking.apexes":                 {"", `[old.example.com]`},
	"parking.only":                   {"", `["@DIR/only"]`},
	"parking.refuse":                 {"", `[example.net]`},
	"zones":                          {`DIR/zones`, `DIR/other`},
	"identity.version":               {"", `one`},
	"identity.id":                    {"", `two`},
	"policy.allow":                   {"", `[198.51.100.0/24, 127.0.0.0/8, "2001:db8::53"]`},
	"policy.deny":                    {"", `[203.0.113.0/24]`},
	"policy.trust":                   {"", `[198.51.100.0/24]`},
	"policy.requests.rate":           {`5000`, `50`},
	"policy.requests.burst":          {"", `20`},
	"policy.responses.rate":          {"", `20`},
	"policy.responses.errors":        {"", `20`},
	"policy.responses.all":           {"", `300`},
	"policy.responses.slip":          {"", `3`},
	"policy.responses.ipv4prefix":    {"", `16`},
	"policy.responses.ipv6prefix":    {"", `40`},
	"policy.responses.table":         {"", `1000`},
	"policy.responses.dryrun":        {"", `true`},
	"policy.cookies.require":         {"", `true`},
	"policy.cookies.secret":          {"", `00112233445566778899aabbccddeeff`},
	"policy.connections.total":       {`300`, `200`},
	"policy.connections.perclient":   {"", `10`},
	"policy.connections.handshakes":  {"", `10`},
	"policy.connections.resumptions": {"", `10`},
	"policy.connections.streams":     {"", `10`},
	"policy.connections.queries":     {"", `2`},
	"policy.connections.age":         {"", `3h`},
	"policy.timeouts.handshake":      {"", `4s`},
	"policy.timeouts.message":        {"", `4s`},
	"policy.timeouts.idle":           {"", `4s`},
	"policy.timeouts.write":          {"", `4s`},
	"policy.timeouts.shutdown":       {"", `4s`},
	"store.directory":                {`DIR/store`, `DIR/elsewhere`},
	"telemetry.log.level":            {"", `warn`},
	"telemetry.log.format":           {"", `json`},
	"telemetry.queries.file":         {`DIR/queries.log`, `DIR/other.log`},
	"telemetry.queries.sample":       {"", `0.5`},
	"telemetry.profiling":            {"", `true`},
	"telemetry.dnstap":               {"", `"unix:/run/dnstap.sock"`},
	"workers":                        {"", `3`},
	"user":                           {"", `nobody`},
	"group":                          {"", `nogroup`},
	"sandbox":                        {"", `off`},
}

// TestEveryOptionIsReloadedOrNamed changes each setting in the file of a server
// and reloads: what the server does changes, and is as before when the setting
// is; or nothing changes, and the log says that it takes a restart.
func TestEveryOptionIsReloadedOrNamed(t *testing.T) {
	if raceDetector {
		t.Skip("one goroutine asks hundreds of thousands of times")
	}
	dir := optionFiles(t)
	settings := func(changed string) {
		values := map[string]string{}
		for key, c := range optionChanges {
			value := c.before
			if key == changed {
				value = c.after
			}
			if value != "" {
				values[key] = strings.ReplaceAll(value, "DIR", dir)
			}
		}
		write(t, dir, "settings.yaml", asYAML(values))
	}
	settings("")
	var lines bytes.Buffer
	srv, err := (&source{Config: filepath.Join(dir, "settings.yaml")}).load()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&lines, nil))
	cfg := srv.listenersConfig()
	cfg.Log = log
	err = errors.Join(srv.open(log), srv.openQueryLog(log), srv.secure(&cfg, &srv.plan, srv.certs.Load()))
	if err != nil {
		t.Fatal(err)
	}
	if srv.set, err = listeners.Bind(cfg, srv.resolver); err != nil {
		t.Fatal(err)
	}
	defer srv.set.Close()
	defer srv.tasks.end()
	o := &observer{server: srv, now: time.Now()}
	reload := func(changed string) string {
		t.Helper()
		settings(changed)
		lines.Reset()
		o.takeCookie(t)
		if err := srv.reload(log); err != nil {
			t.Fatalf("%s: %v", changed, err)
		}
		return o.observe(t)
	}
	before := reload("")
	if again := reload(""); again != before {
		t.Fatalf("without a change there is one: %s", difference(before, again))
	}
	for _, option := range config.Options() {
		if _, ok := optionChanges[option.Key]; !ok {
			t.Errorf("%s: not in optionChanges", option.Key)
			continue
		}
		after := reload(option.Key)
		named := strings.Contains(lines.String(), `needs a restart" settings=`+option.Key+"\n")
		switch {
		case named != option.Restart:
			t.Errorf("%s: the log says that it needs a restart: %t, the table: %t\n%s", option.Key, named, option.Restart, &lines)
		case option.Restart && after != before:
			t.Errorf("%s: changed without a restart: %s", option.Key, difference(before, after))
		case !option.Restart && after == before:
			t.Errorf("%s: a reload changes nothing", option.Key)
		}
		reload("") // the cookie that it is shown is one of the other settings
		if again := reload(""); again != before {
			t.Errorf("%s: taken back, it is not as before: %s", option.Key, difference(before, again))
		}
	}
}

// optionFiles is a directory with the files that optionChanges names.
func optionFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"zones", "other", "pair"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	profile, err := os.ReadFile("../../resolver/parked.zone")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "profile.zone", string(profile)+"\nwww A 192.0.2.3\n")
	write(t, dir, "suffixes.dat", "// ===BEGIN ICANN DOMAINS===\ncom\nexample.com\nexample\n// ===END ICANN DOMAINS===\n")
	write(t, dir, "only", "example.com\n")
	write(t, filepath.Join(dir, "zones"), "a.example.zone", zoneHead)
	write(t, filepath.Join(dir, "other"), "b.example.zone", zoneHead)
	ca := newAuthority(t)
	pair := ca.issue(filepath.Join(dir, "pair"), 2, "ns1.park.example")
	for from, to := range map[string]string{pair.certificate: "cert.pem", pair.key: "key.pem", ca.file: "root.pem"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "pair"), to, string(text))
	}
	return dir
}

// asYAML writes settings by their keys, sections as sections.
func asYAML(values map[string]string) string {
	sections := map[string]map[string]string{}
	var b strings.Builder
	for key, value := range values {
		section, rest, nested := strings.Cut(key, ".")
		if !nested {
			fmt.Fprintf(&b, "%s: %s\n", key, value)
			continue
		}
		if sections[section] == nil {
			sections[section] = map[string]string{}
		}
		sections[section][rest] = value
	}
	for section, in := range sections {
		fmt.Fprintf(&b, "%s:\n", section)
		for line := range strings.Lines(asYAML(in)) {
			b.WriteString("  " + line)
		}
	}
	return b.String()
}

// difference is the first line that is another one.
func difference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("%q, was %q", bs[i], as[i])
		}
	}
	return fmt.Sprintf("%d lines, were %d", len(bs), len(as))
}

// observer sees what a server does, at times an hour apart so that limits begin
// anew.
type observer struct {
	*server
	now    time.Time
	cookie string // that the server made before the reload
	log    *telemetry.QueryLog
	logged string // what log was made for
	text   strings.Builder
}

func (o *observer) say(format string, args ...any) { fmt.Fprintf(&o.text, format+"\n", args...) }

// observe describes all that settings can change.
func (o *observer) observe(t *testing.T) string {
	o.text.Reset()
	o.now = o.now.Add(time.Hour)
	o.answers(t)
	o.limits(t)
	o.connections()
	o.say("timeouts %+v", o.set.Timeouts())
	for _, b := range o.set.Bound() {
		host, _, _ := strings.Cut(b.Addr.String(), ":")
		o.say("%s %s", b.Transport, host)
	}
	source := o.certsFor(&o.plan, nil)
	o.say("ACME %+v", source.ACME)
	for _, s := range o.certs.Load().Status() {
		o.say("certificate %s %s", s.Source, s.Name)
	}
	o.say("log %s", o.level.Level())
	l, wanted := o.queryLog.Load(), fmt.Sprint(o.settings.Telemetry.Queries)
	if o.log != nil && (l != o.log) != (wanted != o.logged) {
		t.Errorf("the query log is another one: %t; it was %s and is to be %s", l != o.log, o.logged, wanted)
	}
	o.log, o.logged = l, wanted
	o.say("query log %s", wanted)
	return o.text.String()
}

var observerClient = netip.MustParseAddrPort("[2001:db8::53]:5353")

// ask resolves a query as it would come over transport.
func (o *observer) resolve(t *testing.T, m *dns.Msg, client netip.AddrPort, transport query.Transport) (*dns.Msg, query.Verdict) {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q := &query.Query{Message: wire, Client: client, Transport: transport, Received: o.now}
	out := o.resolver.Resolve(nil, q)
	answer := new(dns.Msg)
	if len(out) > 0 {
		if err := answer.Unpack(out); err != nil {
			t.Fatal(err)
		}
		answer.Id = 0
	}
	return answer, q.Verdict
}

// answers are those to a question for each setting of what is answered.
func (o *observer) answers(t *testing.T) {
	client := netip.MustParseAddrPort("127.0.0.1:5353")
	for _, q := range []struct {
		name  string
		qtype uint16
	}{
		{"example.com.", dns.TypeSOA}, {"example.com.", dns.TypeNS}, {"example.com.", dns.TypeTXT}, {"example.com.", dns.TypeCAA},
		{"www.example.com.", dns.TypeA}, {"_dmarc.example.com.", dns.TypeTXT}, {"_dmarc.old.example.com.", dns.TypeTXT},
		{"example.net.", dns.TypeTXT}, {"park.example.", dns.TypeCAA}, {"other.example.", dns.TypeCAA},
		{"ns1.park.example.", dns.TypeA}, {"a.example.", dns.TypeSOA}, {"b.example.", dns.TypeSOA},
	} {
		m, _ := o.resolve(t, new(dns.Msg).SetQuestion(q.name, q.qtype), client, query.TCP)
		o.say("%s", m)
	}
	for _, name := range []string{"version.bind.", "id.server."} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
		m.Question[0].Qclass = dns.ClassCHAOS
		answer, _ := o.resolve(t, m, client, query.TCP)
		o.say("%s", answer)
	}
}

// burst counts how queries end that come at once over UDP. They meet few
// accounts each: what becomes of many depends on how their table fills.
func (o *observer) burst(t *testing.T, n int, name func(i int) string, client func(i int) string) {
	t.Helper()
	var ended [query.Verdicts]int
	for i := range n {
		_, v := o.resolve(t, new(dns.Msg).SetQuestion(name(i), dns.TypeMX), netip.AddrPortFrom(netip.MustParseAddr(client(i)), 5353), query.UDP)
		ended[v]++
	}
	limited := ended[query.Slipped] + ended[query.Dropped]
	o.say("of %d queries %d are answered, %d refused, %d limited", n, ended[query.Answered], ended[query.Refused], limited)
	if limited > 0 { // which of them began to be slipped depends on those before
		o.say("slipped: %.1f", float64(ended[query.Slipped])/float64(limited))
	}
}

func (o *observer) limits(t *testing.T) {
	always := func(s string) func(int) string { return func(int) string { return s } }
	each := func(format string, per int) func(int) string {
		return func(i int) string { return fmt.Sprintf(format, i/per) }
	}
	evicted := o.evictions()
	o.burst(t, 300, always("example.com."), always("198.51.100.7"))
	o.burst(t, 300, always("com."), always("198.51.100.77"))
	o.burst(t, 600, each("name-%d.org.", 40), always("203.0.113.9"))
	o.burst(t, 400, always("example.com."), each("100.64.%d.1", 40))
	o.burst(t, 400, always("example.com."), each("2001:db8:1:%d00::1", 40))
	for i := range 500 {
		m := new(dns.Msg).SetQuestion("example.com.", dns.TypeMX)
		o.resolve(t, m, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 53), query.UDP)
	}
	o.say("many evictions: %t", o.evictions()-evicted > 500)
	m := new(dns.Msg).SetQuestion("example.com.", dns.TypeMX)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: o.cookie}}
	answer, _ := o.resolve(t, m, observerClient, query.UDP)
	o.say("with the cookie of before: %d", answer.Rcode)
	m.IsEdns0().Option[0].(*dns.EDNS0_COOKIE).Cookie = o.cookie[:16]
	answer, _ = o.resolve(t, m, observerClient, query.UDP)
	o.say("with a client's cookie: %d", answer.Rcode)
	before := o.counter("cookies_total", "valid")
	m.IsEdns0().Option[0].(*dns.EDNS0_COOKIE).Cookie = o.cookie
	o.resolve(t, m, observerClient, query.UDP)
	o.say("the cookie of before is valid: %t", o.counter("cookies_total", "valid") > before)
}

// takeCookie gets a cookie that is valid for the next hour.
func (o *observer) takeCookie(t *testing.T) {
	t.Helper()
	o.now = o.now.Add(30 * time.Minute)
	m := new(dns.Msg).SetQuestion("example.com.", dns.TypeMX)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0001020304050607"}}
	answer, _ := o.resolve(t, m, observerClient, query.TCP)
	o.cookie = answer.IsEdns0().Option[0].(*dns.EDNS0_COOKIE).Cookie
	o.now = o.now.Add(-30 * time.Minute)
}

func (o *observer) evictions() uint64 { return o.counter("bucket_evictions_total", "responses") }

func (o *observer) counter(name, label string) (n uint64) {
	for _, c := range o.guard.Counters() {
		if c.Name == name && slices.Contains(c.Labels, label) {
			n += c.Value
		}
	}
	return n
}

// connections counts what the accounts of connections let through.
func (o *observer) connections() {
	accounts := o.guard.Connections()
	addr := netip.MustParseAddr("198.51.100.99")
	full, resumed := 0, 0
	for range 1000 {
		if accounts.Handshake(o.now, addr) {
			full++
		}
		if accounts.Resume(o.now, addr) {
			resumed++
		}
	}
	o.say("%d handshakes, %d resumed", full, resumed)
	var open []interface{ Close() }
	for i := range 600 {
		from := addr
		if i >= 150 { // the first ones are one client's
			from = netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 2})
		}
		if c := accounts.Open(o.now, from, func() {}); c != nil {
			open = append(open, c)
		}
		if i == 149 {
			o.say("%d connections of one client", len(open))
		}
	}
	o.say("%d connections", accounts.Count())
	for _, c := range open {
		c.Close()
	}
	if c := accounts.Open(o.now, netip.MustParseAddr("127.0.0.1"), func() {}); c != nil {
		o.say("more queries: %t %t, two hours later %t", c.Touch(o.now), c.Touch(o.now), c.Touch(o.now.Add(2*time.Hour)))
		c.Close()
	}
	o.say("%d streams, idle %s", accounts.Streams(), accounts.Idle())
}
