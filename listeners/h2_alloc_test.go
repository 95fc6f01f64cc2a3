//go:build !race

package listeners

import (
	"testing"
	"time"
)

// A repeated header block is not decoded again, and an answer allocates nothing.
// Not under the race detector, which makes a sync.Pool forget things at random.
func TestH2AnswersAllocateNothing(t *testing.T) {
	cfg := Config{}.withDefaults()
	client := &script{}
	server := newH2Server(&cfg, &dohHandler{resolver: cacheable, cfg: &cfg})
	c := newH2Conn(server, client, client, unlimited{time.Hour})
	c.stage = h2Runs
	w := newH2Client(t, nil)
	first, again := w.header(postHeader()...), w.header(postHeader()...)
	var in []byte
	id := uint32(1)
	ask := func(block []byte) {
		in = append(appendH2Header(in[:0], len(block), h2Headers, h2EndHeaders, id), block...)
		in = append(appendH2Header(in, len(plainQuery), h2Data, h2EndStream, id), plainQuery...)
		id += 2
		client.out.Reset()
		copy(c.in.space(), in)
		c.in.took(len(in))
		if err := c.process(nil); err != nil {
			t.Fatal(err)
		}
	}
	ask(first)
	ask(again)
	if n := testing.AllocsPerRun(1000, func() { ask(again) }); n != 0 {
		t.Errorf("%v allocations an answer", n)
	}
	if len(c.streams) > 0 || c.lastID != id-2 || client.out.Len() == 0 {
		t.Errorf("%d streams are open, the last was %d", len(c.streams), c.lastID)
	}
}
