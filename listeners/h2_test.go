package listeners

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"domainpark/query"
)

// TestH2SaysWhatNetHTTPSays compares whole answers, header for header.
func TestH2SaysWhatNetHTTPSays(t *testing.T) {
	cfg := webConfig()
	cfg.DoH, cfg.Page = []string{"127.0.0.1:0"}, NewPage(samplePage)
	s := start(t, cfg, cacheable)
	theirs := cfg.withDefaults()
	other := httptest.NewUnstartedServer(&dohHandler{resolver: cacheable, transport: query.DoH, cfg: &theirs, altSvc: []string{altSvcOf(t, s, "HTTP/2.0")}})
	other.EnableHTTP2 = true
	other.StartTLS()
	defer other.Close()
	client := webClient(t, "HTTP/2.0")
	dns := []string{"Content-Type", dnsMessage[0]}
	for _, c := range []struct {
		method, path string
		body         []byte
		header       []string
	}{
		{"GET", getPath(plainQuery), nil, nil},
		{"HEAD", getPath(plainQuery), nil, nil},
		{"GET", "/dns%2Dquery?dns=" + strings.TrimPrefix(getPath(plainQuery), dohPath+"?dns="), nil, nil},
		{"GET", getPath(plainQuery) + "#fragment", nil, nil},
		{"GET", getPath(plainQuery), []byte("a body"), nil},
		{"POST", dohPath, plainQuery, dns},
		{"POST", dohPath + "?x=y", plainQuery, dns},
		{"POST", dohPath, plainQuery, append(dns, "Content-Encoding", "gzip")},
		{"POST", dohPath, plainQuery, []string{"Content-Type", "text/plain"}},
		{"POST", dohPath, nil, dns},
		{"POST", dohPath, make([]byte, 65536), dns},
		{"POST", dohPath, make([]byte, 65535), dns},
		{"POST", dohPath, plainQuery, append(dns, "Expect", "100-continue")},
		{"OPTIONS", dohPath, nil, nil},
		{"PUT", dohPath, plainQuery, dns},
		{"HEAD", dohPath, nil, nil},
		{"GET", dohPath + "?dns=A", nil, nil},
		{"GET", "/", nil, nil},
		{"HEAD", "/", nil, nil},
		{"GET", "/", nil, []string{"If-None-Match", `"` + "x" + `"`}},
		{"GET", "/", nil, []string{"Range", "bytes=0-1"}},
		{"POST", "/", []byte("a body"), nil},
		{"GET", "/nothing", nil, nil},
	} {
		ours, ourBody := do(t, client, request(t, c.method, s.dohURL(t, c.path), bytes.NewReader(c.body), c.header...))
		want, wantBody := do(t, other.Client(), request(t, c.method, other.URL+c.path, bytes.NewReader(c.body), c.header...))
		if want.Proto != "HTTP/2.0" || ours.StatusCode != want.StatusCode || !bytes.Equal(ourBody, wantBody) {
			t.Errorf("%s %s %v: got %s %q, want %s %q", c.method, c.path, c.header, ours.Status, ourBody, want.Status, wantBody)
		}
		for _, h := range []map[string][]string{ours.Header, want.Header} {
			if len(h["Date"]) != 1 {
				t.Errorf("%s %s: dates %q", c.method, c.path, h["Date"])
			}
			delete(h, "Date")
		}
		if fmt.Sprint(ours.Header) != fmt.Sprint(want.Header) {
			t.Errorf("%s %s %v:\ngot  %v\nwant %v", c.method, c.path, c.header, ours.Header, want.Header)
		}
	}
}

// Everything that is complete is answered in one write, the client's SETTINGS
// included.
func TestH2AnswersWhatIsThereInOneWrite(t *testing.T) {
	cfg := Config{}.withDefaults()
	var in bytes.Buffer
	w := newH2Client(t, nil)
	w.Framer = http2.NewFramer(&in, nil)
	in.WriteString(http2.ClientPreface)
	_ = w.WriteSettings()
	const n = 20
	for id := uint32(1); id < 2*n; id += 2 {
		_ = w.open(id, false, postHeader()...)
		_ = w.WriteData(id, true, plainQuery)
	}
	client := &counted{script: script{in: in.Bytes(), piece: 1 << 16}}
	s := newH2Server(&cfg, &dohHandler{resolver: cacheable, cfg: &cfg})
	c := newH2Conn(s, client, client, unlimited{time.Hour})
	c.in.last = busyBytes // it has read as much before
	c.in.settle()
	if err := c.serve(); err != io.EOF {
		t.Error(err)
	}
	checkH2Output(t, client.out.Bytes())
	if answers := bytes.Count(client.out.Bytes(), answerTo(plainQuery)); answers != n || client.writes != 1 {
		t.Errorf("%d answers in %d writes", answers, client.writes)
	}
}

