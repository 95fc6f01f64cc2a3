package listeners

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mail is an answer on its way: to whom, from where, and what.
type mail struct{ to, from, answer string }

// office is an outgoing with somebody's answers, and what they are.
type office struct {
	out      outgoing
	clients  [batch]unix.RawSockaddrInet6
	sources  [batch]control
	messages map[mail]int
}

// fill gives the office n answers of 12 bytes or more, to clients that ask a few
// times each or once, over a wildcard socket or another.
func (f *office) fill(rnd *rand.Rand, n int, wildcard bool) {
	f.out.reset()
	f.messages = map[mail]int{}
	client, source, apart := 0, 0, rnd.IntN(4) == 0
	for i := range n {
		if apart {
			client = i
		} else if rnd.IntN(8) == 0 {
			client = rnd.IntN(3)
		}
		if rnd.IntN(16) == 0 {
			source = rnd.IntN(2)
		}
		f.clients[i] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: uint16(1000 + client/2), Addr: [16]byte{15: byte(client)}}
		head := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&f.clients[i])), Namelen: unix.SizeofSockaddrInet6}
		if wildcard {
			f.sources[i] = control{uint64(unix.CmsgLen(unix.SizeofInet6Pktinfo)), unix.IPPROTO_IPV6 | unix.IPV6_PKTINFO<<32, uint64(source)}
			head.Control = f.sources[i].bytes()
			head.SetControllen(unix.CmsgSpace(unix.SizeofInet6Pktinfo))
		}
		answer := bytes.Repeat([]byte{byte(i)}, 12+rnd.IntN(4)*rnd.IntN(400))
		f.out.add(answer, &head)
		f.messages[mail{nameOf(&head), sourceOf(&head, 0), string(answer)}]++
	}
}

func nameOf(h *unix.Msghdr) string { return string(unsafe.Slice(h.Name, h.Namelen)) }

// sourceOf is the control message of h that says where it is sent from, without the
// last drop bytes.
func sourceOf(h *unix.Msghdr, drop int) string {
	return string(unsafe.Slice(h.Control, int(h.Controllen)-drop))
}

// deliver is what the kernel makes of the heads of an outgoing (udp(7)).
func (f *office) deliver(t *testing.T) map[mail]int {
	t.Helper()
	delivered := map[mail]int{}
	for i := f.out.next; i < f.out.n; i++ {
		h := &f.out.heads[i].Msghdr
		var all []byte
		for _, v := range unsafe.Slice(h.Iov, int(h.Iovlen)) {
			all = append(all, unsafe.Slice(v.Base, int(v.Len))...)
		}
		size, behind := len(all), 0
		if h.Iovlen > 1 {
			size, behind = segmentSize(t, h), unix.CmsgSpace(2)
		}
		if len(all) > 65_487 || h.Iovlen > 1 && len(all)+48 > size*64 {
			t.Fatalf("%d bytes in segments of %d are more than the kernel takes", len(all), size)
		}
		for len(all) > 0 {
			n := min(size, len(all))
			delivered[mail{nameOf(h), sourceOf(h, behind), string(all[:n])}]++
			all = all[n:]
		}
	}
	return delivered
}

// segmentSize is the size in the last control message of h.
func segmentSize(t *testing.T, h *unix.Msghdr) int {
	t.Helper()
	all := unsafe.Slice(h.Control, int(h.Controllen))
	head := (*unix.Cmsghdr)(unsafe.Pointer(&all[len(all)-unix.CmsgSpace(2)]))
	if head.Level != unix.IPPROTO_UDP || head.Type != unix.UDP_SEGMENT || int(head.Len) != unix.CmsgLen(2) {
		t.Fatalf("%+v is not UDP_SEGMENT", head)
	}
	return int(*(*uint16)(unsafe.Add(unsafe.Pointer(head), unix.CmsgLen(0))))
}

func TestGatheredAnswersAreTheSameToTheirClients(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, wildcard := range []bool{false, true} {
		var f office
		f.out.init(true)
		fewest := batch
		for round := range 500 {
			f.fill(rnd, 1+rnd.IntN(batch), wildcard)
			answers := f.out.n
			f.out.gather()
			if got := f.deliver(t); !maps.Equal(got, f.messages) {
				t.Fatalf("wildcard %v, round %d: other answers delivered than given", wildcard, round)
			}
			fewest = min(fewest, 64*f.out.n/answers)
		}
		if fewest > batch/2 {
			t.Errorf("wildcard %v: never fewer than %d messages for 64 answers, want half as many at most", wildcard, fewest)
		}
	}
}

