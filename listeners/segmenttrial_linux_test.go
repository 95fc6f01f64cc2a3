package listeners

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// logged is a workbench on loopback whose log is read, and the log.
func logged(t *testing.T) (*workbench, *bytes.Buffer) {
	t.Helper()
	b, log := newWorkbench(t, "127.0.0.1:0", mirror), new(bytes.Buffer)
	if !b.worker.out.trial.able {
		t.Skip("this kernel has no UDP_SEGMENT")
	}
	b.worker.log = slog.New(slog.NewTextHandler(log, nil))
	return b, log
}

// tries is in which of the next n batches segments were tried.
func tries(t *testing.T, b *workbench, n int) (tried []int) {
	t.Helper()
	for i := range n {
		askMany(t, b)
		if b.worker.out.gathered {
			tried = append(tried, i)
		}
	}
	return tried
}

// takeSegments makes the kernel take segments of b's socket or not: without checksums
// it refuses them (EINVAL).
func takeSegments(t *testing.T, b *workbench, take bool) {
	t.Helper()
	without := map[bool]int{true: 0, false: 1}[take]
	if err := setOption(b.worker.fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, without); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedSegmentsAreTriedAgain(t *testing.T) {
	b, log := logged(t)
	takeSegments(t, b, false)
	if got, want := tries(t, b, 20), []int{0, 2, 5, 9, 14}; !slices.Equal(got, want) {
		t.Errorf("refused segments were tried in the batches %v, want %v", got, want)
	}
	takeSegments(t, b, true)
	if got, want := tries(t, b, 3), []int{0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("segments that are taken were tried in the batches %v, want %v", got, want)
	}
	takeSegments(t, b, false)
	if got, want := tries(t, b, 3), []int{0, 2}; !slices.Equal(got, want) {
		t.Errorf("refused again, they were tried in the batches %v, want %v", got, want)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines for 7 refusals, want 1:\n%s", len(lines), log)
	}
	for _, want := range []string{"level=INFO", "listener=127.0.0.1:", "client=127.0.0.1:", `error="invalid argument"`, "cost=", "hint="} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("the log does not say %s: %s", want, lines[0])
		}
	}
}

// Workers of a listener learn apart, and say it once.
func TestRefusedSegmentsAreLoggedOnceForAListener(t *testing.T) {
	var log bytes.Buffer
	var g udpGroup
	for range 2 {
		g.tellRefused(slog.New(slog.NewTextHandler(&log, nil)), netip.MustParseAddrPort("192.0.2.1:53"), unix.EIO)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want 1:\n%s", n, &log)
	}
}

func TestKernelThatNeverTakesSegmentsIsAskedSeldom(t *testing.T) {
	trial := segmentTrial{able: true}
	asked, waited, longest := 0, 0, 0
	for i := range 1 << 21 {
		if i == 1000 && asked > 45 {
			t.Errorf("asked %d times in 1000 batches, want 45 at most", asked)
		}
		if waited++; trial.begin() {
			longest, waited = max(longest, waited), 0
			asked++
			trial.refuse()
		}
	}
	if longest != longestRest+1 || asked > 1<<21/longestRest+longestRest {
		t.Errorf("asked %d times, after %d batches at most, want %d", asked, longest, longestRest+1)
	}
}

// A route that takes no segments must not keep them from all other clients, even if
// every batch has answers for it.
func TestOneRouteDoesNotSwitchSegmentsOff(t *testing.T) {
	var f office
	f.out.init(true)
	rnd := rand.New(rand.NewPCG(5, 6))
	const batches, odd, usual = 2000, 0, 1
	together := 0
	for range batches {
		f.out.reset()
		for _, client := range [][]int{{odd, odd, usual, usual}, {usual, usual, odd, odd}}[rnd.IntN(2)] {
			f.clients[client].Port = uint16(1 + client)
			head := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&f.clients[client])), Namelen: unix.SizeofSockaddrInet6}
			f.out.add(make([]byte, 40), &head)
		}
		f.out.gather()
		for !f.out.empty() {
			h, at := f.out.heads[f.out.next], f.out.next
			toOdd := h.Name == (*byte)(unsafe.Pointer(&f.clients[odd]))
			if toOdd && f.out.part(unix.EIO) {
				continue
			}
			if h.Iovlen > 1 {
				together++
			}
			f.out.next++
			f.out.judge(at)
		}
	}
	if together < batches/8 {
		t.Errorf("the other client's answers went together in %d of %d batches", together, batches)
	}
}

// A batch that is given up while it is not known yet says nothing.
func TestDoubtOfSegmentsEndsWithItsBatch(t *testing.T) {
	var f office
	f.out.init(true)
	head := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&f.clients[0])), Namelen: unix.SizeofSockaddrInet6}
	f.out.add(make([]byte, 40), &head)
	f.out.add(make([]byte, 40), &head)
	f.out.gather()
	if !f.out.part(unix.EIO) {
		t.Fatal("not together")
	}
	f.out.reset()
	f.out.add(make([]byte, 40), &head)
	f.out.next++
	if errno := f.out.judge(0); errno != 0 || f.out.trial.rest != 0 {
		t.Errorf("segments are off for %d batches: %v", f.out.trial.rest, errno)
	}
}

// What is refused because of its client, answer by answer, says nothing of segments: a
// forged client in a prefix without a route could have them switched off for everybody.
func TestRefusedClientSaysNothingOfSegments(t *testing.T) {
	b, log := logged(t)
	for range 3 {
		b.send(t, 2, testMessage(1, 40)) // as from a client that the kernel sends nothing to
		b.send(t, 3, testMessage(2, 40))
		n, errno := b.worker.in.receive(b.worker.fd, unix.MSG_DONTWAIT)
		if n != 5 || errno != 0 {
			t.Fatal(n, errno)
		}
		for i := range 2 {
			(*unix.RawSockaddrInet4)(unsafe.Pointer(&b.worker.in.clients[i])).Addr = [4]byte{255, 255, 255, 255}
		}
		b.worker.resolve(n)
		b.worker.send()
		b.receive(t, 3)
		if o := &b.worker.out; !o.gathered || o.trial.rest != 0 || o.trial.span != 0 {
			t.Errorf("put together: %v, off for %d batches", o.gathered, o.trial.rest)
		}
	}
	if !strings.Contains(log.String(), "UDP answer not sent") || strings.Contains(log.String(), "level=INFO") {
		t.Errorf("the log does not tell a refused client: %s", log)
	}
}
