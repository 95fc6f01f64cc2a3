package listeners

import (
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// doqRig is a DoQ server whose connections are seen from within.
type doqRig struct {
	*running
	account *limit // what it charges
	ledger  *ledger
	begun   chan *doqConn
	tap     chan<- *quic.Stream // gets the streams of the connections; nil: nobody does
}

func newDoQRig(t *testing.T, r Resolver, change func(*Config)) *doqRig {
	t.Helper()
	rig := &doqRig{account: new(limit), ledger: newLedger(), begun: make(chan *doqConn, 8)}
	cfg := webConfig()
	cfg.DoQ, cfg.Requests, cfg.Connections = []string{"127.0.0.1:0"}, rig.account.admits, rig.ledger
	cfg.Timeouts.Message = patience
	if change != nil {
		change(&cfg)
	}
	set, err := Bind(cfg, r)
	if err != nil {
		t.Fatal(err)
	}
	l := set.sites[0].entries[0].listener.(*quicListener)
	begin := l.conn
	l.conn = func(c *quic.Conn, refused *refusals) (quicConn, error) {
		own, err := begin(c, refused)
		rig.begun <- own.(*doqConn)
		return tapped{own, rig}, err
	}
	rig.running = serveSet(t, set)
	return rig
}

type tapped struct {
	quicConn
	rig *doqRig
}

func (c tapped) stream(s *quic.Stream, now time.Time) func() {
	if c.rig.tap != nil {
		c.rig.tap <- s
	}
	return c.quicConn.stream(s, now)
}

// expectCharges waits until so many streams were charged.
func (rig *doqRig) expectCharges(t *testing.T, want int32) {
	t.Helper()
	settled(t, "streams too few were charged", 0, func() int { return int(want - rig.account.asked.Load()) })
	if n := rig.account.asked.Load(); n != want {
		t.Errorf("charged %d times, want %d", n, want)
	}
}

// breakDoQ opens a stream, breaks it off within its query, and returns how it ended.
func breakDoQ(t *testing.T, c *quic.Conn) error {
	t.Helper()
	s, err := c.OpenStreamSync(t.Context())
	if err != nil {
		return err
	}
	_, _ = s.Write(framed(plainQuery)[:20])
	s.CancelWrite(doqRequestCancelled)
	_, err = io.ReadAll(s)
	return err
}

// strange is a resolver that does what the first byte behind the header says.
var strange = resolverFunc(func(dst []byte, q *query.Query) []byte {
	switch q.Message[headerBytes] {
	case 1:
		q.Verdict = query.Dropped
		return dst
	case 2:
		panic("a query that can't be")
	case 3:
		q.Verdict = query.Silent
		return dst
	}
	q.Verdict = query.Answered
	return mirror(dst, q)
})

func strangeQuery(what byte) []byte {
	message := testMessage(0, 40)
	message[headerBytes] = what
	return framed(message)
}
