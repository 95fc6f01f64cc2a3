package listeners

import (
	"log/slog"
	"net/netip"

	"golang.org/x/sys/unix"
)

// segmentTrial is what a worker has learnt about segments. Network cards that can't
// compute checksums and routes through IPsec take none (EIO), nor do those of a small MTU
// (EMSGSIZE, EINVAL); whether it is one route or all of them, the kernel does not say. So
// after a refusal answers go one by one for some batches: for one, and for one more each
// time, until segments are taken again. A kernel that takes none has been asked 45 times in
// the first 1,000 batches. With twice as many each time, another client beside a route whose
// answers lie in every batch got its own together half as often (182 of 2,000 batches in
// the test, and 341 so).
type segmentTrial struct {
	able  bool       // the kernel knows segments
	doubt unix.Errno // why it refused those of which heads[next] was the first; 0: it did not
	rest  int        // batches until they are tried again
	span  int        // how many there were after the latest refusal; 0: some were taken since
}

// longestRest bounds how long segments stay off after the cause has gone. Trying in
// vain costs two system calls at most, and a batch has two in any case.
const longestRest = 1024

// begin begins a batch, and tells whether segments are to be tried in it.
func (t *segmentTrial) begin() bool {
	t.doubt = 0
	if t.rest > 0 {
		t.rest--
		return false
	}
	return t.able
}

// refuse takes note that the kernel refused in segments what it took one by one.
func (t *segmentTrial) refuse() {
	t.span = min(t.span+1, longestRest)
	t.rest, t.doubt = t.span, 0
}

// judge is told that the kernel has taken the heads from the one at first to
// next. It returns why it refused segments, if the first of them now went alone: what it
// refuses alone as well (skip) is about the client, and says nothing of segments.
func (o *outgoing) judge(first int) (refused unix.Errno) {
	t := &o.trial
	if refused = t.doubt; refused != 0 {
		t.refuse()
		return refused
	}
	for i := first; t.span > 0 && i < o.next; i++ {
		if o.heads[i].Iovlen > 1 {
			t.span = 0
		}
	}
	return 0
}

// tellRefused logs the first refusal of a listener: the others are as this one, and
// clients could bring about more.
func (g *udpGroup) tellRefused(log *slog.Logger, client netip.AddrPort, errno unix.Errno) {
	if g.refused.Load() || g.refused.Swap(true) {
		return
	}
	log.Info("the kernel refuses UDP answers to this client together and takes them one by one; answers go one by one now, and together again after a while",
		"listener", g.address.String(), "client", client.String(), "error", errno.Error(),
		"cost", "up to a quarter more CPU for clients that ask much from one socket",
		"hint", "nothing has to be done, no answer is lost; causes are IPsec or a small MTU on the way to the client, or a card without checksum offload (ethtool -k); QUIC_GO_DISABLE_GSO=1 ends the tries")
}
