package listeners

import (
	"bytes"
	"crypto/tls"
	"net"
	"slices"
	"testing"
	"time"
)

// spy is a client's connection that looks at the passage above it.
type spy struct {
	net.Conn
	way *passing
	log []string
}

func (s *spy) note(what string) {
	p := s.way.now.Load()
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	if p.in != nil {
		what += " with a place"
	}
	if !p.due {
		what += ", done"
	}
	s.log = append(s.log, what)
}

func (s *spy) Read(p []byte) (int, error) {
	s.note("read")
	return s.Conn.Read(p)
}

func (s *spy) Write(p []byte) (int, error) {
	s.note("write")
	return s.Conn.Write(p)
}

// TestOnlyWhatIsDearNeedsAPlace: until the first flight of TLS 1.3 is computed, whatever comes
// before, and for the key exchange of TLS 1.2. Nothing is read with a place.
func TestOnlyWhatIsDearNeedsAPlace(t *testing.T) {
	const hello, waits, retry, flight, finished = "read, done", "read", "write with a place", "write, done", "read, done"
	for name, c := range map[string]struct {
		client, server func(*tls.Config)
		want           []string // without what the last flight of TLS 1.2 looks like
	}{
		"TLS 1.3": {want: []string{hello, flight, finished}},
		"TLS 1.3 after a HelloRetryRequest": {
			client: func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256} },
			server: func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} },
			want:   []string{hello, retry, retry, waits, flight, finished},
		},
		"TLS 1.2": {
			client: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			want:   []string{hello, retry, waits},
		},
	} {
		t.Run(name, func(t *testing.T) {
			clientConfig, serverConfig := clientTLS(), webConfig().TLS
			for config, change := range map[*tls.Config]func(*tls.Config){clientConfig: c.client, serverConfig: c.server} {
				if change != nil {
					change(config)
				}
			}
			g := gateOf(1)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			theirs := dial(t, "tcp", l.Addr().String())
			ours, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			own := &accountedConn{}
			below := &spy{Conn: ours, way: &own.passing}
			own.Conn = below
			own.passing.begin(visitorOf(g, 1, patience))
			ends := make(chan error, 1)
			go func() { ends <- tls.Client(theirs, clientConfig).Handshake() }()
			if err := tls.Server(own, charged(serverConfig, newLedger())).Handshake(); err != nil {
				t.Fatal(err)
			}
			if err := <-ends; err != nil {
				t.Fatal(err)
			}
			own.passing.end()
			expectOpen(t, g)
			// A record's header and the rest of it may be read apart.
			got := slices.Compact(below.log)
			want := slices.Compact(slices.Clone(c.want))
			if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
				t.Errorf("%q, want %q", got, want)
			}
			if slices.Contains(got, "read with a place") {
				t.Errorf("the client is waited for with a place: %q", got)
			}
		})
	}
}

// cut is a message in records that are as long as what each has of it.
func cut(message []byte, each int) (records []byte) {
	for part := range slices.Chunk(message, each) {
		records = append(append(records, recordHandshake, 3, 3, byte(len(part)>>8), byte(len(part))), part...)
	}
	return records
}

// TestASecondFlightPassesOnceHoweverItIsCut: and what is encrypted behind it does not.
func TestASecondFlightPassesOnceHoweverItIsCut(t *testing.T) {
	hello := append([]byte{helloMessage, 0, 1, 44}, make([]byte, 300)...)
	keys := append([]byte{16, 0, 0, 33, 32}, make([]byte, 32)...) // RFC 5246 §7.4.7
	changed := []byte{20, 3, 3, 0, 1, 1}
	sealed := cut(bytes.Repeat([]byte{16, 0, 0, 0}, 20), 80) // looks like messages
	for name, after := range map[string][][]byte{
		"keys":                             {cut(keys, 100), changed, sealed},
		"keys in records of one byte":      {cut(keys, 1), changed, sealed},
		"another hello":                    {changed, cut(hello, 1000), sealed},
		"another hello, in records of one": {changed, cut(hello, 1), sealed},
	} {
		for _, each := range []int{1, 3, 1000} {
			for _, first := range []int{1, 7, 1000} {
				p := visitorOf(gateOf(1), 1, time.Hour)
				var w passing
				w.begin(p)
				for part := range slices.Chunk(cut(hello, first), each) {
					w.pause()
					if err := w.resume(part); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.enter(); err != nil {
					t.Fatal(err)
				}
				passed := make([]int, len(after))
				for i, flight := range after {
					for part := range slices.Chunk(flight, each) {
						w.pause()
						if err := w.resume(part); err != nil {
							t.Fatal(err)
						}
						if !p.paused {
							passed[i]++
						}
					}
				}
				want := make([]int, len(after))
				want[slices.IndexFunc(after, func(f []byte) bool { return f[0] == recordHandshake })] = 1
				if !slices.Equal(passed, want) {
					t.Errorf("%s, read %d bytes at a time: its flights have passed %d times, want %d", name, each, passed, want)
				}
			}
		}
	}
}

func BenchmarkAHelloIsHeard(b *testing.B) {
	hello := cut(append([]byte{helloMessage, 0, 6, 0}, make([]byte, 6<<8)...), 1<<14)
	for b.Loop() {
		var m plainMessages
		if m.hear(hello); m.whole != 1 {
			b.Fatal(m)
		}
	}
}