// counted counts writes.
type counted struct {
	script
	writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	return c.script.Write(p)
}

// Answers leave within the client's windows, and go on when there is more.
func TestH2AnswersKeepToTheWindows(t *testing.T) {
	long := testMessage(0, 5000)
	h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
		c.write(func() error {
			_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
			return c.open(1, true, getHeader(getPath(long))...)
		})
		c.expect(http2.FrameSettings)
		c.expectStatus(1, "200")
		var got []byte
		take := func(n int, end bool) {
			t.Helper()
			f := c.expect(http2.FrameData).(*http2.DataFrame)
			if len(f.Data()) != n || f.StreamEnded() != end {
				t.Fatalf("got %v, want %d bytes", f, n)
			}
			got = append(got, f.Data()...)
		}
		take(1000, false)
		c.write(func() error { return c.WriteWindowUpdate(1, 1500) })
		take(1500, false)
		c.write(func() error { return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 500}) })
		c.expect(http2.FrameSettings)
		c.write(func() error { return c.WriteWindowUpdate(1, 600) }) // 500 less than nothing before
		take(100, false)
		c.write(func() error { return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}) })
		c.expect(http2.FrameSettings)
		take(2400, true)
		if !bytes.Equal(got, answerTo(long)) {
			t.Errorf("got %x", got)
		}
	})
}

// Padding counts, and is given back: a body with more of it than the window has
// room for arrives whole.
func TestH2PaddedBodyIsTaken(t *testing.T) {
	long := testMessage(0, 60000)
	h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
		c.write(func() error {
			_ = c.open(1, false, postHeader()...)
			for rest := long; ; {
				n := min(600, len(rest))
				_ = c.WriteDataPadded(1, n == len(rest), rest[:n], make([]byte, 200))
				if rest = rest[n:]; len(rest) == 0 {
					return nil
				}
			}
		})
		var got []byte
		for len(got) < len(long) {
			if f, ok := c.next().(*http2.DataFrame); ok {
				got = append(got, f.Data()...)
			}
		}
		if !bytes.Equal(got, answerTo(long)) {
			t.Error("the answer is another one")
		}
	})
}

// A client that has no room for our header fields in its table gets them in full.
func TestH2ClientWithoutHPACKTable(t *testing.T) {
	h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
		ask := func(id uint32) {
			c.write(func() error { return c.open(id, true, getHeader(getPath(plainQuery))...) })
			c.expectMessage(id, plainQuery)
		}
		ask(1)
		ask(3)
		c.write(func() error { return c.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}) })
		c.expect(http2.FrameSettings)
		c.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(0)
		ask(5)
		ask(7)
	})
}

// A server that stops says so, answers what is on its way, and closes.
func TestH2SaysGoodbyeWhenTheServerStops(t *testing.T) {
	h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
		c.write(func() error { return c.open(1, false, postHeader()...) })
		synctest.Wait()
		begin := time.Now()
		s.drain()
		if f := c.expect(http2.FrameGoAway).(*http2.GoAwayFrame); f.ErrCode != http2.ErrCodeNo || f.LastStreamID != h2MaxStreamID {
			t.Errorf("got %v", f)
		}
		c.write(func() error { return c.open(3, true, getHeader(getPath(plainQuery))...) })
		c.expectMessage(3, plainQuery)
		time.Sleep(time.Second)
		c.write(func() error { return c.WriteData(1, true, plainQuery) })
		c.expectMessage(1, plainQuery)
		if f := c.expect(http2.FrameGoAway).(*http2.GoAwayFrame); f.ErrCode != http2.ErrCodeNo || f.LastStreamID != 3 {
			t.Errorf("got %v", f)
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("ended after %v, want 1 s", d)
		}
	})
}
