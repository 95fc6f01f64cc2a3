package listeners

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDropsAreWhatIsSentAndNotReceived(t *testing.T) {
	b := newWorkbench(t, "127.0.0.1:0", mirror)
	w := b.worker
	if err := setOption(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil { // the kernel's least
		t.Fatal(err)
	}
	const sent = 200
	b.send(t, sent, testMessage(1, 40))
	received := 0
	for {
		n, errno := w.in.receive(w.fd, unix.MSG_DONTWAIT)
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 {
			t.Fatal(errno)
		}
		received += n
	}
	now := time.Now()
	w.drops.look(now)
	if got := w.drops.total.Load(); received == sent || got != uint64(sent-received) {
		t.Fatalf("%d drops of %d sent and %d received", got, sent, received)
	}

	b.send(t, sent, testMessage(1, 40))
	was := w.drops.total.Load()
	if w.drops.look(now.Add(lookAtDropsEvery - 1)); w.drops.total.Load() != was {
		t.Error("the kernel was asked again at once")
	}
	if w.drops.look(now.Add(lookAtDropsEvery)); w.drops.total.Load() <= was {
		t.Error("the kernel was not asked again")
	}
}

func TestDropsBeginWithTheServerAndSurviveAWrap(t *testing.T) {
	b := newWorkbench(t, "127.0.0.1:0", mirror)
	if err := setOption(b.worker.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	b.send(t, 200, testMessage(1, 40))
	var total atomic.Uint64
	c := newDropsCounter(b.worker.fd, &total)
	if c.finish(); total.Load() != 0 {
		t.Errorf("an inherited socket's past counts: %d", total.Load())
	}
	const more = 1_000_000
	c.latest -= more // as if the kernel's 32 bits had gone round since
	if c.finish(); total.Load() != more {
		t.Errorf("%d drops, want %d", total.Load(), more)
	}
}

func TestDropsOfAnAddressAddUpAndStay(t *testing.T) {
	var d drops
	first, second := netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[2001:db8::1]:53")
	d.of(second).Add(1)
	d.of(first).Add(2)
	d.of(first).Add(3) // another worker, or the same address after it was removed and added again
	if got := d.list(); len(got) != 2 || got[0] != (Drops{first, 5}) || got[1] != (Drops{second, 1}) {
		t.Errorf("%v", got)
	}
}
