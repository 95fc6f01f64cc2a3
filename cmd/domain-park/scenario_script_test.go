package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"domainpark/query"
	"domainpark/telemetry"

	"github.com/miekg/dns"
)

// A scenario is a script in DNS words: settings as an operator writes them,
// files that they name, then what is asked and what must come back.
//
//	# a comment
//	--- settings
//	nameservers: [{name: ns1.park.example}]
//	--- file own.zone
//	@ NS {ns}
//	--- zone example.net
//	@ 3600 SOA ns hostmaster 1 7200 900 1209600 300
//	--- steps
//	query TXT www.Example.com rd edns do
//	    status NOERROR aa rd
//	    answer www.Example.com. 3600 IN TXT "v=spf1 -all"
//	    edns do
//	[udp] hex 1234 0100
//	    silence
//	counters
//	    answer answered 1
//	    [udp] none silent 1
//
// A zone is the file zones/NAME.zone.
//
// A step is a "query" or, for what no client would send, "hex". After a query's
// type and name stand flags (rd cd ad aa tc ra z), edns, do, size=N, version=N,
// nsid, keepalive, option=CODE:HEX, class=NAME, opcode=N. What a step does not
// mention must not be there: no "answer" line means an empty answer section, no
// "edns" line no OPT, a status without "aa" that AA is 0. ID, opcode and the
// question, byte for byte, must come back always, but for "question none".
// "edns" is our OPT: 1232 bytes, version 0; behind it stand do, ede=N,
// nsid=HEX, keepalive=N, cookie=CLIENT'S HALF. "bytes N" is the most that may come, "fewer" that not
// all of the additional records are there.
//
// A line that begins with [transport ...] is for these transports alone: udp,
// tcp, dot, doh, doh3, doq, one way to send DoH such as doh-http2-GET, or
// several as [stream] and [encrypted]. The counters are compared exactly: kind,
// verdict, how many.
type scenario struct {
	file     string
	settings string
	files    map[string]string
	steps    []*step
	counters []counterLine
}

type step struct {
	on    onTransports
	line  int
	text  string
	lines []scriptLine // what is expected
}

type scriptLine struct {
	on    onTransports
	words []string
	text  string // behind the first word
}

type counterLine struct {
	on      onTransports
	kind    query.Kind
	verdict query.Verdict
	n       uint64
}

// expectation is what must come back over one transport.
type expectation struct {
	silence                       bool
	status                        string
	noQuestion                    bool
	answer, authority, additional []string
	edns                          string // "" is no OPT
	bytes                         int
	fewer                         bool // not all of additional are there
}

// onTransports are the transports that a line is for; nil is all of them.
type onTransports []string

func (on onTransports) has(transport string) bool {
	if on == nil || slices.Contains(on, transport) {
		return true
	}
	for _, t := range scenarioTransports {
		if t.name == transport {
			return slices.Contains(on, t.transport.String()) ||
				t.transport.Stream() && slices.Contains(on, "stream") || t.transport.Encrypted() && slices.Contains(on, "encrypted")
		}
	}
	return false
}

func readScenario(t *testing.T, file string) *scenario {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{file: filepath.Base(file), files: map[string]string{}}
	part := ""
	for i, line := range strings.Split(string(text), "\n") {
		if header, ok := strings.CutPrefix(line, "--- "); ok {
			part = header
			continue
		}
		name, isFile := strings.CutPrefix(part, "file ")
		if zone, ok := strings.CutPrefix(part, "zone "); ok {
			name, isFile = "zones/"+zone+".zone", true
		}
		switch {
		case part == "settings":
			s.settings += line + "\n"
		case isFile:
			s.files[name] += line + "\n"
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case part == "steps":
			if err := s.read(line, i+1); err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
		default:
			t.Fatalf("%s:%d: expected --- settings, --- file NAME, --- zone NAME or --- steps", file, i+1)
		}
	}
	return s
}

func (s *scenario) read(text string, line int) error {
	text = strings.TrimSpace(text)
	l := scriptLine{}
	if on, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "]"); ok && text[0] == '[' {
		l.on, text = strings.Fields(on), strings.TrimSpace(rest)
	}
	l.words = strings.Fields(text)
	l.text = strings.TrimSpace(strings.TrimPrefix(text, l.words[0]))
	switch {
	case l.words[0] == "query" || l.words[0] == "hex":
		st := &step{on: l.on, line: line, text: text}
		s.steps = append(s.steps, st)
		_, err := buildMessage(text, 0)
		return err
	case l.words[0] == "counters":
		s.counters = []counterLine{}
		return nil
	case s.counters != nil:
		return s.readCounter(l)
	case len(s.steps) == 0:
		return fmt.Errorf("expected query or hex, found %q", text)
	}
	st := s.steps[len(s.steps)-1]
	st.lines = append(st.lines, l)
	return new(expectation).read(l)
}

func (s *scenario) readCounter(l scriptLine) error {
	if len(l.words) != 3 {
		return fmt.Errorf("expected kind, verdict and a number, found %q", l.words)
	}
	c := counterLine{on: l.on}
	for c.kind = 0; c.kind < query.Kinds && c.kind.String() != l.words[0]; c.kind++ {
	}
	for c.verdict = 0; c.verdict < query.Verdicts && c.verdict.String() != l.words[1]; c.verdict++ {
	}
	n, err := strconv.ParseUint(l.words[2], 10, 64)
	if err != nil || c.kind == query.Kinds || c.verdict == query.Verdicts {
		return fmt.Errorf("expected kind, verdict and a number, found %q", l.words)
	}
	c.n = n
	s.counters = append(s.counters, c)
	return nil
}

// count is what the counters must be when the steps of a transport are done.
func (s *scenario) count(transport scenarioTransport) *telemetry.Count {
	want := new(telemetry.Count)
	for _, c := range s.counters {
		if c.on.has(transport.name) {
			want[transport.transport][c.kind][c.verdict] += c.n
		}
	}
	return want
}

// settingsFile writes the scenario's settings and files to a directory.
func (s *scenario) settingsFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range s.files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, text)
	}
	return write(t, dir, "settings.yaml", s.settings)
}

// expect is what a step expects over a transport.
func (st *step) expect(transport string) *expectation {
	e := &expectation{answer: []string{}, authority: []string{}, additional: []string{}}
	for _, l := range st.lines {
		if l.on.has(transport) {
			if err := e.read(l); err != nil {
				panic(err) // readScenario has read the line before
			}
		}
	}
	slices.Sort(e.answer)
	slices.Sort(e.authority)
	slices.Sort(e.additional)
	return e
}

func (e *expectation) read(l scriptLine) error {
	var err error
	switch l.words[0] {
	case "silence":
		e.silence = true
	case "status":
		e.status = l.text
	case "question":
		e.noQuestion = true
	case "answer":
		err = addRecord(&e.answer, l.text)
	case "authority":
		err = addRecord(&e.authority, l.text)
	case "additional":
		err = addRecord(&e.additional, l.text)
	case "edns":
		words := append(strings.Fields(l.text), "size=1232")
		slices.Sort(words)
		e.edns = strings.Join(words, " ")
	case "fewer":
		e.fewer = true
	case "bytes":
		e.bytes, err = strconv.Atoi(l.text)
	default:
		err = fmt.Errorf("expected status, question, answer, authority, additional, fewer, edns, bytes or silence, found %q", l.words[0])
	}
	return err
}

func addRecord(to *[]string, text string) error {
	rr, err := dns.NewRR(text)
	if err != nil {
		return err
	}
	*to = append(*to, rr.String())
	return nil
}
