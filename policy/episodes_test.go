package policy

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"
)

func TestLimitingIsLoggedWhenItBeginsAndWhenItEnds(t *testing.T) {
	log, out := logged()
	g := newGuard(t, Config{Responses: defaultResponses(), Requests: Requests{Rate: 5000}, Log: log})
	for second := range 60 {
		at := start.Add(time.Duration(second) * time.Second)
		if second < 20 || second == 25 {
			play(g, at, time.Second, talk{"192.0.2.1", 1000, "", query.KindAnswer}, talk{"192.0.2.9", 10, "", query.KindAnswer})
		}
		g.Report(at.Add(time.Second))
	}
	over := counter(t, g, "limited_responses_total{account=answer}{level=client}")
	want := fmt.Sprintf(`level=WARN msg="limiting begins" prefix=192.0.2.1/32 over=answer dryrun=false
level=INFO msg="limiting ends" prefix=192.0.2.1/32 over=answer limited=%d seconds=25
`, over)
	if out.String() != want {
		t.Errorf("logged:\n%swant:\n%s", out, want)
	}
}

func TestEverySubjectIsLogged(t *testing.T) {
	log, out := logged()
	g := newGuard(t, Config{
		Requests:    Requests{Rate: 3000},
		Responses:   defaultResponses(),
		Connections: ConnectionLimits{PerClient: 1, Handshakes: 1, Resumptions: 1},
		Log:         log,
	})
	for i := range 5000 {
		q := ask("192.0.2.1", start)
		g.Admit(q)
		q.Kind = query.Kind(1 + i%int(query.Kinds-1))
		g.Limit(q)
		q.Base[1] = byte(i) // many bases: over all
		q.Kind = query.KindAnswer
		g.Limit(q)
	}
	cs, addr := g.Connections(), ask("2001:db8::1", start).Client.Addr()
	for range 2 {
		cs.Open(start, addr, nil)
		cs.Handshake(start, addr)
		cs.Resume(start, addr)
	}
	g.Report(start)
	for s := range subjects {
		if !strings.Contains(out.String(), "over="+s.String()+" ") {
			t.Errorf("nothing logged about %s", s)
		}
	}
	if !strings.Contains(out.String(), "prefix=2001:db8::/56 over=handshakes") {
		t.Errorf("no IPv6 prefix in:\n%s", out)
	}
}

// TestAFloodDoesNotWriteTheLog: thousands of clients over their limit at once
// make a bounded number of lines and no lasting memory.
func TestAFloodDoesNotWriteTheLog(t *testing.T) {
	log, out := logged()
	g := newGuard(t, Config{Responses: defaultResponses(), Log: log})
	for i := range 10000 / slower {
		q := ask(fmt.Sprintf("10.%d.%d.1", i/100, i%100), start)
		for range 60 {
			g.Limit(q)
		}
	}
	g.Report(start.Add(time.Second))
	lines := strings.Count(out.String(), "\n")
	if lines != nameBurst+1 || !strings.Contains(out.String(), `msg="limiting begins for further prefixes" prefixes=`) {
		t.Errorf("%d lines:\n%s", lines, out)
	}
	if n := counter(t, g, "unlogged_limited_total"); n == 0 {
		t.Error("what found no place was not counted")
	}
	out.Reset()
	g.Report(start.Add(time.Minute))
	if lines := strings.Count(out.String(), "limiting ends"); lines != nameBurst {
		t.Errorf("%d ends logged, want one for each beginning that was:\n%s", lines, out)
	}
	out.Reset()
	g.Report(start.Add(2 * time.Minute))
	if out.Len() != 0 {
		t.Errorf("logged when all was over:\n%s", out)
	}
}

// TestForgedNetworksDoNotKeepTheLogBusy: a slow flood that puts new networks
// over their limit every second is named at first and then now and again, for
// as long as it lasts; the rest is counted, and nothing is forgotten afterwards.
func TestForgedNetworksDoNotKeepTheLogBusy(t *testing.T) {
	log, out := logged()
	g := newGuard(t, Config{Responses: defaultResponses(), Log: log})
	const seconds, each = 600, 15 // networks a second; a source sends 12 packets
	for i := range seconds * each {
		at := start.Add(time.Duration(i) * time.Second / each)
		q := ask(fmt.Sprintf("10.%d.%d.1", i/16%256, i%16*16), at)
		if i >= 4096 {
			q = ask(fmt.Sprintf("2001:db8:%x::1", i), at)
		}
		q.Kind = query.KindRefused
		for range 12 {
			g.Limit(q)
		}
		if i%each == each-1 {
			g.Report(at)
		}
	}
	for second := range 30 {
		g.Report(start.Add((seconds + time.Duration(second)) * time.Second))
	}
	logged := out.String()
	begins, ends := strings.Count(logged, `msg="limiting begins" `), strings.Count(logged, "limiting ends")
	if want := nameBurst + seconds/10; begins < want-2 || begins > want+2 || ends != begins {
		t.Errorf("%d beginnings and %d ends logged, want about %d", begins, ends, want)
	}
	if further := strings.Count(logged, "further prefixes"); further < seconds/10-2 || further > seconds/10+2 {
		t.Errorf("%d lines about further prefixes in %d seconds", further, seconds)
	}
	named := begins
	for _, line := range strings.Split(logged, "\n") {
		if _, n, ok := strings.Cut(line, "prefixes="); ok {
			more, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			named += more
		}
	}
	if unlisted := int(counter(t, g, "unlogged_limited_total")); named > seconds*each || named+unlisted < seconds*each {
		t.Errorf("%d networks told of, %d packets without a place, of %d networks", named, unlisted, seconds*each)
	}
	out.Reset()
	later := start.Add(time.Hour)
	play(g, later, time.Second, talk{"192.0.2.1", 1000, "", query.KindAnswer})
	if g.Report(later); !strings.Contains(out.String(), "prefix=192.0.2.1/32 over=answer") {
		t.Errorf("an hour later nothing is named:\n%s", out)
	}
}

func TestRunReportsUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logged()
		g, err := New(Config{Responses: defaultResponses(), Log: log}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.Run(ctx); close(done) }()
		play(g, time.Now(), time.Second, talk{"192.0.2.1", 1000, "", query.KindAnswer})
		time.Sleep(30 * time.Second)
		cancel()
		<-done
		if n := strings.Count(out.String(), "\n"); n != 2 {
			t.Errorf("%d lines, want a beginning and an end:\n%s", n, out)
		}
	})
}