func TestGatheredAnswersAreNoLongerThanTheKernelTakes(t *testing.T) {
	for _, size := range []int{12, 40, 1232} {
		var f office
		f.out.init(true)
		f.messages = map[mail]int{}
		head := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&f.clients[0])), Namelen: unix.SizeofSockaddrInet6}
		for range batch {
			answer := make([]byte, size)
			f.out.add(answer, &head)
			f.messages[mail{nameOf(&head), "", string(answer)}]++
		}
		f.out.gather()
		if got := f.deliver(t); !maps.Equal(got, f.messages) || f.out.n != 2 {
			t.Errorf("%d answers of %d bytes were %d messages, %d different ones delivered; want 2 messages", batch, size, f.out.n, len(got))
		}
	}
}

func TestGatheredAnswersTakenApartAreTheSame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, wildcard := range []bool{false, true} {
		var f office
		f.out.init(true)
		for round := range 500 {
			f.fill(rnd, 1+rnd.IntN(batch), wildcard)
			f.out.gather()
			gone := rnd.IntN(f.out.n)
			f.out.next = gone // the kernel took those in front
			want := f.deliver(t)
			if together := f.out.heads[gone].Iovlen > 1; f.out.part(unix.EPERM) != together {
				t.Fatalf("%d answers at the front: not taken apart when there are several, or when there is one", f.out.heads[gone].Iovlen)
			}
			if got := f.deliver(t); !maps.Equal(got, want) {
				t.Fatalf("wildcard %v, round %d: other answers after taking them apart", wildcard, round)
			}
			if f.out.part(unix.EPERM) {
				t.Fatal("taken apart twice")
			}
		}
	}
}

func TestAnswersOfOneClientAreSentTogether(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		b := newWorkbench(t, addr, mirror)
		if !b.worker.out.cuts {
			t.Skip("this kernel has no UDP_SEGMENT")
		}
		askMany(t, b)
		if heads := b.worker.out.n; heads > batch/4 {
			t.Errorf("%s: %d answers of ten lengths were %d messages to the kernel, want %d at most", addr, batch, heads, batch/4)
		}
		askMany(t, b) // which finds everything as it was
	}
}

// Without checksums the kernel takes no segments (EINVAL).
func TestAnswersAreSentOneByOneWhereTheKernelTakesNoSegments(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		b := newWorkbench(t, addr, mirror)
		if err := setOption(b.worker.fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Fatal(err)
		}
		askMany(t, b)
		if b.worker.out.n != batch {
			t.Errorf("%s: %d answers were %d messages", addr, batch, b.worker.out.n)
		}
		askMany(t, b)
	}
}

func TestKernelsThatGarbleSegments(t *testing.T) {
	for release, want := range map[string]bool{
		"6.1.0-30-amd64": false, "6.18.44": false, "7.0.0-15-generic": true, "7.0": true, "7.1.4": true, "7.1-rc5": true,
		"7.1.5": false, "7.2.0": false, "": false, "odd": false,
	} {
		if got := garbles(release); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}

// askMany asks a batch of questions of ten lengths and expects every answer.
func askMany(t *testing.T, b *workbench) {
	t.Helper()
	want, got := map[string]bool{}, map[string]bool{}
	for i := range batch {
		message := testMessage(uint16(i), 20+i*7%10)
		want[fmt.Sprint(len(message), message[:2])] = true
		b.send(t, 1, message)
	}
	b.round(t)
	for range batch {
		n, err := unix.Read(b.client, b.buf[:])
		if err != nil {
			t.Fatal(err)
		}
		got[fmt.Sprint(n, b.buf[:2])] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
}

// A socket that takes nothing at all must not make the worker try for ever.
func TestAnswersThatNothingTakesAreGivenUp(t *testing.T) {
	b := newWorkbench(t, "127.0.0.1:0", mirror)
	b.worker.log = slog.New(slog.DiscardHandler)
	b.send(t, batch, testMessage(1, 40))
	n, errno := b.worker.in.receive(b.worker.fd, unix.MSG_DONTWAIT)
	if n != batch || errno != 0 {
		t.Fatal(n, errno)
	}
	b.worker.resolve(n)
	fd := b.worker.fd
	b.worker.fd = -1
	b.worker.send()
	b.worker.fd = fd
	if !b.worker.out.empty() || b.worker.out.n != batch {
		t.Errorf("%d of %d answers tried one by one", b.worker.out.next, b.worker.out.n)
	}
}
