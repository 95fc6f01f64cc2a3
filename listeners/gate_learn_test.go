package listeners

import (
	"crypto"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"
)

// slowKey is a key whose signatures take their time.
type slowKey struct {
	crypto.Signer
	takes time.Duration
}

func (k slowKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	time.Sleep(k.takes)
	return k.Signer.Sign(rand, digest, opts)
}

// dripping is a client's connection that sends all behind its hello byte by byte.
type dripping struct {
	net.Conn
	each   time.Duration
	inward bool // what is plain goes in records of one byte
	began  bool
	secret bool // what follows is encrypted
}

func (d *dripping) Write(p []byte) (int, error) {
	if !d.began {
		d.began = true
		return d.Conn.Write(p)
	}
	for rest := p; len(rest) > 0; {
		n := recordHeaderBytes + int(binary.BigEndian.Uint16(rest[3:]))
		if err := d.drip(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// drip sends a record.
func (d *dripping) drip(record []byte) error {
	cut := d.inward && !d.secret && record[0] == recordHandshake
	d.secret = d.secret || record[0] != recordHandshake
	step, body := 1, record
	if cut {
		body = record[recordHeaderBytes:]
	}
	for ; len(body) > 0; body = body[step:] {
		send := body[:step]
		if cut {
			send = []byte{recordHandshake, record[1], record[2], 0, 1, body[0]}
		}
		if _, err := d.Conn.Write(send); err != nil {
			return err
		}
		time.Sleep(d.each)
	}
	return nil
}

// readAhead is the client's end of a pipe, to which a server may write while the client does.
type readAhead struct {
	net.Conn
	came chan []byte
	left []byte
}

func newReadAhead(c net.Conn) *readAhead {
	r := &readAhead{Conn: c, came: make(chan []byte, 1000)}
	go func() {
		defer close(r.came)
		for {
			p := make([]byte, 2048)
			n, err := c.Read(p)
			r.came <- p[:n]
			if err != nil {
				return
			}
		}
	}()
	return r
}

func (r *readAhead) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		more, ok := <-r.came
		if !ok {
			return 0, io.EOF
		}
		r.left = more
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// quitting is a client's connection that is gone when the server has had its hello and
// has written its flight.
type quitting struct{ net.Conn }

func (q quitting) Read(p []byte) (int, error) {
	n, _ := q.Conn.Read(p)
	_ = q.Close()
	return n, net.ErrClosed
}

// overPipes are servers for one connection, which return when its handshake is over.
var overPipes = map[string]func(cfg *Config, given *tls.Config, c net.Conn){
	"dot": func(cfg *Config, given *tls.Config, c net.Conn) {
		s := newStreams(nil, query.DoT, cfg, mirror)
		config := charged(dotConfig(given), s.accounts)
		s.secure = func(c net.Conn) *tls.Conn { return tls.Server(c, config) }
		s.start(c)
		s.running.Wait()
	},
	"doh": func(cfg *Config, given *tls.Config, c net.Conn) {
		accounts := cfg.connections()
		s := newTLSSocket(accountedSocket{accounts: accounts, cfg: cfg}, charged(withHTTP(given), accounts))
		s.h2 = func(c *tls.Conn) { _ = c.Close() }
		defer s.cancel()
		own := &accountedConn{Conn: c, accounts: accounts}
		if own.open() {
			s.begin(own)
		}
		s.handshakes.Wait()
	},
}

// TestWhatAHandshakeCostsIsLearntOnce: from all that is computed for it, whatever its client
// makes of it, and from none whose signature was not asked for or is not done.
func TestWhatAHandshakeCostsIsLearntOnce(t *testing.T) {
	const cost, signature = 4 * time.Millisecond, 8 * time.Millisecond
	const learnt = cost + (signature-cost)/16
	plain := func(*tls.Config) {}
	drips := func(inward bool) func(net.Conn) net.Conn {
		return func(c net.Conn) net.Conn { return &dripping{Conn: c, each: time.Millisecond, inward: inward} }
	}
	whole := func(c net.Conn) net.Conn { return c }
	tls12 := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	retried := func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256} }
	for name, c := range map[string]struct {
		change func(*tls.Config)
		client func(net.Conn) net.Conn
		fails  bool
		again  bool // the one that is looked at resumes the session of another
		want   time.Duration
	}{
		"TLS 1.3":                                     {change: plain, client: whole, want: learnt},
		"TLS 1.3, byte by byte":                       {change: plain, client: drips(false), want: learnt},
		"TLS 1.3 with two hellos":                     {change: retried, client: whole, want: learnt},
		"TLS 1.3 with two hellos, byte by byte":       {change: retried, client: drips(false), want: learnt},
		"TLS 1.3 with two hellos, in records of one":  {change: retried, client: drips(true), want: learnt},
		"TLS 1.3 that resumes":                        {change: plain, client: whole, again: true, want: cost},
		"TLS 1.2":                                     {change: tls12, client: whole, want: learnt},
		"TLS 1.2, byte by byte":                       {change: tls12, client: drips(false), want: learnt},
		"TLS 1.2, in records of one":                  {change: tls12, client: drips(true), want: learnt},
		"TLS 1.2 that resumes":                        {change: tls12, client: whole, again: true, want: cost},
		"TLS 1.2 whose client goes":                   {change: tls12, client: func(c net.Conn) net.Conn { return quitting{c} }, fails: true, want: cost},
		"TLS 1.3 that fails before its signature":     {change: func(c *tls.Config) { c.NextProtos = []string{"nobody-speaks-this"} }, client: whole, fails: true, want: cost},
		"TLS 1.2 without a suite that the server has": {change: func(c *tls.Config) { tls12(c); c.CipherSuites = []uint16{tls.TLS_RSA_WITH_RC4_128_SHA} }, client: whole, fails: true, want: cost},
	} {
		for transport, serve := range overPipes {
			t.Run(transport+", "+name, func(t *testing.T) {
				given, config, today := webConfig().TLS.Clone(), clientTLS(gateALPN[transport]), time.Now()
				config.Time = func() time.Time { return today }
				synctest.Test(t, func(t *testing.T) {
					g := gateOf(1)
					cfg := &Config{Timeouts: Timeouts{Handshake: time.Hour}.withDefaults(), Log: slog.New(slog.DiscardHandler), gate: g}
					given.SetSessionTicketKeys([][32]byte{{1}})
					given.CurvePreferences = []tls.CurveID{tls.CurveP256}
					cert := given.Certificates[0]
					cert.PrivateKey = slowKey{cert.PrivateKey.(crypto.Signer), signature}
					given.Certificates = []tls.Certificate{cert}
					config.CurvePreferences = []tls.CurveID{tls.CurveP256}
					config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
					c.change(config)
					resumes := []bool{false}
					if c.again {
						resumes = []bool{false, true}
					}
					for _, want := range resumes {
						g.mu.Lock()
						g.cost = cost
						g.mu.Unlock()
						ours, theirs := net.Pipe()
						served := make(chan struct{})
						go func() { serve(cfg, given, ours); close(served) }()
						client := tls.Client(c.client(newReadAhead(theirs)), config)
						if err := client.Handshake(); (err != nil) != c.fails {
							t.Error(err)
						}
						if got := client.ConnectionState().DidResume; got != want {
							t.Errorf("it resumes: %v, want %v", got, want)
						}
						_, _ = client.Read(make([]byte, 1)) // the ticket, and the end
						_ = theirs.Close()
						<-served
					}
					time.Sleep(2 * restTime)
					if g.cost != c.want {
						t.Errorf("a signature takes %s, and after one more a handshake is thought to take %s instead of %s; want %s", signature, g.cost, cost, c.want)
					}
					expectOpen(t, g)
				})
			})
		}
	}
}
